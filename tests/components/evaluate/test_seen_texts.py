"""A champion that has learnt from test texts, after a change of seed or shares, is judged on the others."""

import mlflow
import numpy as np
import pytest

from berth.data.dataset import Manifest
from berth.data.seen_texts import FILE, SeenTexts
from berth.settings import Evaluation
from berth.tracking import tags
from components.evaluate.step import evaluate_model
from tests.components.evaluate.conftest import export, of_digits
from tests.support.datasets import write_dataset

SETTINGS = Evaluation(resamples=1_000, min_slice_size=5, baseline_rows=0)


def crown(store, model, name, learnt_from=None, **version_tags):
    """Register `model` as the champion of `name`, with what push keeps of the dataset that it has learnt from."""
    experiment = store.client.get_run(store.parent).info.experiment_id
    run_id = store.client.create_run(experiment).info.run_id
    with mlflow.start_run(run_id=run_id):
        uri = mlflow.pyfunc.log_model(
            name="model", loader_module="berth.models.saved_model", data_path=str(model), pip_requirements=[]
        ).model_uri
    if learnt_from:
        folder = model.parent / "sketch"
        folder.mkdir()
        SeenTexts.of(learnt_from).write(folder / FILE)
        store.client.log_artifact(run_id, str(folder / FILE))
    version = mlflow.register_model(uri, name, tags=version_tags).version
    store.client.set_registered_model_alias(name, tags.CHAMPION, version)


@pytest.fixture
def old(model, tmp_path):
    """Another model than the challenger."""
    return export(tmp_path / "old/model", ["ham", "spam"], of_digits(0.8))


def test_champion_is_judged_on_texts_new_to_it(store, model, old, dataset, noted, real_rows, tmp_path):
    others = {"train": real_rows["test"][:30] + real_rows["train"], "validation": [], "test": []}
    crown(store, old, "moved", write_dataset(tmp_path / "others", others, ["ham", "spam"]))
    judgement = evaluate_model(model, dataset, noted, model_name="moved", bounds={"max_drop": 0.001}, settings=SETTINGS)
    assert judgement.findings == [
        "The champion has learnt from 30 of the 40 test texts: the two are compared on the other 10."
    ]
    assert judgement.models["champion"].evaluation.texts == 10
    assert judgement.challenger.evaluation.texts == 40
    assert "; 10 texts show drops of" in judgement.verdict.gates[0].words
    assert sum(one.change is not None for one in judgement.slices) < len(judgement.slices)


def test_champion_that_knows_every_text_cannot_be_judged(store, model, old, dataset, noted, real_rows, tmp_path):
    others = {"train": real_rows["test"], "validation": [], "test": []}
    crown(store, old, "all", write_dataset(tmp_path / "others", others, ["ham", "spam"]))
    judgement = evaluate_model(model, dataset, noted, model_name="all", bounds={"max_drop": 0.5}, settings=SETTINGS)
    assert "has learnt from every text of this test split" in judgement.verdict.gates[0].words
    assert not judgement.verdict.blessed


def test_older_champion_is_remarked_unless_splits_are_the_same(store, model, old, dataset, noted):
    crown(store, old, "older")
    judge = {"bounds": {"max_drop": 0.5}, "settings": SETTINGS}
    judgement = evaluate_model(model, dataset, noted, model_name="older", **judge)
    assert judgement.findings[0].startswith("Which texts the champion has learnt from is not known")
    crown(store, old, "same-splits", **{tags.FINGERPRINT: Manifest.read(dataset).fingerprint})
    assert evaluate_model(model, dataset, noted, model_name="same-splits", **judge).findings == []


def test_sketch_of_many_texts_is_a_sample(dataset, tmp_path, real_rows, monkeypatch):
    whole = SeenTexts.of(dataset)
    texts = [text for split in ("train", "validation") for text, _ in real_rows[split]]
    assert whole.texts == len(texts)
    assert whole.share == 1
    assert whole.has(texts).all()
    assert not whole.has([text for text, _ in real_rows["test"]]).any()
    assert whole.has([f"  {texts[0].upper()} "]).all(), "case and white space do not count"
    monkeypatch.setattr("berth.data.seen_texts._MOST", 90)
    SeenTexts.of(dataset, 90).write(tmp_path / "sketch.npz")
    sketch = SeenTexts.read(tmp_path / "sketch.npz")
    assert sketch.share == pytest.approx(0.25, abs=0.06)
    assert np.mean(sketch.has(texts)) == pytest.approx(0.25)
