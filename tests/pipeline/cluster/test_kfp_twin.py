"""The rules by which the tests' Kubeflow runs a pipeline, on commands that take no time."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline.dags import compiler
from tests.support.kfp_twin import launcher
from tests.support.kfp_twin.metadata_store import MetadataStore
from tests.support.kfp_twin.workflow import Clock, Workflow, tries

DAY = 24 * 3600


class Shell:
    """A pipeline of the steps a and b in a group, with an exit task: each is a shell's script."""

    def __init__(self, folder: Path, **scripts: str) -> None:
        self.folder, self.cancelled = folder, False
        self.policies: dict[str, Any] = {}
        self.deadlines: dict[str, int] = {}
        self.ended: list[tuple[str, str, str]] = []
        names = {"a": "true", "b": "true", "finish": "true"} | scripts
        inputs = {"status": {"taskFinalStatus": {"producerTask": "steps"}}}
        after = {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
        self.tasks = {name: {"componentRef": {"name": f"comp-{name}"}, "taskInfo": {"name": name}} for name in names}
        self.tasks["b"]["dependentTasks"] = ["a"]
        self.tasks["finish"] |= {"dependentTasks": ["steps"], "triggerPolicy": after, "inputs": {"parameters": inputs}}
        group = {"dag": {"tasks": {name: self.tasks[name] for name in ("a", "b")}}}
        steps = {"componentRef": {"name": "comp-steps"}, "taskInfo": {"name": "steps"}}
        components: dict[str, Any] = {f"comp-{name}": {"executorLabel": f"exec-{name}"} for name in names}
        components["comp-finish"]["inputDefinitions"] = {"parameters": {"status": {"parameterType": "STRUCT"}}}
        commands = {
            f"exec-{name}": {"container": {"image": "i", "command": ["sh", "-c", script, "{{$}}"], "args": []}}
            for name, script in names.items()
        }
        root = {
            "dag": {"tasks": {"steps": steps, "finish": self.tasks["finish"]}},
            "inputDefinitions": {"parameters": {}},
        }
        components["comp-steps"] = group
        self.spec = {"root": root, "components": components, "deploymentSpec": {"executors": commands}}

    def workflow(self) -> Workflow:
        for name, policy in self.policies.items():
            self.tasks[name]["retryPolicy"] = policy
        limits = {f"exec-{name}": {"activeDeadlineSeconds": seconds} for name, seconds in self.deadlines.items()}
        platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": limits}}}}
        return Workflow(
            "run",
            [self.spec, platform],
            MetadataStore(),
            self.folder,
            {},
            lambda image: {"HERE": str(self.folder), "PATH": "/usr/bin:/bin"},
            lambda step, phase, one: self.ended.append((step, one.phase, one.reason)) if one else None,
            lambda: self.cancelled,
            lambda image: None,
        )


SHOWN = 'printf "%s" "$0" >> "$HERE/finished"'
"""A script that keeps its inputs."""


def statuses(folder: Path) -> list[str]:
    written = (folder / "finished").read_text().replace("}{", "}\n{").splitlines()
    return [json.loads(line)["inputs"]["parameterValues"]["status"]["state"] for line in written]


def test_exit_task_runs_after_a_failure_and_after_success(tmp_path):
    """What failed is omitted from then on; a retry goes on with it, and repeats no exit task that succeeded."""
    shell = Shell(tmp_path, a='test -e "$HERE/there"', finish=SHOWN)
    workflow = shell.workflow()
    assert workflow.run({}) == "Failed"
    assert [name for name, _, _ in shell.ended] == ["a", "finish"]
    (tmp_path / "there").touch()
    workflow.forget_failures()
    assert workflow.run({}) == "Succeeded"
    assert [name for name, _, _ in shell.ended] == ["a", "finish", "a", "b"]
    assert statuses(tmp_path) == ["FAILED"]


def test_second_try_that_succeeds_leaves_the_group_complete(tmp_path):
    shell = Shell(tmp_path, a='test "$KFP_RETRY_INDEX" = 1', finish=SHOWN)
    shell.policies = {"a": {"maxRetryCount": 3, "backoffDuration": "30s", "backoffMaxDuration": "100s"}}
    assert shell.workflow().run({}) == "Succeeded"
    assert [phase for _, phase, _ in shell.ended] == ["Failed", "Succeeded", "Succeeded", "Succeeded"]
    assert statuses(tmp_path) == ["COMPLETE"]


def test_step_at_its_time_limit_is_tried_again(tmp_path):
    shell = Shell(tmp_path, a='test -e "$HERE/once" || { touch "$HERE/once"; sleep 60; }')
    shell.policies, shell.deadlines = {"a": {"maxRetryCount": 1, "backoffMaxDuration": "9s"}}, {"a": 1}
    assert shell.workflow().run({}) == "Succeeded"
    assert shell.ended[:2] == [("a", "Failed", "DeadlineExceeded"), ("a", "Succeeded", "Completed")]


def test_cancelled_step_hears_nothing_and_is_not_repeated(tmp_path):
    """Nobody publishes its end either: the exit task is told that the steps are RUNNING, and has one try."""
    shell = Shell(tmp_path, a='trap "touch $HERE/heard" TERM; touch "$HERE/on"; sleep 60', finish=f"{SHOWN}; false")
    shell.policies = {name: {"maxRetryCount": 3, "backoffMaxDuration": "9s"} for name in ("a", "finish")}
    workflow = shell.workflow()
    workflow.is_cancelled = (tmp_path / "on").exists
    assert workflow.run({}) == "Failed"
    assert [name for name, _, _ in shell.ended] == ["a", "finish"]
    assert statuses(tmp_path) == ["RUNNING"]
    assert not (tmp_path / "heard").exists()


@pytest.mark.parametrize("step", ["locate", "ingest", "train", "push"])
def test_each_try_may_wait_a_day_and_use_its_time_limit(compiled, step):
    """KFP's `backoffMaxDuration` ends a series of tries, counted from the first one's start."""
    pipeline, platform = compiler.read(compiled.read_text(encoding="utf-8"))
    (policy,) = [
        found["tasks"][step]["retryPolicy"]
        for component in pipeline["components"].values()
        if step in (found := component.get("dag", {"tasks": {}}))["tasks"]
    ]
    limits = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"][f"exec-{step}"]
    clock = Clock()
    tried = 0
    for _ in tries(policy, clock, lambda: False):
        clock.sleep(DAY + int(limits["activeDeadlineSeconds"]))
        tried += 1
    assert tried == policy["maxRetryCount"] + 1 > 1


def test_time_that_is_up_ends_a_series_of_tries():
    policy = {"maxRetryCount": 3, "backoffDuration": "60s", "backoffMaxDuration": "600s"}
    for seconds, expected in ((100, 4), (700, 1)):
        clock, tried = Clock(), 0
        for _ in tries(policy, clock, lambda: False):
            clock.sleep(seconds)
            tried += 1
        assert tried == expected


def test_values_are_filled_into_a_text_without_escaping():
    """So a text made of parameters ends the JSON that it is in; a parameter by itself does not."""
    container = {"command": ["python"], "args": ["{{$}}"]}
    values = {"gates": {"min_accuracy": 0.9}, "alone": 'a "quoted" line\n'}
    asked = {"inputs": {"parameterValues": values}, "outputs": {}}
    (_, given) = launcher.command(container, {}, asked)
    assert json.loads(given)["inputs"]["parameterValues"] == values
    values["settings"] = "gates={{$.inputs.parameters['gates']}}"
    (_, given) = launcher.command(container, {}, asked)
    with pytest.raises(ValueError, match="delimiter"):
        json.loads(given)
