"""TF-IDF and logistic regression on the same split: what a BERT has to beat to be worth its price."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from berth.data.dataset import LABEL, PAIR, TEXT, Columns, read_columns
from berth.models.decision_rule import decisions
from components.evaluate.indicators import ModelOutputs, indicator

if TYPE_CHECKING:
    import numpy as np
    from sklearn.pipeline import Pipeline


NAME = "TF-IDF + logistic regression"
_FEATURES = 200_000


def classifier(rows: int) -> "Pipeline":
    """Return the baseline for `rows` texts: words and pairs of words, little regularisation, classes balanced."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(
        TfidfVectorizer(
            ngram_range=(1, 2), sublinear_tf=True, min_df=2 if rows >= 1_000 else 1, max_features=_FEATURES
        ),
        LogisticRegression(C=100, class_weight="balanced", max_iter=1_000),
    )


def answers(dataset: str | Path, labels: Sequence[str], task: str, most_rows: int, seed: int) -> ModelOutputs | None:
    """Return the baseline's answers to the test split, trained on at most `most_rows` texts of train and validation.

    It has no epoch and no threshold to choose, so validation teaches it. None: there is nothing to learn from, as where
    no text has a word.
    """
    import numpy as np

    learnt = [read_columns(dataset, split) for split in ("train", "validation")]
    texts = [text for rows in learnt for text in _whole(rows)]
    own = [label for rows in learnt for label in rows[LABEL]]
    chosen = np.sort(np.random.default_rng(seed).permutation(len(texts))[:most_rows]).tolist()
    texts, truth = [texts[row] for row in chosen], indicator(labels, [own[row] for row in chosen])
    try:
        fitted = _fit(texts, truth, task)
    except ValueError:  # an empty vocabulary, or one class alone
        return None
    probabilities = fitted(_whole(read_columns(dataset, "test")))
    return ModelOutputs(probabilities, decisions(probabilities, task))


def _fit(texts: Sequence[str], truth: "np.ndarray", task: str) -> "Callable[[Sequence[str]], np.ndarray]":
    """Return the function from texts to probabilities, float32 [texts, labels]."""
    import numpy as np

    if task == "multi_label":
        from sklearn.multiclass import OneVsRestClassifier

        words, one = classifier(len(texts))
        with warnings.catch_warnings(action="ignore"):  # of a label that no text has, or every text
            several = OneVsRestClassifier(one).fit(words.fit_transform(texts), truth)
        # Of one label it gives the probabilities of both answers, as of two classes.
        return lambda test: several.predict_proba(words.transform(test))[:, -truth.shape[1] :].astype(np.float32)
    fitted = classifier(len(texts)).fit(texts, truth.argmax(axis=1))

    def every(test: Sequence[str]) -> "np.ndarray":
        probabilities = np.zeros((len(test), truth.shape[1]), np.float32)
        probabilities[:, fitted.classes_] = fitted.predict_proba(test)
        return probabilities

    return every


def _whole(rows: Columns) -> list[str]:
    """Return each row's text, with its second text behind it."""
    if PAIR not in rows:
        return rows[TEXT]
    return [f"{first} {second}" for first, second in zip(rows[TEXT], rows[PAIR], strict=True)]
