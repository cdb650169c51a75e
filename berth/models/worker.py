"""`python -m berth.models.worker FOLDER`: a JSON list of texts a line in, a JSON list of predictions a line out.

A text of a model of pairs is its two texts with a tab between. Of a multi-label model `label` is a list.
Runs in the environment of the train image; `berth predict` is its caller.
"""

import json
import sys

from berth.errors import BerthError
from berth.lean_import import import_tensorflow_for_serving
from berth.models.saved_model import load


def main(folder: str) -> None:
    import_tensorflow_for_serving()
    classifier = load(folder)
    for line in sys.stdin:
        texts = json.loads(line)
        labels, probabilities = classifier.predict(*_inputs(texts, classifier.pairs))
        predictions = [
            {"text": text, "label": label, "probabilities": dict(zip(classifier.labels, row.tolist(), strict=True))}
            for text, label, row in zip(texts, labels, probabilities, strict=True)
        ]
        print(json.dumps(predictions), flush=True)


def _inputs(texts: list[str], pairs: bool) -> tuple[list[str], list[str] | None]:
    """Return the first texts and, of pairs, the second ones."""
    if not pairs:
        return texts, None
    if alone := [text for text in texts if "\t" not in text]:
        raise BerthError(f"{alone[0][:80]!r}: the model takes pairs of texts. Put a tab between the two.")
    first, _, second = zip(*(text.partition("\t") for text in texts), strict=True)
    return list(first), list(second)


if __name__ == "__main__":
    main(sys.argv[1])
