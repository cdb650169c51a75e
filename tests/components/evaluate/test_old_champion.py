"""The champion that the code before the three floors registered, asked by today's evaluate step."""

import numpy as np
import pytest

from components.evaluate import champion
from components.evaluate.serving_check import Served
from tests.support import old_model
from tests.support.datasets import write_dataset


def test_old_champion_answers_as_the_old_code_did(model, tmp_path, monkeypatch):
    predictions = old_model.predictions()
    rows = [(prediction["text"], prediction["label"]) for prediction in predictions]
    dataset = write_dataset(tmp_path / "dataset", {"train": rows, "validation": rows, "test": rows}, ["ham", "spam"])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "")
    old_model.restore(tmp_path / "old")
    challenger = Served(
        ["ham", "spam"], "single_label", False, 0.5, np.zeros((len(rows), 2), np.float32), 0.0, 0.0, 0.0
    )
    found = champion.ask(old_model.NAME, dataset, model, challenger)
    assert found.problem == ""
    assert found.version == "2"
    expected = [[prediction["probabilities"][label] for label in ("ham", "spam")] for prediction in predictions]
    assert found.answers.probabilities == pytest.approx(np.array(expected), abs=1e-5)
