"""BERT compared with TF-IDF + logistic regression, on the same split of the same data.

    .venv/train/bin/python -m benchmarks.baseline DATASET [MODEL]

DATASET is the dataset that a run's ingest step wrote, MODEL a SavedModel that a run trained on it; both default to the
newest under .berth/. The classical models, scikit-learn's defaults and common better settings (word pairs, weak
regularisation, balanced classes: evaluate's own baseline), learn from train and validation, since they have no epoch to
choose.
"""

import sys
from pathlib import Path

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score, f1_score
from sklearn.pipeline import make_pipeline

from berth.data.dataset import Manifest, read_split
from berth.models.saved_model import load
from components.evaluate import baseline


def newest(pattern: str) -> Path:
    """Return the folder of the newest file under .berth/ that matches `pattern`."""
    found = sorted(Path(".berth").glob(pattern), key=lambda path: path.stat().st_mtime)
    if not found:
        sys.exit(f"nothing like .berth/{pattern}: run 'berth run CONFIG' first, or name a dataset")
    return found[-1].parent


def main(dataset: Path, model: Path) -> None:
    labels = Manifest.read(dataset).labels
    train, validation, test = (read_split(dataset, split) for split in ("train", "validation", "test"))

    classical = {
        "TF-IDF + logistic regression, defaults": make_pipeline(TfidfVectorizer(), LogisticRegression()),
        "TF-IDF + logistic regression, tuned": baseline.classifier(len(train[0]) + len(validation[0])),
    }
    predictions = {
        name: list(pipeline.fit(train[0] + validation[0], train[1] + validation[1]).predict(test[0]))
        for name, pipeline in classical.items()
    }
    predictions["Berth"], _ = load(model).predict(test[0])

    print(f"{len(test[0])} test texts, classes {', '.join(labels)}\n")
    print(f"| model | accuracy | macro F1 | F1 of {labels[-1]} |\n| --- | --- | --- | --- |")
    for name, predicted in predictions.items():
        scores = (
            accuracy_score(test[1], predicted),
            f1_score(test[1], predicted, average="macro"),
            f1_score(test[1], predicted, labels=[labels[-1]], average="macro"),
        )
        print(f"| {name} | " + " | ".join(f"{score:.4f}" for score in scores) + " |")


if __name__ == "__main__":
    arguments = [Path(argument) for argument in sys.argv[1:]]
    main(
        arguments[0] if arguments else newest("pipeline/**/dataset/manifest.json"),
        arguments[1] if len(arguments) > 1 else newest("pipeline/**/model/saved_model.pb"),
    )
