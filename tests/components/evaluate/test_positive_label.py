"""The positive one of two labels: what the areas under curves are about."""

import pytest

from berth.data.dataset import Manifest
from berth.errors import BerthError
from berth.settings import Evaluation
from components.evaluate import report
from components.evaluate.step import evaluate_model
from tests.components.evaluate.conftest import export, note, of_digits
from tests.support.datasets import write_dataset


def test_same_model_scores_the_same_under_other_label_names(store, tmp_path):
    """Whichever label sorts second, the rarer one is positive: a scorer that knows nothing is near its share."""
    found = {}
    for labels in (["fraud", "legit"], ["legit", "scam"]):
        rare, common = sorted(labels, key=lambda label: label == "legit")
        texts = [(f"text {'1' if row % 7 == 0 else ''} {'x' * row}", rare if row == 5 else common) for row in range(30)]
        own = write_dataset(tmp_path / rare, {"train": texts, "validation": texts, "test": texts}, labels)
        model = export(tmp_path / f"{rare}-model/model", labels, of_digits())
        noted = note(model, own, tmp_path / f"{rare}.parquet")
        settings = Evaluation(resamples=1_000, baseline_rows=0)
        judgement = evaluate_model(
            model, own, noted, model_name="digits", bounds={"min_pr_auc": 0.9}, settings=settings
        )
        assert judgement.positive_label == rare
        assert f"for label {rare}" in judgement.verdict.gates[0].words
        assert f"The positive label is {rare}." in report.render(judgement, Manifest.read(own), 0.95)
        found[rare] = judgement
    assert not found["fraud"].verdict.blessed
    assert not found["scam"].verdict.blessed
    assert found["fraud"].challenger.intervals["pr_auc"].high < 0.9


def test_positive_label_is_a_choice(dataset):
    manifest = Manifest.read(dataset)
    assert manifest.positive_label() == "spam"
    assert manifest.positive_label("ham") == "ham"
    with pytest.raises(BerthError, match=r"'spma' is not one of the labels 'ham' and 'spam'\. Did you mean 'spam'"):
        manifest.positive_label("spma")
    several = manifest.model_copy(update={"labels": ["a", "b", "c"]})
    assert several.positive_label() == ""
    with pytest.raises(BerthError, match="'a' is for two classes; the data have 3 labels"):
        several.positive_label("a")
