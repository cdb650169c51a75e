"""Argo's part: one run, task by task, with retries, time limits, the exit task and cancellation."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.local.warm_pool import WarmProcess
from tests.support.kfp_twin import driver, launcher
from tests.support.kfp_twin.metadata_store import Execution, MetadataStore


class Clock:
    """Time that goes on by itself, and at once where something waits."""

    def __init__(self) -> None:
        self._skipped = 0.0

    def now(self) -> float:
        return time.monotonic() + self._skipped

    def sleep(self, seconds: float) -> None:
        self._skipped += seconds


@dataclass(frozen=True)
class Try:
    """One pod of a step, as it ended."""

    step: str
    number: int
    phase: str
    reason: str
    log: Path
    retries: bool


def tries(policy: dict[str, Any], clock: Clock, is_cancelled: Callable[[], bool]) -> Iterator[int]:
    """Yield the number of each try, for as long as the tries fail.

    workflow/controller/operator.go: processNodeRetries. `maxDuration` counts from the first try's start: after it, no
    other try starts. Nor does one after a cancellation, not even of an exit task.
    """
    pause = _seconds(policy.get("backoffDuration", "0s"))
    start, number = clock.now(), 0
    while True:
        yield number
        number += 1
        if number > policy.get("maxRetryCount", 0) or is_cancelled():
            return
        if clock.now() + pause - start > _seconds(policy.get("backoffMaxDuration", "0s")):
            return
        clock.sleep(pause)
        pause *= policy.get("backoffFactor", 1)


class Workflow:
    """A run of a compiled pipeline: `run` runs it, and after `forget_failures` again, from where it failed."""

    def __init__(
        self,
        run_id: str,
        documents: list[dict[str, Any]],
        store: MetadataStore,
        folder: Path,
        secrets: dict[str, dict[str, str]],
        environment: Callable[[str], dict[str, str]],
        report: Callable[[str, str, Try | None], None],
        is_cancelled: Callable[[], bool],
        warm: Callable[[str], WarmProcess | None],
    ) -> None:
        self.warm = warm
        self.run_id, self.store, self.folder, self.secrets = run_id, store, folder, secrets
        self.spec, self.platform = documents[0], documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
        self.environment, self.report, self.is_cancelled = environment, report, is_cancelled
        self.clock = Clock()
        self.phases: dict[str, str] = {}
        """What became of a node, by its name."""
        self.drivers: dict[str, tuple[Execution, bool, driver.Pod | None]] = {}
        self.errors: list[str] = []
        """What drivers have failed with."""
        self.commands: list[list[str]] = []
        """Every command that was run."""

    def run(self, given: dict[str, Any]) -> str:
        """Run the pipeline with these parameters; return the phase in which it ends."""
        if "root" not in self.drivers:
            try:
                root = self.store.create("", None, driver.root_inputs(self.spec["root"], given))
            except driver.DriverError as error:
                self.errors.append(str(error))
                return "Failed"
            self.drivers["root"] = root, True, None
        return self._group("root", self.spec["root"], self.drivers["root"][0])

    def forget_failures(self) -> None:
        """common/util/workflow.go: GenerateRetryExecution. What succeeded or was skipped stays, an exit task too."""
        self.phases = {name: phase for name, phase in self.phases.items() if phase in ("Succeeded", "Skipped")}

    def _group(self, name: str, component: dict[str, Any], execution: Execution) -> str:
        """v2/compiler/argocompiler/dag.go: DAG. A task starts when all tasks that it depends on have succeeded."""
        tasks = component["dag"]["tasks"]
        last = {key for key, task in tasks.items() if _is_exit_task(task)}
        phases: dict[str, str] = {}
        while left := [key for key in sorted(tasks) if key not in phases and key not in last]:
            ready = [key for key in left if _needs(tasks[key]) <= phases.keys()]
            assert ready, f"a circle of tasks: {left}"
            for key in ready:
                if any(phases[one] != "Succeeded" for one in _needs(tasks[key])) or self.is_cancelled():
                    phases[key] = "Omitted"
                    continue
                phases[key] = self._task(f"{name}.{key}", key, tasks[key], execution)
                for end in last:
                    if key in tasks[end]["dependentTasks"]:  # a hook: it runs however that task ended
                        self._task(f"{name}.{key}.onExit.{end}", end, tasks[end], execution)
        return "Succeeded" if set(phases.values()) <= {"Succeeded", "Skipped"} else "Failed"

    def _task(self, name: str, key: str, task: dict[str, Any], group: Execution) -> str:
        if name in self.phases:
            return self.phases[name]
        component = self.spec["components"][task["componentRef"]["name"]]
        try:
            execution, runs, pod = self._driven(name, key, task, component, group)
        except driver.DriverError as error:
            self.errors.append(f"{name}: {error}")
            self.phases[name] = "Failed"
            return "Failed"
        if not runs:
            phase = "Skipped" if execution.state == "CANCELED" else "Succeeded"
        elif "dag" in component:
            phase = self._group(name, component, execution)
        else:
            assert pod
            phase = self._executor(name, key, task, component, execution, pod)
        self.phases[name] = phase
        if "dag" not in component:
            self.report(key, phase, None)
        return phase

    def _driven(
        self, name: str, key: str, task: dict[str, Any], component: dict[str, Any], group: Execution
    ) -> tuple[Execution, bool, driver.Pod | None]:
        """v2/driver/dag.go: DAG, v2/driver/container.go: Container. A driver that succeeded is not run again."""
        if name in self.drivers:
            return self.drivers[name]
        values, artifacts = driver.resolve(task, component, group, self.run_id)
        execution = self.store.create(key, group, values, artifacts)
        runs, pod = driver.will_run(task, values), None
        if not runs:
            execution.state = "CANCELED"  # v2/metadata/client.go: CreateExecution
        elif "dag" in component:
            execution.tasks = len(component["dag"]["tasks"])
        else:
            label = component["executorLabel"]
            container = self.spec["deploymentSpec"]["executors"][label]["container"]
            execution.executor_input = driver.executor_input(values, artifacts, component, self.folder)
            if task.get("cachingOptions", {}).get("enableCache"):
                execution.fingerprint = driver.fingerprint(execution.executor_input, component, container)
                if cached := self.store.cache.get(execution.fingerprint):
                    self.store.reuse(execution, cached)
                    runs = False
            pod = driver.pod(container, self.platform.get(label, {}), values, group, self.run_id, self.secrets)
        self.drivers[name] = execution, runs, pod
        return self.drivers[name]

    def _executor(
        self,
        name: str,
        key: str,
        task: dict[str, Any],
        component: dict[str, Any],
        execution: Execution,
        pod: driver.Pod,
    ) -> str:
        policy = task.get("retryPolicy", {})
        exits = _is_exit_task(task)
        for number in tries(policy, self.clock, self.is_cancelled):
            self.report(key, "Running", None)
            log = self.folder / f"{name}-{number}-{time.monotonic_ns()}.log"
            phase, reason = self._try(component, execution, pod, log, number if policy else None, exits)
            self.report(key, "Running", Try(key, number, phase, reason, log, bool(policy)))
            if phase == "Succeeded":
                return phase
        return "Failed"

    def _try(
        self,
        component: dict[str, Any],
        execution: Execution,
        pod: driver.Pod,
        log: Path,
        number: int | None,
        exits: bool,
    ) -> tuple[str, str]:
        """Run one pod; return its phase, and Kubernetes' word for how it ended.

        A cancellation ends the pods that are not an exit task's (workflow/controller/operator.go); a time limit ends
        any, and what it ends is tried again like what failed.
        """
        container = self.spec["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
        image = container["image"].rpartition("/")[2].partition("@")[0]
        variables = self.environment(image) | pod.environment
        if number is not None:
            variables["KFP_RETRY_INDEX"] = str(number)
        start = time.monotonic()

        def is_late() -> bool:
            return bool(pod.deadline) and time.monotonic() - start > pod.deadline

        try:
            command = launcher.command(container, component, execution.executor_input)
            self.commands.append(command)
            code = launcher.launch(
                command,
                variables,
                execution.executor_input,
                log,
                lambda: is_late() or (not exits and self.is_cancelled()),
                self.warm(image),
            )
            if code is None:
                return "Failed", "DeadlineExceeded" if is_late() else "Error"
            launcher.publish(self.store, execution, component, code == 0)
        except (ValueError, OSError) as error:  # what the launcher cannot pass to a step, or keep of it
            with log.open("a", encoding="utf-8") as stream:
                stream.write(f"failed to execute component: {error}\n")
            self.store.publish(execution, "FAILED", {}, {})
            return "Failed", "Error"
        return ("Succeeded", "Completed") if code == 0 else ("Failed", "OOMKilled" if code == -9 else "Error")


def _is_exit_task(task: dict[str, Any]) -> bool:
    return bool(task.get("triggerPolicy", {}).get("strategy") == "ALL_UPSTREAM_TASKS_COMPLETED")


def _needs(task: dict[str, Any]) -> set[str]:
    """v2/compiler/argocompiler/dag.go: addImplicitDependencies."""
    given = [
        *task.get("inputs", {}).get("parameters", {}).values(),
        *task.get("inputs", {}).get("artifacts", {}).values(),
    ]
    outputs = (one.get("taskOutputParameter") or one.get("taskOutputArtifact") for one in given)
    return set(task.get("dependentTasks", [])) | {one["producerTask"] for one in outputs if one}


def _seconds(text: str) -> float:
    return float(text.removesuffix("s"))
