"""The pyfunc of a pre-trained encoder: texts in, a vector for each out.

MLflow ships this file with the model, so it imports nothing of the project but the integrity check.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from berth.models import integrity
from berth.models.plain_path import plain_path

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

_BATCH = 32


class EncoderPyFunc:
    """What `mlflow.pyfunc.load_model` gives for an encoder."""

    def __init__(
        self,
        encoder: "Callable[[Mapping[str, tf.Tensor]], Mapping[str, tf.Tensor]]",
        preprocessor: "Callable[[tf.Tensor], Mapping[str, tf.Tensor]]",
    ) -> None:
        self._encoder, self._preprocessor = encoder, preprocessor

    def predict(self, model_input: Iterable[object], params: dict[str, object] | None = None) -> "np.ndarray":
        """Return the texts' `pooled_output`, float32 [texts, hidden]; of an encoder without one their first tokens.

        `model_input` is a list, an array or a Series of texts, or a DataFrame: its column `text`, else its only one.

        Raises:
            ValueError: it is none of these, or a text is missing.

        Example:
            >>> vectors = mlflow.pyfunc.load_model("models:/town-encoder@champion").predict(["The ferry is late."])
        """
        import numpy as np
        import tensorflow as tf

        texts = _texts(model_input)
        parts = [
            _vectors(self._encoder(self._preprocessor(tf.constant(texts[start : start + _BATCH])))).numpy()
            for start in range(0, len(texts), _BATCH)
        ]
        return np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)


def _vectors(outputs: "Mapping[str, tf.Tensor]") -> "tf.Tensor":
    return outputs["pooled_output"] if "pooled_output" in outputs else outputs["sequence_output"][:, 0]


def _texts(model_input: Iterable[object]) -> list[str]:
    import pandas as pd

    if isinstance(model_input, pd.DataFrame):
        if "text" not in model_input.columns and model_input.shape[1] != 1:
            raise ValueError(f"there is no column 'text' among {', '.join(map(str, model_input.columns))}")
        model_input = model_input["text"] if "text" in model_input.columns else model_input.iloc[:, 0]
    texts: list[str] = []
    for row, text in enumerate(model_input):
        if not isinstance(text, str):
            raise ValueError(f"row {row} of the input holds {type(text).__name__} where a text is expected")
        texts.append(text)
    return texts


def _load_pyfunc(data_path: str) -> EncoderPyFunc:
    """MLflow's entry point: load the encoder that was logged, and the preprocessor below it.

    Raises:
        BerthError: its files are not as they were pushed, or its graph could reach outside of the process.
    """
    integrity.verify(data_path)

    import tensorflow as tf
    import tensorflow_text  # noqa: F401  registers the preprocessor's ops

    folder = plain_path(data_path)
    return EncoderPyFunc(tf.saved_model.load(folder), tf.saved_model.load(str(Path(folder) / "preprocessor")))
