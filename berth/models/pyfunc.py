"""The pyfunc that `mlflow.pyfunc.load_model` returns."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from berth.errors import BerthError
from berth.models.saved_model import ServedClassifier, load

if TYPE_CHECKING:
    import pandas as pd


class PyFunc:
    """What `mlflow.pyfunc.load_model` gives: texts in, a DataFrame of predictions out."""

    def __init__(self, classifier: ServedClassifier) -> None:
        self._classifier = classifier

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> "pd.DataFrame":
        """Return `label`, `probability` (of that label) and `p(<label>)` of every label, a row a text.

        Of a multi-label model, `label` is those it chose, joined by ", ", and there is no `probability`.

        `model_input` is a list, an array or a Series of texts (of a model of pairs, a list or an array of
        [text, second text]), or a DataFrame or a dict of columns: `text`, and `text_pair` of pairs, or under other
        names the first column and the second.
        """
        import numpy as np
        import pandas as pd

        labels, probabilities = self._classifier.predict(*_columns(model_input))
        names = self._classifier.labels
        columns = {f"p({label})": probabilities[:, index] for index, label in enumerate(names)}
        if self._classifier.task == "multi_label":
            return pd.DataFrame({"label": [", ".join(own) for own in labels]} | columns)
        chosen = [names.index(label) for label in labels]
        own = probabilities[np.arange(len(chosen)), np.array(chosen, int)]
        return pd.DataFrame({"label": labels, "probability": own} | columns)


def _columns(model_input: Any) -> tuple[list[str], list[str] | None]:
    """Return the texts, and the second texts where there are any, of what MLflow hands to PyFunc.predict."""
    import numpy as np
    import pandas as pd

    if isinstance(model_input, pd.DataFrame):
        frame = model_input
    elif isinstance(model_input, Mapping):
        frame = pd.DataFrame({name: [own] if isinstance(own, str) else own for name, own in model_input.items()})
    else:
        # As objects: NumPy's own texts lose a NUL at their end.
        values = np.asarray(model_input, dtype=object)
        frame = pd.DataFrame(values if values.ndim == 2 else values.reshape(-1, 1))
    if "text" in frame.columns:
        frame = frame[[name for name in ("text", "text_pair") if name in frame.columns]]
    if frame.shape[1] not in (1, 2):
        raise BerthError(f"an input has {frame.shape[1]} columns. Give a text, or a text and its second one.")
    first, *second = (
        [_text(row, value) for row, value in enumerate(frame.iloc[:, place])] for place in range(frame.shape[1])
    )
    return first, second[0] if second else None


def _text(row: int, value: Any) -> str:
    """Return a number as text; raise BerthError for what is neither text nor number."""
    import numpy as np

    is_number = isinstance(value, int | float | np.number) and not np.isnan(value)
    if not isinstance(value, str) and not is_number:
        raise BerthError(
            f"row {row} of the input holds {'nothing' if value is None else type(value).__name__} where a text is due. "
            "Give a text, or [text, text_pair] of a model of pairs."
        )
    return str(value)


def _load_pyfunc(data_path: str) -> PyFunc:
    """MLflow's entry point: load the SavedModel that was logged."""
    return PyFunc(load(data_path))
