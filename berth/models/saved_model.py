"""Load an exported classifier: the one loader of evaluate, of `berth predict`, and of MLflow's pyfunc.

MLflow ships this file with the model, so it imports nothing of the project but the errors, the integrity check and
the decision rule.
"""

import contextlib
import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from berth.errors import BerthError, first_line
from berth.models import integrity
from berth.models.decision_rule import DEFAULT_THRESHOLD, decisions
from berth.models.plain_path import plain_path

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf


SERVE = "serving_default"
"""The signature for a request: padded to its own longest text."""

BULK = "bulk"
"""The signature for many texts: sorted by length inside. Models that were exported before it have none."""

LABELS_ASSET = "labels.txt"
"""The asset that holds the label vocabulary, a label a line."""


SETTINGS_ASSET = "classifier.json"
"""The asset that says what to make of the probabilities: task, pairs, threshold, abstain_below and others."""

_BULK_TEXTS = 4096
"""Most texts in one call of `bulk`."""

DEFAULTS = {
    "task": "single_label",
    "pairs": False,
    "threshold": DEFAULT_THRESHOLD,
    "abstain_below": 0.0,
    "sequence_length": 0,
}


class ServedClassifier:
    """A loaded classifier; `load` makes it.

    Args:
        labels: The label vocabulary, in the order of the probabilities.
        serve: The signature `serving_default`.
        settings: What its asset classifier.json says.
        bulk: The signature `bulk`, where the model has it.

    Example:
        >>> labels, probabilities = load("serving/sms-spam/3").predict(["You have won!", "See you at 8."])
    """

    def __init__(
        self,
        labels: list[str],
        serve: "tf.types.experimental.ConcreteFunction",
        settings: Mapping[str, Any] = DEFAULTS,
        bulk: "tf.types.experimental.ConcreteFunction | None" = None,
    ) -> None:
        self.labels = labels
        self.task = str(settings["task"])
        self.pairs = bool(settings["pairs"])
        self.threshold: float | list[float] = settings["threshold"]
        """One for all labels; or a list, one for each."""
        self.abstain_below = float(settings.get("abstain_below", 0.0))
        self._serve = serve
        self._bulk = bulk

    def predict(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, batch_size: int = 64
    ) -> "tuple[list[Any], np.ndarray]":
        """Return what `decide` makes of each text, and the probabilities, float32 [texts, labels].

        `pairs` are the second texts, where the model takes pairs. More than `batch_size` texts go to the signature
        `bulk`; a model without it gets batches of texts of similar length, so that padding stays small.

        Raises:
            BerthError: the model takes pairs and got none, or the other way round, or not one for each text.
            BerthError: a text is missing.
        """
        import numpy as np

        if pairs is not None and not self.pairs:
            raise BerthError("the model takes single texts, and was given pairs. Give it the texts alone.")
        second = pairs or ()
        if self.pairs and len(second) != len(texts):
            raise BerthError(
                f"the model takes pairs, and was given {len(texts):,} texts with {len(second):,} second texts. "
                "Give each text its text_pair."
            )
        inputs = {"text": _encoded(texts)}
        if self.pairs:
            inputs["text_pair"] = _encoded(second)

        import tensorflow as tf

        probabilities = np.zeros((len(texts), len(self.labels)), np.float32)
        signature, size = self._serve, batch_size
        if self._bulk is not None and len(texts) > batch_size:
            signature, size = self._bulk, _BULK_TEXTS
        order = list(range(len(texts)))
        if signature is self._serve:
            lengths = [sum(map(len, row)) for row in zip(*inputs.values(), strict=True)]
            order.sort(key=lengths.__getitem__)
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            given = {name: tf.constant([column[row] for row in rows]) for name, column in inputs.items()}
            with full_float32():
                answer = signature(**given)
            probabilities[rows] = answer["probabilities"].numpy()
        return self.decide(probabilities), probabilities

    def decide(self, probabilities: "np.ndarray") -> list[Any]:
        """Return the label of each row of `probabilities`, float32 [texts, labels], by the decision rule.

        The label is the empty text where its probability is below `abstain_below`. A multi-label model has a list of
        labels for each text. See `berth.models.decision_rule.decisions`.

        Example:
            >>> import numpy as np
            >>> classifier = ServedClassifier(["ham", "spam"], serve=None, settings=DEFAULTS | {"abstain_below": 0.6})
            >>> classifier.decide(np.array([[0.1, 0.9], [0.55, 0.45]], np.float32))
            ['spam', '']
        """
        chosen = decisions(probabilities, self.task, self.threshold, self.abstain_below)
        if self.task == "multi_label":
            return [[self.labels[index] for index in row.nonzero()[0]] for row in chosen]
        return [self.labels[row.argmax()] if row.any() else "" for row in chosen]


def load(folder: str | Path) -> ServedClassifier:
    """Load the SavedModel in `folder`.

    Raises:
        BerthError: the folder holds no classifier that Berth exported, or not as it was exported.

    Example:
        >>> classifier = load("serving/sms-spam/3")
        >>> classifier.labels, classifier.task
    """
    folder = Path(folder)
    labels_file = folder / "assets" / LABELS_ASSET
    if not (folder / "saved_model.pb").is_file() or not labels_file.is_file():
        raise BerthError(f"{folder}: not a model that Berth exported (no saved_model.pb and assets/{LABELS_ASSET}).")
    integrity.verify(folder)

    import tensorflow as tf

    _register_text_ops()
    try:
        loaded = tf.saved_model.load(plain_path(folder))
        serve = loaded.signatures[SERVE]
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise BerthError(f"{folder}: the model is damaged and cannot be loaded ({first_line(error)}).") from error
    serve.berth_keeps_alive = loaded
    settings_file = folder / "assets" / SETTINGS_ASSET
    settings = json.loads(settings_file.read_text(encoding="utf-8")) if settings_file.is_file() else {}
    labels = labels_file.read_text(encoding="utf-8").splitlines()
    return ServedClassifier(labels, serve, DEFAULTS | settings, loaded.signatures.get(BULK))


@contextlib.contextmanager
def full_float32() -> Iterator[None]:
    """Run what is called inside without TF32, which TensorFlow allows by default on GPUs that have it.

    Products of TF32 have 10 bits of mantissa: a model's probabilities differ by up to 6e-4 from those on a CPU. It is
    here since a pyfunc, which has this file and not the library, needs it in a user's own process, too.
    """
    import tensorflow as tf

    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


def _register_text_ops() -> None:
    """Load the op libraries of TensorFlow Text, whose ops a preprocessor's graph has.

    `import tensorflow_text` does that too, and imports all of Keras for layers that a SavedModel does not use. Both may
    happen in one process: TensorFlow loads a library once.
    """
    import tensorflow as tf

    package = importlib.util.find_spec("tensorflow_text")
    if package is None or not package.submodule_search_locations:
        raise BerthError("tensorflow-text is not installed, and the model's preprocessor needs it. Install it.")
    for library in sorted(Path(package.submodule_search_locations[0], "python", "ops").glob("_*.so")):
        tf.load_op_library(str(library))


def _encoded(texts: Sequence[str]) -> list[bytes]:
    for row, text in enumerate(texts):
        if not isinstance(text, str):
            raise BerthError(f"text {row} is missing: it is {text!r}. Give an empty text, or leave it out.")
    return [text.encode("utf-8", "surrogatepass") for text in texts]
