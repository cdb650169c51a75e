"""TF-IDF + logistic regression with its C chosen on validation, for benchmarks.quality: a row of its own.

It is evaluate's baseline, whose C is 100: fitted with each of several C to nine tenths of train.jsonl in the working
folder, then with the one of the highest accuracy on the other tenth to all of it, and tested on test.jsonl. Prints a
JSON object of accuracy and macro_f1.

    python -m benchmarks.contender_tfidf WEIGHTS SEED
"""

import json
import sys
import warnings

import numpy as np
from sklearn.metrics import accuracy_score
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import MultiLabelBinarizer

from benchmarks.contender_setfit import rows
from berth.macro_f1 import macro_f1
from components.evaluate.baseline import classifier

_STRENGTHS = (1.0, 10.0, 100.0, 1_000.0)


def answers(texts: list[str], labels: np.ndarray, test: list[str], strength: float) -> np.ndarray:
    """Return the answers to the texts `test`; `labels` are names [texts], or 0 and 1 [texts, labels]."""
    words, regression = classifier(len(texts))
    regression.set_params(C=strength)
    found = OneVsRestClassifier(regression) if labels.ndim > 1 else regression
    with warnings.catch_warnings(action="ignore"):  # of a label that no text has
        return found.fit(words.fit_transform(texts), labels).predict(words.transform(test))


def main(_: str, seed: str, task: str = "single_label") -> None:
    (texts, given), (test, expected) = rows("train"), rows("test")
    labels, truth = np.array(given), np.array(expected)
    if task == "multi_label":
        binarizer = MultiLabelBinarizer().fit(own.split(",") for own in given + expected)
        labels, truth = (binarizer.transform([name.split(",") for name in own]) for own in (given, expected))
    order = np.random.default_rng(int(seed)).permutation(len(texts))
    held_out, rest = order[: -(-len(texts) // 10)], order[-(-len(texts) // 10) :]

    def score(strength: float) -> float:
        found = answers([texts[row] for row in rest], labels[rest], [texts[row] for row in held_out], strength)
        return accuracy_score(labels[held_out], found)

    found = answers(texts, labels, test, max(_STRENGTHS, key=score))
    hits = found == truth if labels.ndim == 1 else (found == truth).all(1)
    names = np.union1d(truth, found)
    both = (own if labels.ndim > 1 else own[:, None] == names for own in (truth, found))
    print(json.dumps({"accuracy": hits.mean(), "macro_f1": macro_f1(*(own.astype(bool) for own in both))}))


if __name__ == "__main__":
    main(*sys.argv[1:])
