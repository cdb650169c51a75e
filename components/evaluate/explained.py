"""The words that a model used in the mistakes that the report shows."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from berth.data.dataset import LABEL, PAIR, TEXT, Columns
from berth.errors import BerthError, first_line
from berth.models.decision_rule import decisions
from berth.models.saved_model import ServedClassifier
from components.evaluate import indicators
from components.evaluate.mistakes import test_mistakes

if TYPE_CHECKING:
    import numpy as np

_SECONDS = 60
"""Then no more mistakes are explained: those of a large encoder on long texts take minutes each."""
_AT_ONCE = 10


def explain_mistakes(
    model: str | Path,
    classifier: ServedClassifier,
    rows: Columns,
    probabilities: "np.ndarray",
    count: int,
) -> dict[str, object]:
    """Return `explained`, explanations as dicts by row of the test split, and `unexplained`: why there are no more.

    Args:
        model: Folder of the model that `classifier` was loaded from.
        classifier: It has verified that folder.
        rows: The test split's columns.
        probabilities: What `classifier` answers, float32 [texts, labels].
        count: How many mistakes to explain, in the order of the report.
    """
    truth = indicators.indicator(classifier.labels, rows[LABEL])
    decided = decisions(probabilities, classifier.task, classifier.threshold, classifier.abstain_below)
    losses = indicators.losses(truth, probabilities, classifier.task == "single_label")
    wrong = test_mistakes(rows, classifier.labels, truth, decided, probabilities, losses)[:count]
    places = [mistake.row for mistake in wrong]
    if not places:
        return {}
    if classifier.task == "multi_label":  # the label that is most wrong
        columns = (abs(truth - probabilities) * (decided != truth))[places].argmax(axis=1)
    else:
        columns = decisions(probabilities[places], classifier.task, classifier.threshold).argmax(axis=1)
    try:
        return _explained(model, rows, places, columns.tolist())
    except BerthError as reason:
        return {"unexplained": str(reason)}


def _explained(model: str | Path, rows: Columns, places: list[int], columns: Sequence[int]) -> dict[str, object]:
    import tensorflow as tf

    from berth.explaining.attribution import Explainer

    end = time.monotonic() + _SECONDS
    explainer = Explainer(model)
    found: dict[int, dict[str, object]] = {}
    for start in range(0, len(places), _AT_ONCE):
        if time.monotonic() > end:
            return {"explained": found, "unexplained": f"The other mistakes would have taken more than {_SECONDS} s."}
        own = places[start : start + _AT_ONCE]
        texts, pairs = ([rows[name][row] for row in own] if name in rows else None for name in (TEXT, PAIR))
        try:
            answers = explainer.explain(texts or [], pairs, columns[start : start + _AT_ONCE])
        except tf.errors.OpError as error:  # memory runs out
            return {"explained": found, "unexplained": f"The other mistakes failed: {first_line(error)}"}
        found |= {row: asdict(answer) for row, answer in zip(own, answers, strict=True) if answer}
    return {"explained": found}
