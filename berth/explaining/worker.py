"""`python -m berth.explaining.worker FOLDER [--explain]`: JSON lists, of texts a line in, of predictions a line out.

A text of a model of pairs is its two texts with a tab between. Of a multi-label model `label` is a list. With --explain
a prediction has an `explanation`, which is null where the model's tokens are not those of the text's words.
Runs in the environment of the train image; `berth predict` is its caller.
"""

import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from berth.errors import BerthError
from berth.explaining.explanation import Explanation
from berth.lean_import import import_tensorflow_for_serving
from berth.models.decision_rule import decisions
from berth.models.saved_model import ServedClassifier, load

if TYPE_CHECKING:
    import numpy as np

Explain = Callable[[list[str], "np.ndarray"], list[dict[str, object] | None]]
"""From texts and their probabilities, float32 [texts, labels], to an explanation of each text's label as JSON."""


def main(folder: str, *flags: str) -> None:
    """Answer the texts on stdin with the classifier in `folder`; see the module's docstring."""
    import_tensorflow_for_serving()
    classifier = load(folder)
    explain = _explainer(folder, classifier) if "--explain" in flags else None
    for line in sys.stdin:
        texts = json.loads(line)
        labels, probabilities = classifier.predict(*_inputs(texts, classifier.pairs))
        predictions = [
            {"text": text, "label": label, "probabilities": dict(zip(classifier.labels, row.tolist(), strict=True))}
            for text, label, row in zip(texts, labels, probabilities, strict=True)
        ]
        if explain:
            for prediction, found in zip(predictions, explain(texts, probabilities), strict=True):
                prediction["explanation"] = found
        print(json.dumps(predictions), flush=True)


def _explainer(folder: str, classifier: ServedClassifier) -> Explain:
    """Return the function of texts and their probabilities that explains the label of each.

    Of a multi-label model that is the most probable one, whether it applies or not.
    """
    from berth.explaining.attribution import Explainer

    explainer = Explainer(folder)

    def explain(texts: list[str], probabilities: "np.ndarray") -> list[dict[str, object] | None]:
        single = classifier.task == "single_label"
        chosen = decisions(probabilities, classifier.task, classifier.threshold) if single else probabilities
        columns = chosen.argmax(axis=1).tolist()
        return [_as_json(one) for one in explainer.explain(*_inputs(texts, classifier.pairs), columns)]

    return explain


def _as_json(explanation: Explanation | None) -> dict[str, object] | None:
    if explanation is None:
        return None
    return {
        "label": explanation.label,
        "log_odds": explanation.log_odds,
        "without_words": explanation.without_words,
        "complete": explanation.complete,
        "words": [{"word": word, "weight": weight} for word, weight in explanation.words],
    }


def _inputs(texts: list[str], pairs: bool) -> tuple[list[str], list[str] | None]:
    """Return the first texts and, of pairs, the second ones."""
    if not pairs:
        return texts, None
    if alone := [text for text in texts if "\t" not in text]:
        raise BerthError(f"{alone[0][:80]!r}: the model takes pairs of texts. Put a tab between the two.")
    first, _, second = zip(*(text.partition("\t") for text in texts), strict=True)
    return list(first), list(second)


if __name__ == "__main__":
    main(*sys.argv[1:])
