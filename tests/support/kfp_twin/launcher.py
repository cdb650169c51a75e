"""KFP's launcher: it runs a step's real command, and keeps what the step has written."""

import json
import os
import random
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from pipeline.local.warm_pool import Running, WarmProcess
from tests.support import kfp_metadata
from tests.support.kfp_twin.metadata_store import Execution, MetadataStore

_TEXT_TO: dict[str, Callable[[str], Any]] = {
    "STRING": str,
    "NUMBER_INTEGER": lambda text: int(text.strip()),
    "NUMBER_DOUBLE": lambda text: float(text.strip()),
    "BOOLEAN": lambda text: {"true": True, "false": False}[text.strip().lower()],
    "LIST": json.loads,
    "STRUCT": json.loads,
}


def command(container: dict[str, Any], component: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """v2/component/launcher_v2.go: compileCmdAndArgs, addDefaultParams.

    `{{$}}` becomes the JSON of all inputs first; then every placeholder in it is replaced, in any order and without
    escaping.
    """
    definitions = component.get("inputDefinitions", {}).get("parameters", {})
    defaults = {name: one["defaultValue"] for name, one in definitions.items() if "defaultValue" in one}
    values = defaults | asked["inputs"]["parameterValues"]
    whole = json.dumps(asked | {"inputs": asked["inputs"] | {"parameterValues": values}}, ensure_ascii=False)
    kfp_metadata.check_argument(whole)
    placeholders = [(f"{{{{$.inputs.parameters['{name}']}}}}", _written(value)) for name, value in values.items()]
    random.shuffle(placeholders)
    made = []
    for argument in [*container["command"], *container["args"]]:
        text = argument.replace("{{$}}", whole)
        for placeholder, value in placeholders:
            text = text.replace(placeholder, value)
        made.append(text)
    return made


def launch(
    arguments: list[str],
    environment: dict[str, str],
    asked: dict[str, Any],
    log: Path,
    is_stopped: Callable[[], bool],
    warm: WarmProcess | None = None,
) -> int | None:
    """Run the command, in a fork of `warm` if there is one; return its exit code, None where it was stopped meanwhile.

    SIGTERM comes to the launcher alone, which does not pass it on and ends (v2/component/launcher_v2.go: execute). The
    container ends with it, and the kernel kills what is left in it: the step hears nothing.
    """
    outputs = asked["outputs"]
    places = [one["artifacts"][0]["uri"] for one in outputs["artifacts"].values()]
    places += [one["outputFile"] for one in outputs["parameters"].values()] + [outputs["outputFile"]]
    for place in places:
        Path(place).parent.mkdir(parents=True, exist_ok=True)
    process = _started(arguments, environment, warm)
    copying = threading.Thread(target=_copy, args=(process.stdout, log))
    copying.start()
    try:
        while True:
            try:
                return process.wait(0.05)
            except subprocess.TimeoutExpired:
                if is_stopped():
                    os.killpg(process.pid, signal.SIGKILL)
                    process.wait(None)
                    return None
    finally:
        copying.join()


def _started(
    arguments: list[str], environment: dict[str, str], warm: WarmProcess | None
) -> Running | subprocess.Popen[str]:
    if warm:
        program, *others = arguments[3:]
        request = {"arguments": others, "program": program, "environment": environment | {"_KFP_RUNTIME": "true"}}
        if running := warm.start(request):
            return running
    return subprocess.Popen(
        arguments,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        env=environment,
        process_group=0,
    )


def _copy(output: IO[str] | None, log: Path) -> None:
    assert output
    with output, log.open("w", encoding="utf-8") as stream:
        shutil.copyfileobj(output, stream)


def publish(store: MetadataStore, execution: Execution, component: dict[str, Any], succeeded: bool) -> None:
    """v2/component/launcher_v2.go: executeV2, collectOutputParameters, mergeRuntimeArtifacts. ValueError fails it."""
    if not succeeded:
        store.publish(execution, "FAILED", {}, {})
        return
    outputs = execution.executor_input["outputs"]
    written: dict[str, Any] = {}
    if Path(outputs["outputFile"]).exists():
        written = json.loads(Path(outputs["outputFile"]).read_text(encoding="utf-8"))
    values = dict(written.get("parameterValues", {}))
    definitions = component.get("outputDefinitions", {}).get("parameters", {})
    for name, one in outputs["parameters"].items():
        if name not in values:
            text = Path(one["outputFile"]).read_text(encoding="utf-8")
            values[name] = _TEXT_TO[definitions[name]["parameterType"]](text)
    artifacts = {}
    for name, one in outputs["artifacts"].items():
        own = one["artifacts"][0]
        made = written.get("artifacts", {}).get(name, {"artifacts": [{}]})["artifacts"][0]
        artifacts[name] = own | {"uri": made.get("uri") or own["uri"], "metadata": made.get("metadata", {})}
    store.publish(execution, "COMPLETE", values, artifacts)


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
