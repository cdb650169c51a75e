"""The train step: a dataset in, one SavedModel out."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from components.common.dataset import Manifest, read_split
from components.common.errors import BerthError
from components.train.loop import Outcome, Recipe


@dataclass(frozen=True)
class Training:
    """What came of a training run."""

    outcome: Outcome
    labels: list[str]
    truncated: int
    """Texts of the train split that are longer than sequence_length."""
    seconds: float


def train_model(
    dataset: str | Path,
    model: str | Path,
    *,
    encoder: str,
    preprocessor: str,
    sequence_length: int,
    recipe: Recipe,
    log_metrics: Callable[[dict[str, float], int], object],
) -> Training:
    """Fine-tune `encoder` on the dataset's train split and export the best epoch to the folder `model`.

    Raises:
        BerthError: the data, the encoder or the recipe do not allow it; nothing is exported then.
    """
    import numpy as np
    import tensorflow as tf

    from components.train import encoder as encoders
    from components.train.data import Split
    from components.train.export import export
    from components.train.loop import fit
    from components.train.model import Classifier
    from components.train.text import SPECIAL_TOKENS, Preprocessor, tokenize_all

    start = time.perf_counter()
    manifest = Manifest.read(dataset)
    if manifest.task == "multi_label" or manifest.pairs:
        what = "several labels" if manifest.task == "multi_label" else "pairs of texts"
        raise BerthError(f"the dataset has {what}, which cannot be trained on yet. Use single labels and texts.")
    labels = manifest.labels
    index = {label: number for number, label in enumerate(labels)}
    encoder_folder, preprocessor_folder = encoders.resolve(encoder, preprocessor)
    loaded = encoders.load("preprocessor", preprocessor_folder, preprocessor)
    tf.random.set_seed(recipe.seed)  # after the built-in encoder was converted: its own seeds are not this run's
    prepare = Preprocessor(loaded, sequence_length, preprocessor)

    splits: dict[str, Split] = {}
    for name in ("train", "validation"):
        texts, classes = read_split(dataset, name)
        if missing := set(labels) - set(classes) if name == "train" else set():
            raise BerthError(
                f"the train split has no text of the class {sorted(missing)[0]!r}. Add some, or another seed."
            )
        if not texts:
            raise BerthError(f"the {name} split is empty. Give more data, or a larger split.{name}.")
        targets = np.array([index[label] for label in classes], np.int32)
        splits[name] = Split(tokenize_all(prepare, texts), targets)
    longest = sequence_length - SPECIAL_TOKENS
    truncated = sum(len(tokens) >= longest for tokens in splits["train"].tokens)
    print(f"{len(splits['train']):,} texts to train on, {len(splits['validation']):,} to validate on", flush=True)

    classifier = Classifier(encoder_folder, encoder, labels, recipe.seed)
    outcome = fit(classifier, prepare, splits["train"], splits["validation"], recipe, log_metrics)
    export(classifier, prepare, model)
    return Training(outcome, labels, truncated, time.perf_counter() - start)
