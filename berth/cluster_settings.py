"""The section `cluster`: what the steps' pods get on Kubeflow."""

import contextlib
import re
from typing import Annotated, Any, Self, TypeAlias

from pydantic import Field, field_validator, model_validator

from berth.errors import nearest
from berth.settings import Section

STEPS = {
    "training": ("locate", "ingest", "compare", "validate", "train", "evaluate", "push", "refuse", "finish"),
    "pretraining": (
        *("locate", "ingest_corpus", "ingest_probe", "vocabulary", "pretrain"),
        *("evaluate_encoder", "push_encoder", "refuse_encoder", "finish"),
    ),
}
"""The steps of each pipeline."""
TRAINING_STEPS = ("train", "pretrain")
"""The steps that have a GPU and train's memory unless a configuration says otherwise."""
GPU_STEPS = (*TRAINING_STEPS, "evaluate", "evaluate_encoder")
"""The steps that can use a GPU."""
_QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|[KMGTPE]i?)?$"
_OBJECT_NAME = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"
"""Patterns that Kubernetes accepts: a quantity, and the name of a secret or a claim."""


Toleration: TypeAlias = dict[str, Any]
"""A toleration as Kubernetes writes it: texts, and `tolerationSeconds`, a number."""
LabelKey = Annotated[str, Field(pattern=r"^([a-z0-9.-]{1,253}/)?[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$")]
LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?)?$")]


class StepResources(Section):
    """Settings of one step's pod, in place of those of all steps; a setting that is left out is that of all steps."""

    memory: str = Field("", pattern=f"{_QUANTITY}|^$", description="Memory of the pod.")
    cpu: str = Field("", pattern=f"{_QUANTITY}|^$", description="CPUs that are reserved for the pod.")
    gpu_count: int | None = Field(None, ge=0, description="GPUs, of train and evaluate; evaluate has none by default.")
    node_selector: dict[str, str] | None = Field(None, description="Labels of the nodes, for train and evaluate.")
    tolerations: list[Toleration] | None = Field(None, description="Tolerated taints, for train and evaluate.")
    hours: float | None = Field(
        None, gt=0, le=720, description="Time limit of the pod. Compiled in: this and the next two are not parameters."
    )
    retries: int | None = Field(None, ge=0, le=10, description="How often the step is tried again.")
    labels: dict[LabelKey, LabelValue] = Field(
        {}, description="Labels of the pod, such as `kueue.x-k8s.io/queue-name`, Kueue's queue."
    )

    @field_validator("tolerations")
    @classmethod
    def _are_tolerations(cls, tolerations: list[Toleration] | None) -> list[Toleration] | None:
        return None if tolerations is None else as_tolerations(tolerations)


class Cluster(Section):
    """Settings of the steps' pods on a Kubeflow cluster; `berth run` ignores it. Fields are pipeline parameters."""

    gpu_type: str = Field(
        "nvidia.com/gpu", pattern=r"^[a-z0-9.-]+/[A-Za-z0-9._-]+$", description="The resource that train asks for."
    )
    gpu_count: int = Field(1, ge=0, description="How many of them; 0: train on the CPU.")
    node_selector: dict[str, str] = Field({}, description="Labels of the nodes that train may run on.")
    tolerations: list[Toleration] = Field(
        [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
        description="Taints that train's pod tolerates, as Kubernetes writes them.",
    )
    train_memory: str = Field("12Gi", pattern=_QUANTITY, description="Memory of train's pod, /dev/shm included.")
    train_cpu: str = Field("2", pattern=_QUANTITY, description="CPUs that are reserved for train's pod.")
    memory: str = Field("4Gi", pattern=_QUANTITY, description="Memory of every other step's pod.")
    cpu: str = Field("1", pattern=_QUANTITY, description="CPUs that are reserved for every other step's pod.")
    resources: dict[str, StepResources] = Field(
        {}, description="Settings of single steps by their names: `{evaluate: {gpu_count: 1, memory: 8Gi}}`."
    )
    image_pull_secret: str = Field(
        "berth-registry", pattern=_OBJECT_NAME, description="The secret for the images' registry; it may be missing."
    )
    mlflow_secret: str = Field(
        "berth-mlflow", pattern=_OBJECT_NAME, description="The secret with MLFLOW_TRACKING_URI and its credentials."
    )
    store_secret: str = Field(
        "berth-store",
        pattern=_OBJECT_NAME,
        description="The secret with the credentials of object stores and databases; it may be missing.",
    )
    notify_secret: str = Field(
        "berth-notify", pattern=_OBJECT_NAME, description="The secret with what `notify` needs; it may be missing."
    )
    checkpoint_claim: str = Field(
        "",
        pattern=f"{_OBJECT_NAME}|^$",
        description="A PersistentVolumeClaim that train keeps its checkpoints in, instead of `checkpoints`. "
        "`berth submit` and `berth schedule` compile the mount in; a bucket needs none.",
    )
    service_account: str = Field(
        "",
        pattern=f"{_OBJECT_NAME}|^$",
        description="The Kubernetes service account of the steps' pods; empty: KFP's own, pipeline-runner. "
        "Not a pipeline parameter.",
    )
    pipeline_root: str = Field(
        "",
        pattern=r"^(s3|gs|minio)://[^\s@]+$|^$",
        description="Where KFP keeps the artifacts of a run, s3://, gs:// or minio://; empty: where the installation "
        "keeps them. Not a pipeline parameter.",
    )
    kfp_ui: str = Field("", description="Address of the Kubeflow Pipelines UI, for links to the run.")
    mlflow_ui: str = Field("", description="Address of the MLflow UI, for links to the run; `berth run` uses it too.")

    @field_validator("tolerations")
    @classmethod
    def _are_tolerations(cls, tolerations: list[Toleration]) -> list[Toleration]:
        return as_tolerations(tolerations)

    @field_validator("resources")
    @classmethod
    def _are_of_steps(cls, resources: dict[str, StepResources]) -> dict[str, StepResources]:
        steps = list(dict.fromkeys(step for own in STEPS.values() for step in own))
        for step, own in resources.items():
            if step not in steps:
                raise ValueError(f"there is no step {step!r}.{nearest(step, steps)} The steps are {', '.join(steps)}")
            if step not in GPU_STEPS and own.model_fields_set & {"gpu_count", "node_selector", "tolerations"}:
                raise ValueError(f"{step} can have no GPU and no nodes of its own; {', '.join(GPU_STEPS)} can")
        return resources

    @property
    def compiles(self) -> bool:
        """Whether a setting is compiled into the pipeline, because KFP takes no parameter for it.

        Example:
            >>> longer = {"resources": {"train": {"hours": 48}}}
            >>> Cluster.model_validate(longer).compiles, Cluster.model_validate({"cpu": "2"}).compiles
            (True, False)
        """
        own = any(one.hours is not None or one.retries is not None or one.labels for one in self.resources.values())
        return own or bool(self.checkpoint_claim)

    def by_step(self, pipeline: str) -> dict[str, object]:
        """Return what the pod of each step of `pipeline` gets, as values of pipeline parameters.

        A count of GPUs is a text: KFP fills a number into a pod's resources as nothing, and asks for no GPU.

        Example:
            >>> cluster = Cluster.model_validate({"resources": {"evaluate": {"gpu_count": 1}}})
            >>> pods = cluster.by_step("training")
            >>> pods["train_gpu_count"], pods["evaluate_gpu_count"], pods["train_memory"], pods["evaluate_memory"]
            ('1', '1', '12Gi', '4Gi')
        """
        found: dict[str, object] = {}
        for step in STEPS[pipeline]:
            own = self.resources.get(step) or StepResources.model_validate({})
            is_train = step in TRAINING_STEPS
            found[f"{step}_memory"] = own.memory or (self.train_memory if is_train else self.memory)
            found[f"{step}_cpu"] = own.cpu or (self.train_cpu if is_train else self.cpu)
            if step in GPU_STEPS:
                count = own.gpu_count if own.gpu_count is not None else self.gpu_count if is_train else 0
                same_nodes = is_train or count > 0
                selector = own.node_selector if own.node_selector is not None else self.node_selector
                tolerations = own.tolerations if own.tolerations is not None else self.tolerations
                found[f"{step}_gpu_count"] = str(count)
                found[f"{step}_node_selector"] = selector if same_nodes or own.node_selector else {}
                found[f"{step}_tolerations"] = tolerations if same_nodes or own.tolerations else []
        return found

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for field in ("kfp_ui", "mlflow_ui"):
            address = getattr(self, field)
            # Not shown: it may hold a password.
            if address and not re.fullmatch(r"https?://[^\s@|<>]+", address):
                raise ValueError(f"{field}: not an address that begins with http:// or https://, without credentials")
        return self


def as_tolerations(tolerations: list[Toleration]) -> list[Toleration]:
    """Return tolerations as Kubernetes takes them; ValueError for a field that they do not have.

    Example:
        >>> as_tolerations([{"key": "gpu", "operator": "Exists", "tolerationSeconds": 30.0}])
        [{'key': 'gpu', 'operator': 'Exists', 'tolerationSeconds': 30}]
    """
    keys = {"key", "operator", "value", "effect", "tolerationSeconds"}
    for toleration in tolerations:
        if unknown := toleration.keys() - keys:
            raise ValueError(f"there is no {min(unknown)!r}; a toleration has {', '.join(sorted(keys))}")
    return [
        {name: _whole(value) if name == "tolerationSeconds" else value for name, value in own.items()}
        for own in tolerations
    ]


def _whole(seconds: Any) -> int:
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        if (number := float(seconds)).is_integer():
            return int(number)
    raise ValueError(f"tolerationSeconds is a whole number, not {seconds!r}")


BY_STEP = ("memory", "cpu", "train_memory", "train_cpu", "gpu_count", "node_selector", "tolerations", "resources")
"""Fields of Cluster from which `by_step` makes the values of each step."""
OF_A_RUN = ("service_account", "pipeline_root")
"""Fields of Cluster that KFP takes with a run, and not as parameters of the pipeline."""
