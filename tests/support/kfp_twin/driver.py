"""KFP's driver: the inputs of a task, whether it runs, where its outputs go, and its pod."""

import hashlib
import json
import re
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.kfp_twin.metadata_store import Execution

_PARAMETER = re.compile(r"\{\{\$\.inputs\.parameters\['(.+?)'\]\}\}")
_CONDITION = re.compile(r"inputs\.parameter_values\['([^']+)'\] == (true|false)")
_QUANTITY = re.compile(r"[0-9.]+([mkMGTPE]|[KMGTPE]i)?")
_KINDS: dict[str, tuple[type, ...]] = {
    **{"NUMBER_INTEGER": (int, float), "NUMBER_DOUBLE": (int, float), "BOOLEAN": (bool,), "LIST": (list,)},
    **{"STRUCT": (dict,), "TASK_FINAL_STATUS": (dict,)},
}


class DriverError(Exception):
    """The driver's pod fails, with this message in its log."""


@dataclass
class Pod:
    """What the driver asks of Kubernetes for a step."""

    environment: dict[str, str]
    resources: dict[str, str]
    node_selector: dict[str, str]
    tolerations: list[Any]
    deadline: float = 0
    """Seconds that the pod may run; 0: without a limit."""
    secrets: list[str] = field(default_factory=list)


def root_inputs(root: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """v2/driver/root_dag.go, apiserver/template: the given parameters, and the defaults of the others."""
    known = root["inputDefinitions"]["parameters"]
    values = {name: one["defaultValue"] for name, one in known.items() if "defaultValue" in one} | given
    if missing := known.keys() - values.keys():
        raise DriverError(f"no value for {', '.join(sorted(missing))}")
    return {name: _as_protobuf(value) for name, value in values.items()}


def resolve(
    task: dict[str, Any], component: dict[str, Any], group: Execution, run_id: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """v2/driver/resolve.go: resolveInputs. Return the parameters and the artifacts of a task in `group`."""
    definitions = component.get("inputDefinitions", {}).get("parameters", {})
    given = task.get("inputs", {})
    values = {
        name: _as_protobuf(_parameter(one, task, group, run_id)) for name, one in given.get("parameters", {}).items()
    }
    for name, definition in definitions.items():
        if name in values:
            values[name] = _typed(name, values[name], definition["parameterType"])
        elif "dag" in component and definition.get("isOptional"):
            values[name] = definition.get("defaultValue")
        elif not definition.get("isOptional") and "defaultValue" not in definition:
            raise DriverError(f"neither value nor default value provided for non-optional parameter {name!r}")
    artifacts = {name: {"artifacts": [_artifact(one, group)]} for name, one in given.get("artifacts", {}).items()}
    return values, artifacts


def will_run(task: dict[str, Any], values: dict[str, Any]) -> bool:
    """v2/expression: a condition is about the values of inputs, and about their types."""
    condition = task.get("triggerPolicy", {}).get("condition")
    if not condition:
        return True
    match = _CONDITION.fullmatch(condition)
    assert match, condition
    return values[match[1]] is (match[2] == "true")


def executor_input(
    values: dict[str, Any], artifacts: dict[str, Any], component: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """v2/driver/driver.go: provisionOutputs. A path is the address of an artifact here, and new in each execution."""
    outputs = component.get("outputDefinitions", {})
    place = folder / uuid.uuid4().hex
    made = {
        name: {"artifacts": [{"name": name, "uri": str(place / name), "type": one["artifactType"], "metadata": {}}]}
        for name, one in outputs.get("artifacts", {}).items()
    }
    files = {name: {"outputFile": str(place / "parameters" / name)} for name in outputs.get("parameters", {})}
    return {
        "inputs": {"parameterValues": values, "artifacts": artifacts},
        "outputs": {"artifacts": made, "parameters": files, "outputFile": str(place / "output_metadata.json")},
    }


def fingerprint(asked: dict[str, Any], component: dict[str, Any], container: dict[str, Any]) -> str:
    """v2/cacheutils/cache.go: GenerateCacheKey. Inputs, the ids of input artifacts, outputs, the command, the image."""
    key = {
        "artifacts": {name: one["artifacts"][0]["name"] for name, one in asked["inputs"]["artifacts"].items()},
        "parameters": asked["inputs"]["parameterValues"],
        "outputs": component.get("outputDefinitions", {}),
        "command": [*container["command"], *container["args"]],
        "image": container["image"],
    }
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()


def pod(
    container: dict[str, Any],
    platform: dict[str, Any],
    values: dict[str, Any],
    group: Execution,
    run_id: str,
    secrets: dict[str, dict[str, str]],
) -> Pod:
    """v2/driver/driver.go: initPodSpecPatch, and v2/driver/k8s.go: extendPodSpecPatch."""
    environment = {one["name"]: one["value"] for one in container.get("env", [])}
    for one in platform.get("fieldPathAsEnv", []):
        assert one["fieldPath"] == "metadata.labels['pipeline/runid']"
        environment[one["name"]] = run_id
    named = []
    for one in platform.get("secretAsEnv", []):
        named.append(_from_group(one["secretNameParameter"]["componentInputParameter"], group))
        if not isinstance(named[-1], str) or not named[-1]:
            raise DriverError("failed to resolve secret name: Expected a non-empty string")
        found = secrets.get(named[-1], {})
        if not one.get("optional") and not found.keys() >= {key["secretKey"] for key in one["keyToEnv"]}:
            raise DriverError(f"CreateContainerConfigError: secret {named[-1]} or a key of it not found")
        known = {key["envVar"]: found.get(key["secretKey"]) for key in one["keyToEnv"]}
        environment |= {name: value for name, value in known.items() if value is not None}
    selector = platform.get("nodeSelector", {}).get("nodeSelectorJson")
    tolerations = [
        each
        for one in platform.get("tolerations", [])
        for each in _from_group(one["tolerationJson"]["componentInputParameter"], group)
    ]
    return Pod(
        environment,
        _resources(container.get("resources", {}), values),
        _from_group(selector["componentInputParameter"], group) if selector else {},
        tolerations,
        float(platform.get("activeDeadlineSeconds", 0)),
        named,
    )


def _parameter(one: dict[str, Any], task: dict[str, Any], group: Execution, run_id: str) -> Any:
    """v2/driver/resolve.go: resolveInputParameter. A text that contains more than a placeholder stays as it is."""
    if "componentInputParameter" in one:
        return _from_group(one["componentInputParameter"], group)
    if "taskOutputParameter" in one:
        output = one["taskOutputParameter"]
        return _producer(output["producerTask"], group).outputs.get(output["outputParameterKey"])
    if "taskFinalStatus" in one:
        producer = group.children[task["dependentTasks"][0]]
        return {
            "state": producer.state,
            "pipelineTaskName": producer.task,
            "pipelineJobResourceName": f"berth-{run_id[:5]}",
            "error": {},
        }
    constant = one["runtimeValue"]["constant"]
    return run_id if constant == "{{$.pipeline_job_uuid}}" else constant


def _artifact(one: dict[str, Any], group: Execution) -> Any:
    if "componentInputArtifact" in one:
        name = one["componentInputArtifact"]
        if name not in group.artifacts:
            raise DriverError(f"parent DAG does not have input artifact {name}")
        return group.artifacts[name]["artifacts"][0]
    output = one["taskOutputArtifact"]
    return _producer(output["producerTask"], group).output_artifacts[output["outputArtifactKey"]]


def _producer(task: str, group: Execution) -> Execution:
    if task not in group.children:
        raise DriverError(f"producer task, {task}, not in tasks")
    return group.children[task]


def _from_group(name: str, group: Execution) -> Any:
    if name not in group.inputs:
        raise DriverError(f"parent DAG does not have input parameter {name}")
    return group.inputs[name]


def _typed(name: str, value: Any, kind: str) -> Any:
    """v2/driver/resolve.go: handleParamTypeValidationAndConversion. A text takes anything, as JSON."""
    if kind == "STRING":
        return value if isinstance(value, str) else json.dumps(value)
    if value is None:
        raise DriverError(f"got null for input parameter {name!r}")
    if not isinstance(value, _KINDS[kind]) or (isinstance(value, bool) and kind != "BOOLEAN"):
        raise DriverError(f"input parameter {name!r} type mismatch: expect {kind}, got {type(value).__name__}")
    return value


def _resources(asked: dict[str, Any], values: dict[str, Any]) -> dict[str, str]:
    """v2/driver/driver.go: getPodResource. Only a text is filled in; of a number nothing is left."""
    accelerator = asked.get("accelerator", {})
    texts = {
        "memory limit": asked.get("resourceMemoryLimit"),
        "memory": asked.get("resourceMemoryRequest"),
        "cpu": asked.get("resourceCpuRequest"),
        "accelerators": accelerator.get("resourceCount"),
    }
    found = {name: _filled(text, values) for name, text in texts.items() if text}
    for name, text in found.items():
        if not _QUANTITY.fullmatch(text):
            raise DriverError(f"failed to init podSpecPatch: {name}: {text!r} is not a quantity")
    return found


def _filled(text: str, values: dict[str, Any]) -> str:
    match = _PARAMETER.fullmatch(text)
    if not match:
        return text
    value = values[match[1]]
    if isinstance(value, str) and (inner := _PARAMETER.fullmatch(value)):
        value = values[inner[1]]
    return value if isinstance(value, str) else ""


def _as_protobuf(value: Any) -> Any:
    """Return what a protobuf Struct makes of a value, as Go writes it: a whole number without a point."""
    if isinstance(value, dict):
        return {key: _as_protobuf(own) for key, own in value.items()}
    if isinstance(value, list):
        return [_as_protobuf(own) for own in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
