"""ML Metadata as KFP uses it: the executions of a run, their outputs, and what the cache finds again."""

import copy
import itertools
from dataclasses import dataclass, field
from typing import Any

from tests.support import kfp_metadata


@dataclass
class Execution:
    """An execution of a container or of a group of tasks."""

    number: int
    task: str
    parent: "Execution | None"
    inputs: dict[str, Any]
    artifacts: dict[str, Any]
    state: str = "RUNNING"
    outputs: dict[str, Any] = field(default_factory=dict)
    output_artifacts: dict[str, dict[str, Any]] = field(default_factory=dict)
    tasks: int = 0
    """How many tasks a group has; 0 for the whole pipeline, whose state nobody keeps."""
    children: dict[str, "Execution"] = field(default_factory=dict)
    fingerprint: str = ""
    executor_input: dict[str, Any] = field(default_factory=dict)


class MetadataStore:
    """The executions of all runs of a backend."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.cache: dict[str, Execution] = {}

    def create(self, task: str, parent: Execution | None, inputs: dict[str, Any], artifacts: Any = None) -> Execution:
        made = Execution(next(self._numbers), task, parent, inputs, artifacts or {})
        if parent:
            parent.children[task] = made
        return made

    def publish(self, execution: Execution, state: str, outputs: dict[str, Any], artifacts: dict[str, Any]) -> None:
        """Keep the outputs, metadata as ML Metadata has it, and say what became of the execution and its group."""
        stored = {
            name: one | {"name": str(next(self._numbers)), "metadata": kfp_metadata.round_trip(one["metadata"])}
            for name, one in artifacts.items()
        }
        execution.outputs, execution.output_artifacts, execution.state = dict(outputs), stored, state
        if state == "COMPLETE" and execution.fingerprint:
            self.cache[execution.fingerprint] = execution
        update_group(execution.parent)

    def reuse(self, execution: Execution, cached: Execution) -> None:
        """v2/driver/cache.go: reuseCachedOutputs. Only a launcher updates the state of the group; a driver does not."""
        execution.outputs = copy.deepcopy(cached.outputs)
        execution.output_artifacts = copy.deepcopy(cached.output_artifacts)
        execution.state = "CACHED"


def update_group(group: Execution | None) -> None:
    """v2/metadata/client.go: UpdateDAGExecutionsState. COMPLETE when all its tasks are, FAILED after one failed try."""
    if group is None or not group.tasks:
        return
    states = [child.state for child in group.children.values()]
    if sum(state in ("COMPLETE", "CACHED", "CANCELED") for state in states) == group.tasks:
        group.state = "COMPLETE"
    elif "FAILED" in states:
        group.state = "FAILED"
    else:
        return
    update_group(group.parent)
