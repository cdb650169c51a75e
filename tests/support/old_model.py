"""The registry that the code before the three floors left, made again in another folder with plain MLflow calls."""

import json
import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import mlflow
from mlflow.entities import LoggedModelOutput, Metric, Param

FIXTURES = Path(__file__).parents[1] / "berth/models/fixtures"
"""Its README.md tells how these files were made."""
NAME = "sms-spam"


def predictions() -> list[dict[str, Any]]:
    """Return what the old `berth predict --json` answered."""
    return json.loads((FIXTURES / "predictions.json").read_text(encoding="utf-8"))


def restore(folder: Path) -> str:
    """Make FOLDER/.berth/mlflow.db, artifacts/ and an empty serving/ as the old `berth run` left them; return the URI.

    What differs from the old store: ids and times, which MLflow gives, the folder's path, runs of steps other than
    push, and files in serving/, which a rollback publishes out of the registry where they are missing.

    MLFLOW_TRACKING_URI is set to the new store: in a test let monkeypatch set and remove it, with no
    mlflow.set_tracking_uri before.
    """
    left = json.loads((FIXTURES / "versions.json").read_text(encoding="utf-8"))
    home = folder.resolve() / ".berth"
    (home / "serving" / left["name"]).mkdir(parents=True)
    uri = f"sqlite:///{home / 'mlflow.db'}"
    os.environ["MLFLOW_TRACKING_URI"] = uri  # where MLflow looks a models:/m-... URI up, whatever a client is given
    client = mlflow.MlflowClient()
    experiment = client.create_experiment(left["name"], artifact_location=(home / "artifacts").as_uri())
    new = {left["folder"]: str(folder.resolve())}
    """What stands in the old store, an id or the folder, and what stands for it in this one."""

    def moved(value: str) -> str:
        for old, own in new.items():
            value = value.replace(old, own)
        return value

    for run in left["runs"]:  # a run comes after the one that it is nested in
        tags = {key: moved(value) for key, value in run["tags"].items()}
        made = client.create_run(experiment, run_name=run["name"], tags=tags).info
        new[run["run_id"]] = made.run_id
        client.log_batch(
            made.run_id,
            params=[Param(key, moved(value)) for key, value in run["params"].items()],
            metrics=[Metric(key, value, made.start_time, 0) for key, value in run["metrics"].items()],
        )
        client.set_terminated(made.run_id, run["status"])

    (champion,) = (own for own in left["versions"] if own["version"] == left["aliases"]["champion"])
    client.create_registered_model(left["name"])
    for version in left["versions"]:
        push_run, pipeline_run = new[version["run_id"]], new[version["tags"]["berth.run_id"]]
        model = client.create_logged_model(
            experiment, "model", source_run_id=push_run, params={"model_name": left["name"]}
        )
        with tempfile.TemporaryDirectory() as scratch:
            with tarfile.open(FIXTURES / "model.tar.xz") as archive:
                archive.extractall(scratch, filter="data")
            stored = Path(scratch) / "model"
            mlmodel = stored / "MLmodel"
            # The archive is the champion's; version 1 had the same files but for these three.
            text = mlmodel.read_text(encoding="utf-8").replace(left["folder"], new[left["folder"]])
            text = text.replace(champion["model_id"], model.model_id).replace(champion["run_id"], push_run)
            mlmodel.write_text(text, encoding="utf-8")
            client.log_model_artifacts(model.model_id, str(stored))
        client.finalize_logged_model(model.model_id, "READY")
        for run_id in (push_run, pipeline_run):
            client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
        registered = client.create_model_version(
            left["name"],
            f"models:/{model.model_id}",
            run_id=push_run,
            tags={key: moved(value) for key, value in version["tags"].items()},
            description=moved(version["description"]),
            model_id=model.model_id,
        )
        assert int(registered.version) == version["version"]
    for alias, number in left["aliases"].items():
        client.set_registered_model_alias(left["name"], alias, str(number))
    return uri
