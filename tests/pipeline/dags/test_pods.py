"""Requests to Kubernetes for the pod of each step, in the compiled pipeline.yaml."""

import re

import pytest
from google.protobuf import json_format
from kfp.kubernetes.kubernetes_executor_config_pb2 import KubernetesExecutorConfig

from berth.cluster_settings import Cluster
from pipeline.config.run_config import RunConfig
from pipeline.dags import compiler
from tests.pipeline.dags.conftest import task

STEPS = ["locate", "ingest", "compare", "validate", "train", "evaluate", "push", "refuse", "finish"]
MINUTE, HOUR = 60, 3600


@pytest.fixture(scope="module")
def pods(compiled) -> dict[str, KubernetesExecutorConfig]:
    """Return what Kubernetes is asked for by step, read by KFP's own protobuf, which refuses any field it lacks."""
    documents = compiler.read(compiled)
    platform = next(document for document in documents if "platforms" in document)["platforms"]["kubernetes"]
    executors = platform["deploymentSpec"]["executors"]
    return {
        name.removeprefix("exec-"): json_format.ParseDict(values, KubernetesExecutorConfig())
        for name, values in executors.items()
    }


def parameter(spec) -> str:
    """Return the pipeline parameter that a platform setting takes its value from."""
    return spec.component_input_parameter.removeprefix("pipelinechannel--")


def container(ir: dict, step: str) -> dict:
    return ir["deploymentSpec"]["executors"][f"exec-{step}"]["container"]


def taken(placeholder: str) -> str:
    match = re.fullmatch(r"\{\{\$\.inputs\.parameters\['pipelinechannel--(\w+)'\]\}\}", placeholder)
    assert match, placeholder
    return match[1]


def test_every_step_has_its_pod_settled(pods):
    assert sorted(pods) == sorted(STEPS)


@pytest.mark.parametrize("step", ["train", "evaluate"])
def test_parameters_choose_what_a_gpu_step_runs_on(ir, pods, step):
    accelerator = container(ir, step)["resources"]["accelerator"]
    assert taken(accelerator["resourceType"]) == "cluster_gpu_type"
    assert taken(accelerator["resourceCount"]) == f"cluster_{step}_gpu_count"
    assert parameter(pods[step].node_selector.node_selector_json) == f"cluster_{step}_node_selector"
    assert [parameter(each.toleration_json) for each in pods[step].tolerations] == [f"cluster_{step}_tolerations"]


def test_train_alone_has_a_gpu_by_default(ir):
    defaults = ir["root"]["inputDefinitions"]["parameters"]
    assert defaults["cluster_gpu_type"]["defaultValue"] == "nvidia.com/gpu"
    # A text: KFP's driver reads nothing but texts into a pod's resources, and takes a number for no wish at all.
    counts = [defaults[f"cluster_{step}_gpu_count"] for step in ("train", "evaluate")]
    assert [(count["parameterType"], count["defaultValue"]) for count in counts] == [("STRING", "1"), ("STRING", "0")]
    assert defaults["cluster_evaluate_tolerations"]["defaultValue"] == []
    assert defaults["cluster_train_tolerations"]["defaultValue"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    ]
    assert RunConfig(name="n", source="s", cluster={"gpu_count": 0}).parameters()["cluster_train_gpu_count"] == "0"


def test_each_step_can_have_resources_of_its_own():
    """evaluate with a GPU gets train's nodes; what is left out is as for all steps."""
    own = {"evaluate": {"gpu_count": 1, "memory": "16Gi"}, "ingest": {"cpu": "4"}}
    nodes = {"node_selector": {"gpu": "l4"}, "memory": "5Gi", "train_cpu": "7"}
    given = RunConfig(name="n", source="s", cluster=nodes | {"resources": own}).parameters()
    assert [given[f"cluster_evaluate_{what}"] for what in ("gpu_count", "memory", "cpu")] == ["1", "16Gi", "1"]
    assert given["cluster_evaluate_node_selector"] == given["cluster_train_node_selector"] == {"gpu": "l4"}
    assert given["cluster_evaluate_tolerations"] == given["cluster_train_tolerations"] != []
    assert [given[f"cluster_ingest_{what}"] for what in ("memory", "cpu")] == ["5Gi", "4"]
    assert given["cluster_train_cpu"] == "7"
    without = RunConfig(name="n", source="s", cluster=nodes).parameters()
    assert (without["cluster_evaluate_gpu_count"], without["cluster_evaluate_node_selector"]) == ("0", {})


def test_no_other_step_asks_for_a_gpu_or_its_nodes(ir, pods):
    for step in set(STEPS) - {"train", "evaluate"}:
        assert "accelerator" not in container(ir, step)["resources"]
        assert not pods[step].tolerations
        assert not pods[step].HasField("node_selector")


def test_parameters_choose_every_step_s_memory_and_cpu(ir):
    for step in STEPS:
        resources = container(ir, step)["resources"]
        kind = f"cluster_{step}_"
        assert taken(resources["resourceMemoryLimit"]) == taken(resources["resourceMemoryRequest"]) == f"{kind}memory"
        assert taken(resources["resourceCpuRequest"]) == f"{kind}cpu"
        assert "resourceCpuLimit" not in resources


@pytest.mark.parametrize("step", STEPS)
def test_step_parameters_avoid_kfp_pod_resource_names(ir, step):
    """Examples are memory_limit and accelerator_type."""
    own = ir["components"][f"comp-{step}"]["inputDefinitions"]["parameters"]
    resources = {f"{what}_{end}" for what in ("memory", "cpu") for end in ("request", "limit")}
    assert not own.keys() & (resources | {"accelerator_type", "accelerator_count"})


def test_step_parameters_are_passed_down_from_the_run(ir, pods):
    """Every parameter that a step takes is checked."""

    def check(component: dict, groups: list[str]) -> None:
        given = component.get("inputDefinitions", {}).get("parameters", {})
        for name, found in component["dag"]["tasks"].items():
            taken_here = {
                each["componentInputParameter"]
                for each in found.get("inputs", {}).get("parameters", {}).values()
                if "componentInputParameter" in each
            }
            if name in pods:
                taken_here |= set(re.findall(r'component_input_parameter: "([^"]+)"', str(pods[name])))
            assert taken_here <= given.keys(), (groups, name, taken_here - given.keys())
            inner = ir["components"][found["componentRef"]["name"]]
            if "dag" in inner:
                check(inner, [*groups, name])

    check(ir["root"], [])


def test_train_has_shared_memory(pods):
    (mount,) = pods["train"].empty_dir_mounts
    assert (mount.mount_path, mount.medium, mount.size_limit) == ("/dev/shm", "Memory", "2Gi")


def test_checkpoint_claim_is_mounted_only_on_request(pods, ir, tmp_path):
    """The claim is mounted in the train step alone, at the path where it writes checkpoints."""
    assert not any(pod.pvc_mount for pod in pods.values())
    assert "componentInputParameter" in task(ir, "train")["inputs"]["parameters"]["checkpoints"]
    compiler.write_yaml(tmp_path / "pipeline.yaml", cluster=Cluster(checkpoint_claim="train-checkpoints"))
    with_claim, platform = compiler.read((tmp_path / "pipeline.yaml").read_text(encoding="utf-8"))
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    assert [name for name, values in executors.items() if "pvcMount" in values] == ["exec-train"]
    (mount,) = json_format.ParseDict(executors["exec-train"], KubernetesExecutorConfig()).pvc_mount
    assert parameter(mount.pvc_name_parameter) == "cluster_checkpoint_claim"
    checkpoints = task(with_claim, "train")["inputs"]["parameters"]["checkpoints"]
    assert checkpoints["runtimeValue"]["constant"] == mount.mount_path == "/checkpoints"


def test_time_limit_retries_and_labels_are_compiled_in(tmp_path):
    """KFP takes no parameter for them."""
    queue = {"kueue.x-k8s.io/queue-name": "ml"}
    own = {"train": {"hours": 100, "retries": 1, "labels": queue}, "compare": {"retries": 2}}
    compiler.write_yaml(tmp_path / "pipeline.yaml", cluster=Cluster(resources=own))
    compiled, platform = compiler.read((tmp_path / "pipeline.yaml").read_text(encoding="utf-8"))
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    pod = json_format.ParseDict(executors["exec-train"], KubernetesExecutorConfig())
    assert (pod.active_deadline_seconds, dict(pod.pod_metadata.labels)) == (100 * HOUR, queue)
    policy = task(compiled, "train")["retryPolicy"]
    assert policy["maxRetryCount"] == 1
    assert int(policy["backoffMaxDuration"].removesuffix("s")) > 200 * HOUR
    assert {"name": "BERTH_TIME_LIMIT", "value": str(100 * HOUR)} in container(compiled, "train")["env"]
    assert task(compiled, "compare")["retryPolicy"]["maxRetryCount"] == 2
    assert "podMetadata" not in executors["exec-evaluate"]


def test_secrets_are_named_by_parameters_and_become_variables(pods):
    for step, pod in pods.items():
        found = {parameter(each.secret_name_parameter): each for each in pod.secret_as_env}
        other = "cluster_notify_secret" if step == "finish" else "cluster_store_secret"
        assert found.keys() == {"cluster_mlflow_secret", other}
        assert all(secret.optional for secret in found.values())
        mlflow = {key.secret_key: key.env_var for key in found["cluster_mlflow_secret"].key_to_env}
        # Not as MLflow calls them: KFP's plugin gives the pod variables of those names.
        assert all(variable == key.replace("MLFLOW_TRACKING_", "BERTH_MLFLOW_") for key, variable in mlflow.items())
        assert {"MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD"} <= mlflow.keys()
        variables = {key.secret_key for key in found[other].key_to_env}
        # Nor AWS's by their usual names: KFP's launcher, in the same container, reads those for its own transfers.
        prefix = "" if step == "finish" else "BERTH_STORE_"
        assert {f"{prefix}{name}" for name in variables} == {key.env_var for key in found[other].key_to_env}
        assert ("BERTH_WEBHOOK_URL" in variables) == (step == "finish")
        assert ("AWS_SECRET_ACCESS_KEY" in variables) == (step != "finish")
        assert [parameter(each.secret_name_parameter) for each in pod.image_pull_secret] == [
            "cluster_image_pull_secret"
        ]


@pytest.mark.parametrize(
    ("step", "seconds"),
    [
        ("locate", HOUR),
        ("ingest", 6 * HOUR),
        ("compare", 30 * MINUTE),
        ("validate", 6 * HOUR),
        ("train", 72 * HOUR),
        ("evaluate", 6 * HOUR),
        ("push", 2 * HOUR),
        ("refuse", 2 * HOUR),
        ("finish", 30 * MINUTE),
    ],
)
def test_no_step_may_run_for_ever(pods, step, seconds):
    assert pods[step].active_deadline_seconds == seconds


def test_no_pod_runs_as_root_or_pulls_an_image_that_is_there(pods):
    for pod in pods.values():
        assert pod.security_context.run_as_non_root
        assert pod.image_pull_policy == "IfNotPresent"


def test_pod_knows_its_run_without_spoiling_the_cache(ir, pods):
    """The run's identity does not come as a parameter, which would change the cache key."""
    for pod in pods.values():
        (variable,) = pod.field_path_as_env
        assert (variable.name, variable.field_path) == ("KFP_RUN_ID", "metadata.labels['pipeline/runid']")
    for step in ("ingest", "validate", "train"):
        assert "pipeline_job" not in str(task(ir, step)["inputs"])


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        ({"gpu_count": -1}, "greater than or equal"),
        ({"resources": {"trian": {}}}, "no step 'trian'. Did you mean 'train'"),
        ({"resources": {"ingest": {"gpu_count": 1}}}, "ingest can have no GPU"),
        ({"resources": {"train": {"tolerations": [{"keys": "x"}]}}}, "there is no 'keys'"),
        ({"resources": {"train": {"labels": {"queue": "not a value"}}}}, "pattern"),
        ({"mlflow_secret": ""}, "pattern"),
        ({"memory": "lots"}, "pattern"),
        ({"checkpoint_claim": "Not A Name"}, "pattern"),
        ({"tolerations": [{"keys": "x"}]}, "there is no 'keys'"),
        ({"kfp_ui": "https://ada:secret@kfp"}, "without credentials"),
    ],
)
def test_submission_refuses_what_the_cluster_would_refuse_late(cluster, message):
    """The cluster would take an hour to refuse it."""
    with pytest.raises(ValueError, match=message) as refused:
        RunConfig(name="n", source="s", cluster=cluster)
    assert "secret@" not in refused.value.errors()[0]["msg"]
