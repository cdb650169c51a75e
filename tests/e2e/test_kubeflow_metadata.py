"""Whole runs of which each step gets the earlier steps' outputs as Kubeflow changes them on the way."""

import dataclasses
from pathlib import Path
from typing import Any

import mlflow
import pytest
from kfp import dsl
from kfp.local.orchestrator import task_executor

from berth.tracking import tags
from pipeline.config.run_config import RunConfig
from pipeline.local import backend, runner
from tests.support import kfp_metadata
from tests.support.calling import MESSAGES

pytestmark = pytest.mark.timeout(1200)  # whole runs

MANY = [f"subject-{number % 40:02d}\t{line.split(chr(9), 1)[1]}" for number, line in enumerate(MESSAGES[:400])]
"""Real messages under more labels than Kubeflow's pages show."""


class Silent:
    """A reporter that tells nobody."""

    def started(self, step: str) -> None: ...
    def progressed(self, step: str, made: Any) -> None: ...
    def logged(self, step: str, line: str) -> None: ...
    def ended(self, step: runner.Step) -> None: ...


@pytest.fixture
def as_kubeflow(monkeypatch) -> list[str]:
    """Change the outputs of every step as KFP does; return the inputs that steps were started with."""
    execute, inputs = task_executor.execute_single_task, []

    def changed(**arguments: Any) -> Any:
        outputs, outcome = execute(**arguments)
        for output in outputs.values():
            if isinstance(output, dsl.Artifact):
                output.metadata = kfp_metadata.round_trip(output.metadata)
        return outputs, outcome

    environments = backend.environments

    def watched(pool: Any) -> runner.StepRunner:
        made = environments(pool)

        def run(image: str, command: list[str], *others: Any) -> int:
            inputs.append(command[command.index("--executor_input") + 1])
            kfp_metadata.check_argument(inputs[-1])
            return made.execute(image, command, *others)

        return dataclasses.replace(made, execute=run)

    monkeypatch.setattr(task_executor, "execute_single_task", changed)
    monkeypatch.setattr(backend, "environments", watched)
    return inputs


@pytest.mark.parametrize(
    ("messages", "accuracy", "alias"), [(None, 0.1, "champion"), (MANY, 1.0, "challenger")], ids=["pushed", "refused"]
)
def test_model_gets_through_kubeflow_to_the_registry(workspace, as_kubeflow, monkeypatch, messages, accuracy, alias):
    """Push and refuse read gates, scores and labels, which KFP changes where they are lists or dicts."""
    folder = workspace(messages, gates={"min_accuracy": accuracy}, schema="", evaluation={"resamples": 1000})
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    result = backend.run(RunConfig.load(folder / "config.yaml"), Path("config.yaml"), Silent())
    assert [step.name for step in result.steps][-2:] == ["push" if alias == "champion" else "refuse", "finish"]
    client = mlflow.MlflowClient(f"sqlite:///{folder / '.berth/mlflow.db'}")
    version = client.get_model_version_by_alias("sms-spam", alias)
    assert version.tags[tags.VERDICT].startswith("BLESSED" if alias == "champion" else "NOT BLESSED: min_accuracy")
    assert ("berth.gate.min_accuracy" in version.tags) == (alias == "challenger")
    assert "| accuracy" in version.description
    labels = ["ham", "spam"] if messages is None else sorted({line.split("\t")[0] for line in MANY})
    assert f"{len(labels)} labels: {labels[0]}, " in version.description
    model = mlflow.models.get_model_info(f"models:/sms-spam@{alias}")
    assert model.signature.outputs.input_names() == ["label", "probability", *(f"p({label})" for label in labels)]
    assert max(map(len, as_kubeflow)) < 20_000
