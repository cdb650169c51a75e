"""`berth pretrain` from a checkpoint of Hugging Face, and what its encoder is for: words, and a classifier."""

from pathlib import Path

import mlflow
import pytest
import yaml

from berth.tracking import run_tree, tags
from tests.support import checkpoint
from tests.support.calling import MESSAGES, QUICK, Done, berth, write_config

pytestmark = pytest.mark.timeout(600)  # whole runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("pretrain [1]")


@pytest.fixture(scope="module")
def pretrained(folder) -> Done:
    (folder / "messages.tsv").write_text("".join(MESSAGES[:600]), encoding="utf-8")
    settings = {
        "pipeline": "pretraining",
        "name": "tiny-encoder",
        "source": "messages.tsv",
        "columns": ["label", "text"],
        "held_out": 0.1,
        "encoder": "checkpoint",
        "pretraining": {"steps": 6, "sequence_lengths": [32], "evaluations": 1},
        "probe": {
            "source": {"sql": "SELECT column0 AS label, column1 AS text FROM read_csv('messages.tsv', header=false)"},
            **{"sizes": [20], "seeds": 2, "test": 40, "fine_tune": False},
        },
        "gates": {"max_mlm_loss": 100},
    }
    checkpoint.write(folder / "checkpoint")
    (folder / "pretrain.yaml").write_text(yaml.safe_dump(settings))
    return berth(folder, "pretrain", "pretrain.yaml", XDG_CACHE_HOME=str(folder / "cache"))


@pytest.fixture(scope="module")
def client(folder, pretrained) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{folder / '.berth/mlflow.db'}")


def runs(client: mlflow.MlflowClient, name: str) -> list[mlflow.entities.Run]:
    found = client.search_runs([client.get_experiment_by_name(name).experiment_id])
    return [run for run in found if tags.PARENT not in run.data.tags]


def test_an_encoder_from_a_checkpoint_is_registered(pretrained, client, folder):
    assert pretrained.returncode == 0, pretrained.stdout + pretrained.stderr
    for step in ("ingest_corpus", "ingest_probe", "vocabulary", "pretrain", "evaluate_encoder", "push_encoder"):
        assert any(line.startswith(f"✓ {step}") for line in pretrained.stdout.splitlines()), step
    assert max(len(line) for line in pretrained.stdout.splitlines() if ".venv" not in line) <= 80
    assert "tiny-encoder version 1 is champion" in pretrained.stdout
    assert (folder / ".berth/serving/tiny-encoder/1/preprocessor/saved_model.pb").is_file()
    (run,) = runs(client, "tiny-encoder")
    steps = {step.data.tags[tags.STEP]: step for step in run_tree.children(client, run.info.run_id)}
    assert {step.info.status for step in steps.values()} == {"FINISHED"}
    curve = client.get_metric_history(steps["pretrain"].info.run_id, "val_mlm_loss")
    assert sorted(point.step for point in curve) == [0, 1], "it begins with the encoder before"
    assert run.info.status == "FINISHED"
    assert "tiny-encoder version 1" in run.data.tags[tags.DESCRIPTION]


def test_it_fills_in_words_and_refuses_to_classify(pretrained, folder):
    filled = berth(folder, "fill", "tiny-encoder", "see you [MASK] then", "-n", "3")
    assert filled.returncode == 0, filled.stderr
    assert len(filled.stdout.splitlines()) == 3
    asked = berth(folder, "predict", "tiny-encoder", "see you then")
    assert asked.returncode == 1
    assert asked.stderr.startswith("error: tiny-encoder: an encoder, which has no labels. See what it knows with")


@pytest.fixture(scope="module")
def classifier(pretrained, folder) -> Done:
    """The run of a classifier that begins from the encoder, and is below its gates."""
    settings = {"encoder": "models:/tiny-encoder@champion", "preprocessor": "", **QUICK}
    write_config(folder, **settings | {"gates": {"min_accuracy": 1.0, "min_macro_f1": 1.0}})
    return berth(folder, "run", "config.yaml", XDG_CACHE_HOME=str(folder / "cache"))


def test_a_classifier_begins_from_the_registered_encoder(classifier, client):
    assert classifier.returncode == 0, classifier.stdout + classifier.stderr
    (run,) = runs(client, "sms-spam")
    assert run.data.tags[tags.ENCODER_VERSION] == "tiny-encoder/1"
    assert "tiny-encoder version 1" in run.data.tags[tags.DESCRIPTION]
    assert client.get_model_version("tiny-encoder", "1").tags[f"{tags.USED_BY}sms-spam"] == "1"


def test_a_model_below_its_gates_is_not_pushed_and_says_so(classifier, client, folder):
    """There is no champion before it. That is no failure: nobody asked for --fail-if-not-blessed."""
    assert classifier.returncode == 0, classifier.stdout + classifier.stderr
    assert "NOT BLESSED" in classifier.stdout
    assert set(client.get_registered_model("sms-spam").aliases) == {"challenger"}
    assert not list((folder / ".berth/serving").glob("sms-spam/**/saved_model.pb")), "registered, and not served"
    (run,) = runs(client, "sms-spam")
    assert run.info.status == "FINISHED"
    assert run.data.tags[tags.VERDICT].startswith("NOT BLESSED")
