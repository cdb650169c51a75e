"""The words that a model used in the mistakes that the report shows."""

import time
from collections.abc import Callable, Sequence
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

    from berth.explaining.attribution import Explainer

_SECONDS = 60
"""Then no more mistakes are explained: those of a large encoder on long texts take minutes each."""
_AT_ONCE = 10


def mistakes_to_explain(
    classifier: ServedClassifier, rows: Columns, probabilities: "np.ndarray", count: int
) -> list[tuple[int, int]]:
    """Return the first `count` mistakes of the report: each one's row of the test split, and the label to explain.

    Args:
        classifier: The model that made them.
        rows: The test split's columns.
        probabilities: What `classifier` answers, float32 [texts, labels].
        count: The most mistakes.
    """
    truth = indicators.indicator(classifier.labels, rows[LABEL])
    decided = decisions(probabilities, classifier.task, classifier.threshold, classifier.abstain_below)
    losses = indicators.losses(truth, probabilities, classifier.task == "single_label")
    wrong = test_mistakes(rows, classifier.labels, truth, decided, probabilities, losses)[:count]
    places = [mistake.row for mistake in wrong]
    if not places:
        return []
    if classifier.task == "multi_label":  # the label that is most wrong
        columns = (abs(truth - probabilities) * (decided != truth))[places].argmax(axis=1)
    else:
        columns = decisions(probabilities[places], classifier.task, classifier.threshold).argmax(axis=1)
    return list(zip(places, columns.tolist(), strict=True))


def explainer_of(model: str | Path) -> "Explainer":
    """Return what explains the answers of the model in this folder; raises as `Explainer` does."""
    from berth.explaining.attribution import Explainer

    return Explainer(model)


def explain_mistakes(
    explainer: "Callable[[], Explainer]", rows: Columns, mistakes: Sequence[tuple[int, int]]
) -> dict[str, object]:
    """Return `explained`, explanations as dicts by row of the test split, and `unexplained`: why there are no more.

    Args:
        explainer: Returns the explainer of the model, or raises why there is none.
        rows: The test split's columns.
        mistakes: What `mistakes_to_explain` returned.
    """
    try:
        return _explained(explainer(), rows, mistakes)
    except BerthError as reason:
        return {"unexplained": str(reason)}


def _explained(explainer: "Explainer", rows: Columns, mistakes: Sequence[tuple[int, int]]) -> dict[str, object]:
    import tensorflow as tf

    end = time.monotonic() + _SECONDS
    found: dict[int, dict[str, object]] = {}
    for start in range(0, len(mistakes), _AT_ONCE):
        if time.monotonic() > end:
            return {"explained": found, "unexplained": f"The other mistakes would have taken more than {_SECONDS} s."}
        own, columns = zip(*mistakes[start : start + _AT_ONCE], strict=True)
        texts, pairs = ([rows[name][row] for row in own] if name in rows else None for name in (TEXT, PAIR))
        try:
            answers = explainer.explain(texts or [], pairs, columns)
        except tf.errors.OpError as error:  # memory runs out
            return {"explained": found, "unexplained": f"The other mistakes failed: {first_line(error)}"}
        found |= {row: asdict(answer) for row, answer in zip(own, answers, strict=True) if answer}
    return {"explained": found}
