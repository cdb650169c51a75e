"""Models that give no label where they are not sure: what they answer, and how they are judged."""

import numpy as np
import pytest
import tensorflow as tf

from berth.models.pyfunc import PyFunc
from berth.models.saved_model import ServedClassifier
from tests.components.evaluate.conftest import export, note, of_digits
from tests.components.evaluate.test_evaluate import judge


def test_a_model_that_abstains_gives_the_empty_label():
    """The pyfunc has the probability of the likeliest label then; MLflow and JSON take no missing number."""

    def serve(text):
        return {"probabilities": tf.tile([[0.45, 0.55]], [tf.size(text), 1])}

    settings = {"task": "single_label", "pairs": False, "threshold": 0.5, "abstain_below": 0.6}
    model = ServedClassifier(["a", "b"], serve, settings)
    assert model.decide(np.array([[0.75, 0.25], [0.45, 0.55], [0.4, 0.6]], np.float32)) == ["a", "", "b"]
    frame = PyFunc(model).predict(["x"])
    assert frame.to_dict("list") == {
        "label": [""],
        "probability": [pytest.approx(0.55)],
        "p(a)": [pytest.approx(0.45)],
        "p(b)": [pytest.approx(0.55)],
    }


def test_texts_on_which_the_model_abstains_are_not_covered(store, dataset, tmp_path, real_rows):
    """They count as mistakes for accuracy, and are not suspects: the model does not disagree with their label."""
    careful = export(tmp_path / "careful/model", ["ham", "spam"], of_digits(), abstain_below=0.85)
    noted = note(careful, dataset, tmp_path / "noted.parquet")
    judgement = judge(careful, dataset, noted, {"min_coverage": 0.9})
    share = sum(any(map(str.isdigit, text)) for text, _ in real_rows["test"]) / 40
    assert judgement.numbers()["coverage"] == pytest.approx(share)
    assert str(judgement.verdict.gates[0]).endswith(f"{share:.4f} < 0.9")
    assert {one.predicted for one in judgement.mistakes} == {"(none)", "spam"}
    assert "(none)" not in {one.predicted for one in judgement.suspects}
