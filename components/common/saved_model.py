"""Load an exported classifier: the one loader of evaluate, of `berth predict`, and of MLflow's pyfunc.

MLflow ships this file beside the model, so it imports nothing of the project but the errors.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.common.errors import BerthError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

LABELS_ASSET = "labels.txt"
"""The asset that holds the label vocabulary, a label a line."""


class Classifier:
    """A loaded SavedModel; `labels` is its label vocabulary, in the order of the probabilities."""

    def __init__(self, labels: list[str], serve: Any) -> None:
        self.labels = labels
        self._serve = serve

    def predict(self, texts: Sequence[str], batch_size: int = 64) -> "tuple[list[str], np.ndarray]":
        """Return the label of each text, and the probability of every class, float32 [texts, classes].

        Batches are made of texts of similar length and the order is restored, so that padding stays small.
        """
        import numpy as np
        import tensorflow as tf

        encoded = [text.encode("utf-8", "surrogatepass") for text in texts]
        probabilities = np.zeros((len(encoded), len(self.labels)), np.float32)
        order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
        for start in range(0, len(order), batch_size):
            rows = order[start : start + batch_size]
            answer = self._serve(text=tf.constant([encoded[row] for row in rows]))
            probabilities[rows] = answer["probabilities"].numpy()
        return [self.labels[index] for index in probabilities.argmax(axis=1)], probabilities


def load(folder: str | Path) -> Classifier:
    """Load the SavedModel in `folder`.

    Raises:
        BerthError: the folder holds no classifier that Berth exported.
    """
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the ops of the preprocessor

    folder = Path(folder)
    labels_file = folder / "assets" / LABELS_ASSET
    if not (folder / "saved_model.pb").is_file() or not labels_file.is_file():
        raise BerthError(f"{folder}: not a model that Berth exported (no saved_model.pb and assets/{LABELS_ASSET}).")
    try:
        loaded = tf.saved_model.load(str(folder))
        serve = loaded.signatures["serving_default"]
    except (OSError, ValueError, KeyError, tf.errors.OpError) as error:
        raise BerthError(
            f"{folder}: the model is damaged and cannot be loaded ({str(error).splitlines()[0]})."
        ) from error
    serve.berth_keeps_alive = loaded
    return Classifier(labels_file.read_text(encoding="utf-8").splitlines(), serve)


class PyFunc:
    """What `mlflow.pyfunc.load_model` gives: texts in, a DataFrame of predictions out."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> "pd.DataFrame":
        """Return `label`, `probability` (of that label) and `p(<label>)` of every label, a row a text.

        `model_input` is a list of strings, a NumPy array or Series of them, or a DataFrame of one column.
        """
        import numpy as np
        import pandas as pd

        values = model_input.iloc[:, 0] if isinstance(model_input, pd.DataFrame) else model_input
        texts = [str(text) for text in np.asarray(values, dtype=object).reshape(-1)]
        labels, probabilities = self._classifier.predict(texts)
        predictions = {"label": labels, "probability": probabilities.max(axis=1) if texts else []}
        columns = {f"p({label})": probabilities[:, index] for index, label in enumerate(self._classifier.labels)}
        return pd.DataFrame(predictions | columns)


def _load_pyfunc(data_path: str) -> PyFunc:
    """MLflow's entry point: load the SavedModel that was logged."""
    return PyFunc(load(data_path))
