"""Only better models reach users: a worse one is refused, a good one rolled back, by the commands that people use."""

from pathlib import Path

import mlflow
import pytest

from berth.tracking import tags
from tests.support.calling import GOOD, Done, berth, write_config

pytestmark = pytest.mark.timeout(600)  # whole runs


@pytest.fixture(scope="module")
def folder(champion) -> Path:
    return champion


@pytest.fixture(scope="module")
def worse(folder, tiny_bert) -> Done:
    """One training step: all 1,600 texts are one batch."""
    write_config(folder, **GOOD | {"epochs": 1, "batch_size": 2000}, **tiny_bert)
    return berth(folder, "run", "config.yaml", "--fail-if-not-blessed")


@pytest.fixture(scope="module")
def client(folder) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{folder / '.berth/mlflow.db'}")


def aliases(client: mlflow.MlflowClient) -> dict[str, str]:
    return {alias: str(version) for alias, version in client.get_registered_model("sms-spam").aliases.items()}


def served(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / ".berth/serving/sms-spam").iterdir() if path.name.isdigit())


def test_the_first_model_is_pushed_without_a_champion(client):
    assert aliases(client) == {"champion": "1"}


def test_a_worse_model_is_refused_and_the_champion_stays(worse, client, folder):
    """It was trained for one step."""
    assert worse.returncode == 3, worse.stdout + worse.stderr
    shown = " ".join(worse.stdout.split())
    assert "NOT BLESSED" in shown
    assert "max_drop macro_f1 -0." in shown
    assert "sms-spam version 2 is challenger; version 1 stays champion" in shown
    assert aliases(client) == {"champion": "1", "challenger": "2"}
    assert served(folder) == ["1"]
    refused = client.get_model_version("sms-spam", "2")
    assert refused.tags["berth.gate.max_drop"].startswith("macro_f1 -0.")
    run = client.get_run(refused.tags[tags.PIPELINE_RUN])
    assert run.info.status == "FINISHED"
    assert run.data.tags[tags.VERDICT].startswith("NOT BLESSED: ")
    assert run.data.tags[tags.DESCRIPTION].startswith("**NOT BLESSED: ")


def test_a_rollback_restores_the_first_in_mlflow_and_serving(worse, folder, client, tiny_bert):
    """The second is trained as the worse one was, and comes from the cache: its gates are lower."""
    gates = {"min_accuracy": 0.1}
    write_config(folder, **GOOD | {"epochs": 1, "batch_size": 2000, "gates": gates}, **tiny_bert)
    second = berth(folder, "run", "config.yaml")
    assert second.returncode == 0, second.stdout + second.stderr
    assert aliases(client) == {"champion": "3", "previous": "1", "challenger": "2"}
    assert served(folder) == ["1", "3"]
    done = berth(folder, "rollback", "sms-spam", "--reason", "a check")
    assert done.returncode == 0, done.stderr
    assert aliases(client)["champion"] == "1"
    assert served(folder) == ["1"]
    assert client.get_model_version("sms-spam", "3").version, "what was rolled back from stays in the registry"
    listed = berth(folder, "models", "sms-spam")
    assert listed.returncode == 0
    assert max(map(len, listed.stdout.splitlines())) <= 80
    assert berth(folder, "predict", "sms-spam", "hello").returncode == 0
