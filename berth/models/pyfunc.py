"""The pyfunc that `mlflow.pyfunc.load_model` returns."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from berth.errors import BerthError
from berth.models.saved_model import ServedClassifier, load

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd


_TEXT, _PAIR = "text", "text_pair"


class PyFunc:
    """What `mlflow.pyfunc.load_model` gives: texts in, a DataFrame of predictions out."""

    def __init__(self, classifier: ServedClassifier) -> None:
        self._classifier = classifier

    def predict(self, model_input: object, params: dict[str, object] | None = None) -> "pd.DataFrame":
        """Return `label`, `probability` (of that label) and `p(<label>)` of every label, a row a text.

        Where the model abstains, `label` is empty and `probability` that of the most probable label. Of a multi-label
        model, `label` is those it chose, joined by ", ", and there is no `probability`.

        `model_input` is a list, an array or a Series of texts (of a model of pairs, a list or an array of
        [text, second text]), or a DataFrame, a dict or a list of dicts with the column `text`, and `text_pair` of
        pairs; other columns are ignored. A DataFrame or dict of a single column may name it as it likes.

        Raises:
            MlflowException: a text is missing, or no column is named text; `mlflow models serve` answers it as an
                invalid request.

        Example:
            >>> mlflow.pyfunc.load_model("models:/sms-spam@champion").predict(["You have won!"])["label"]
        """
        import numpy as np
        import pandas as pd

        try:
            labels, probabilities = self._classifier.predict(*_columns(model_input, self._classifier.pairs))
        except BerthError as error:
            from mlflow.exceptions import MlflowException

            raise MlflowException.invalid_parameter_value(str(error)) from error
        names = self._classifier.labels
        columns = {f"p({label})": probabilities[:, index] for index, label in enumerate(names)}
        if self._classifier.task == "multi_label":
            return pd.DataFrame({"label": [", ".join(own) for own in labels]} | columns)
        likeliest = probabilities.argmax(axis=1).tolist() if len(labels) else []
        chosen = [names.index(label) if label else top for label, top in zip(labels, likeliest, strict=True)]
        own = probabilities[np.arange(len(chosen)), np.array(chosen, int)]
        return pd.DataFrame({"label": labels, "probability": own} | columns)


def _columns(model_input: object, pairs: bool) -> tuple[list[str], list[str] | None]:
    """Return the texts, and the second texts where there are any, of what MLflow hands to PyFunc.predict."""
    import numpy as np
    import pandas as pd

    if isinstance(model_input, pd.DataFrame):
        return _named(model_input, pairs)
    if isinstance(model_input, Mapping):
        return _named(pd.DataFrame({name: _listed(own) for name, own in model_input.items()}, dtype=object), pairs)
    if isinstance(model_input, list) and model_input and all(isinstance(row, Mapping) for row in model_input):
        return _named(pd.DataFrame(model_input, dtype=object), pairs)
    # As objects: NumPy's own texts lose a NUL at their end.
    values = np.asarray(model_input, dtype=object)
    return _named(pd.DataFrame(values if values.ndim == 2 else values.reshape(-1, 1)), pairs)


def _listed(column: "np.ndarray | Sequence[object]") -> list[object]:
    """Return a dict's column as a list; of one text `mlflow models serve` makes an array without a shape."""
    import numpy as np

    if isinstance(column, np.ndarray):
        column = column.tolist()
    return list(column) if isinstance(column, list | tuple) else [column]


def _named(frame: "pd.DataFrame", pairs: bool) -> tuple[list[str], list[str] | None]:
    """Return the columns of texts by their names, which a frame made of a list or by Spark has not: 0, 1."""
    wanted = [_TEXT, _PAIR] if pairs else [_TEXT]
    names = [str(name) for name in frame.columns]
    is_unnamed = names == [str(place) for place in range(len(names))]
    if is_unnamed or (len(names) == 1 and not pairs):
        if len(names) not in (1, 2):
            raise BerthError(f"an input has {len(names)} columns without a name. Give a text, or a text and its pair.")
        return _texts(frame.iloc[:, 0]), _texts(frame.iloc[:, 1]) if len(names) == 2 else None
    for name in wanted:
        if names.count(name) != 1:
            found = ", ".join(names[:10])
            raise BerthError(f"the input needs one column named {name!r}, and has the columns {found}. Rename one.")
    if _PAIR in names:  # of a model of single texts that is an error, which the classifier raises
        wanted = [_TEXT, _PAIR]
    first, *second = (_texts(frame.iloc[:, names.index(name)]) for name in wanted)
    return first, second[0] if second else None


def _texts(column: "pd.Series") -> list[str]:
    """Return a column's texts, numbers as texts; raise BerthError for what is missing or neither of the two."""
    import numpy as np

    missing = np.flatnonzero(column.isna().to_numpy())
    if len(missing):
        raise BerthError(
            f"{len(missing):,} of {len(column):,} texts missing in the input, the first in row {missing[0]}. "
            "Give an empty text, or leave the row out."
        )
    values = column.tolist()
    for row, value in enumerate(values):
        if not isinstance(value, str | int | float | np.number):
            raise BerthError(
                f"row {row} of the input holds {type(value).__name__} where a text is due. "
                "Give a text, or [text, text_pair] of a model of pairs."
            )
    return [str(value) for value in values]


def _load_pyfunc(data_path: str) -> PyFunc:
    """MLflow's entry point: load the SavedModel that was logged."""
    return PyFunc(load(data_path))
