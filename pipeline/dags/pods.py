"""The steps' pods on a cluster: resources, secrets, identity, time and retries. kfp.local only applies the retries.

What a user may want to choose are pipeline parameters, so that no choice needs another compilation. kfp-kubernetes and
KFP's backend take no parameter for time limits, retries, labels, the size of /dev/shm or the identity: those are here,
or compiled in as the configuration says.
"""

from dataclasses import dataclass, replace
from types import SimpleNamespace

from kfp import dsl, kubernetes

from berth import pod_secrets
from berth.cluster_settings import GPU_STEPS, TRAINING_STEPS, Cluster, StepResources
from berth.tracking.step_run import TIME_LIMIT

NOTIFY_VARIABLES = ("BERTH_WEBHOOK_URL", "BERTH_SMTP_USER", "BERTH_SMTP_PASSWORD")
"""The keys of a secret, which are the variables that they become. A key that a secret lacks is not set."""

CHECKPOINTS = "/checkpoints"
"""Where train has the volume for its checkpoints, if there is one."""


@dataclass(frozen=True)
class _Limits:
    seconds: int
    """How long a pod may run, the wait for a node not counted."""
    retries: int = 0
    """Only where trying again helps: a network, a busy registry, a node that is taken away. A failed gate does not
    fail its step, and bad data stays bad."""
    backoff: int = 30
    """Seconds before the first retry; twice as many before each further one."""

    def with_own(self, own: StepResources) -> "_Limits":
        """Return the limits with what the configuration sets for the step."""
        seconds = self.seconds if own.hours is None else round(own.hours * 3600)
        return replace(self, seconds=seconds, retries=self.retries if own.retries is None else own.retries)

    @property
    def longest(self) -> int:
        """Seconds from the first try's start to the end of the last: every try, every pause, every wait for a node.

        Argo counts its `maxDuration` from the first try's start. When it has passed, it starts no other try and ends
        the one that runs.
        """
        pauses = sum(self.backoff * 2**retry for retry in range(self.retries))
        return (self.retries + 1) * (self.seconds + _WAIT) + pauses


_WAIT = 24 * 3600
"""Seconds that a try may wait for a node, a GPU's for example."""


_LIMITS = {
    "locate": _Limits(3600, retries=2),
    "ingest": _Limits(6 * 3600, retries=2),
    "ingest_corpus": _Limits(24 * 3600, retries=2),
    "ingest_probe": _Limits(6 * 3600, retries=2),
    "compare": _Limits(1800),
    "validate": _Limits(6 * 3600),
    "vocabulary": _Limits(6 * 3600),
    "train": _Limits(72 * 3600, retries=3, backoff=60),
    "pretrain": _Limits(240 * 3600, retries=3, backoff=60),
    "evaluate": _Limits(6 * 3600),
    "evaluate_encoder": _Limits(12 * 3600),
    "push": _Limits(2 * 3600, retries=2),
    "push_encoder": _Limits(2 * 3600, retries=2),
    "refuse_encoder": _Limits(2 * 3600, retries=2),
    "refuse": _Limits(2 * 3600, retries=2),
    "finish": _Limits(1800, retries=1),  # it fails together with the run
}


def settle(task: dsl.PipelineTask, p: SimpleNamespace, cluster: Cluster) -> dsl.PipelineTask:
    """Give the step `task` what its pod needs, as the pipeline parameters `p` say; return it.

    From `cluster` comes what is not a parameter.
    """
    step = step_of(task)
    own = cluster.resources.get(step) or StepResources.model_validate({})
    limits = _LIMITS[step].with_own(own)
    for key, value in own.labels.items():
        kubernetes.add_pod_label(task, key, value)
    if limits.retries:
        task.set_retry(limits.retries, f"{limits.backoff}s", 2, f"{limits.longest}s")
    kubernetes.set_timeout(task, limits.seconds)
    task.set_env_variable(TIME_LIMIT, str(limits.seconds))
    kubernetes.set_image_pull_policy(task, "IfNotPresent")  # images are named by their digests
    kubernetes.set_image_pull_secrets(task, [p.cluster_image_pull_secret])
    kubernetes.set_security_context(task, run_as_non_root=True)
    # As a parameter, the run's id would change the cache's key with every run.
    kubernetes.use_field_path_as_env(task, "KFP_RUN_ID", "metadata.labels['pipeline/runid']")
    _secret(task, p.cluster_mlflow_secret, _by_key(pod_secrets.MLFLOW))
    if step == "finish":
        _secret(task, p.cluster_notify_secret, {name: name for name in NOTIFY_VARIABLES})
    else:
        _secret(task, p.cluster_store_secret, _by_key(pod_secrets.STORE))
    if step in GPU_STEPS:
        _gpus(task, p)
    if step in TRAINING_STEPS:
        # Containers have 64 MB there, and NCCL keeps its buffers in it; what is used counts as memory of the pod.
        kubernetes.empty_dir_mount(task, "shared-memory", "/dev/shm", medium="Memory", size_limit="2Gi")
    return _resources(task, _own(task, p, "memory"), _own(task, p, "cpu"))


def step_of(task: dsl.PipelineTask) -> str:
    """Return the name of the step, as the configuration has it; KFP writes names of tasks with dashes."""
    return task.name.replace("-", "_")


def never_cached(task: dsl.PipelineTask) -> dsl.PipelineTask:
    return task.set_caching_options(False)


def mount_claim(task: dsl.PipelineTask, p: SimpleNamespace) -> None:
    """Mount the volume for train's checkpoints, which outlives the pod and the run.

    Compilation decides whether it is mounted, because a claim cannot be mounted on a condition: KFP
    refuses an empty name, and a name that does not exist leaves the pod waiting. KFP's own workspace is a new volume
    for each run and goes with it; an ephemeral volume goes with the pod.
    """
    kubernetes.mount_pvc(task, p.cluster_checkpoint_claim, CHECKPOINTS)


def _own(task: dsl.PipelineTask, p: SimpleNamespace, what: str) -> dsl.pipeline_channel.PipelineChannel:
    return getattr(p, f"cluster_{step_of(task)}_{what}")


def _gpus(task: dsl.PipelineTask, p: SimpleNamespace) -> None:
    """A count of "0" is a limit of 0, which any node has room for: the step runs without a GPU."""
    count = _own(task, p, "gpu_count")
    task.register_pipeline_channels([p.cluster_gpu_type, count])
    task.set_accelerator_type(p.cluster_gpu_type).set_accelerator_limit(count)
    kubernetes.add_node_selector_json(task, _own(task, p, "node_selector"))
    kubernetes.add_toleration_json(task, _own(task, p, "tolerations"))


def _resources(
    task: dsl.PipelineTask, memory: dsl.pipeline_channel.PipelineChannel, cpu: dsl.pipeline_channel.PipelineChannel
) -> dsl.PipelineTask:
    """Reserve what may be used of memory, for a node that runs out kills; CPU beyond the share may be had if idle."""
    # kfp 2.17 would not pass these parameters on to the groups of tasks that the step is in.
    task.register_pipeline_channels([memory, cpu])
    return task.set_memory_request(memory).set_memory_limit(memory).set_cpu_request(cpu)


def _by_key(variables: dict[str, str]) -> dict[str, str]:
    return {key: variable for variable, key in variables.items()}


def _secret(task: dsl.PipelineTask, name: dsl.pipeline_channel.PipelineChannel, variables: dict[str, str]) -> None:
    kubernetes.use_secret_as_env(task, name, variables, optional=True)
