"""`python -m components.common.predict FOLDER`: a JSON list of texts a line in, a JSON list of predictions a line out.

Runs in the environment of the train image; `berth predict` is its caller.
"""

import json
import sys

from components.common.saved_model import load


def main(folder: str) -> None:
    classifier = load(folder)
    for line in sys.stdin:
        texts = json.loads(line)
        labels, probabilities = classifier.predict(texts)
        predictions = [
            {"text": text, "label": label, "probabilities": dict(zip(classifier.labels, row.tolist(), strict=True))}
            for text, label, row in zip(texts, labels, probabilities, strict=True)
        ]
        print(json.dumps(predictions), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
