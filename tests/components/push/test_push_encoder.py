"""push_encoder: an encoder is a registered model of its own kind, the champion only if it passed."""

import pytest

from berth.errors import BerthError
from berth.registry import fetch, promotion, versions
from berth.tracking.artifacts import packed
from tests.support.datasets import component_body

REQUIREMENTS = ["tensorflow", "tensorflow-text", "mlflow"]


@pytest.fixture
def push_one(store, artifact, models, name, tmp_path):
    """Return a function that runs the step on a SavedModel that stands for an encoder."""

    def push_one(passed: bool, of: str = "single"):
        encoder = artifact(
            "encoder",
            models / of,
            hidden="32",
            requirements=packed(REQUIREMENTS),
            summary="2,000 tokens",
            encoder="minilm",
        )
        corpus = artifact("corpus", fingerprint="f" * 64, summary="10 documents <b>")
        verdict = "BLESSED" if passed else "NOT BLESSED: must_improve +0.1"
        report = artifact("report", verdict=verdict, scores=packed({"mlm_loss": 2.5, "mlm_accuracy": 0.5}))
        made = artifact("made")
        inputs = {"encoder": encoder, "corpus": corpus, "report": report, "name": name, "model_name": ""}
        inputs["push_to"] = str(tmp_path / "encoders")
        if passed:
            component_body("push", "push_encoder")(**inputs, keep=5, pushed=made)
        else:
            component_body("push", "refuse_encoder")(**inputs, refused=made)
        return made.metadata["summary"]

    return push_one


def test_an_encoder_that_passed_is_the_champion_and_published(push_one, store, name, tmp_path):
    assert push_one(passed=True) == f"{name} version 1 is champion"
    assert (tmp_path / "encoders" / name / "1" / "saved_model.pb").is_file()
    found = store.client.get_model_version(name, "1")
    assert found.tags["berth.kind"] == "encoder"
    assert found.description.startswith("BLESSED, mlm_loss 2.5000, mlm_accuracy 0.5000\n")
    for part in ("10 documents &lt;b&gt;", "It began from minilm.", f"`encoder: models:/{name}/VERSION`"):
        assert part in found.description
    assert "berth.settings_digest" not in found.tags
    assert (fetch.fetch(f"models:/{name}@champion").folder / "saved_model.pb").is_file()


def test_an_encoder_that_did_not_pass_is_the_challenger(push_one, name, tmp_path):
    assert push_one(passed=False) == f"{name} version 1 is challenger; there is no champion"
    assert not (tmp_path / "encoders" / name).exists()


def test_a_classifiers_name_is_refused_to_an_encoder(push, push_one, name):
    push()
    with pytest.raises(BerthError, match=f"{name} is registered, and is a classifier. Choose another model_name"):
        push_one(passed=True)
    assert [version.number for version in versions.versions(name)] == [1]


def test_an_encoder_is_rolled_back_as_a_classifier_is(push_one, aliases, name, tmp_path):
    for kind in ("single", "multi"):
        push_one(passed=True, of=kind)
    done = promotion.rollback(name, None, "worse")
    assert (done.old, done.new) == (2, 1)
    assert aliases()["champion"] == 1
    assert [path.name for path in (tmp_path / "encoders" / name).glob("[!.]*")] == ["1"]
