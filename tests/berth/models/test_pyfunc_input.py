"""Inputs that the pyfunc takes as texts, and inputs that it refuses: columns are found by name."""

import numpy as np
import pandas as pd
import pytest
from mlflow.exceptions import MlflowException

from berth.errors import BerthError
from berth.models.pyfunc import PyFunc
from berth.models.saved_model import ServedClassifier


class Echo:
    """A classifier that keeps what it was given."""

    labels, task = ("ham", "spam"), "single_label"

    def __init__(self, pairs: bool) -> None:
        self.pairs = pairs

    def predict(self, texts, pairs=None):
        self.given = texts, pairs
        return ["ham"] * len(texts), np.tile(np.float32([0.7, 0.3]), (len(texts), 1))


def given(model_input, pairs=False):
    """Return what the classifier gets, the second texts only of pairs."""
    classifier = Echo(pairs)
    PyFunc(classifier).predict(model_input)
    return classifier.given if pairs or classifier.given[1] else classifier.given[0]


FRAME = pd.DataFrame({"id": ["a", "b"], "text": ["hello", "win 1"]})


@pytest.mark.parametrize(
    "model_input",
    [
        FRAME,
        FRAME[["text"]],
        FRAME[["text"]].rename(columns={"text": "message"}),
        FRAME["text"],
        FRAME.to_dict("list"),
        FRAME.to_dict("records"),
        {"id": np.array([1, 2]), "text": np.array(["hello", "win 1"])},
        ["hello", "win 1"],
        np.array([["hello"], ["win 1"]]),
    ],
)
def test_column_named_text_is_scored(model_input):
    assert given(model_input) == ["hello", "win 1"]


@pytest.mark.parametrize("model_input", ["hello", {"text": "hello"}, {"text": np.array("hello")}, ["hello"]])
def test_one_text_is_one_row(model_input):
    assert given(model_input) == ["hello"]


@pytest.mark.parametrize("model_input", [[], np.array([]), FRAME[:0], {"text": []}])
def test_no_texts_are_no_rows(model_input):
    assert given(model_input) == []


def test_pairs_are_found_by_name_or_by_place_without_names():
    frame = pd.DataFrame({"text_pair": ["x", "y"], "id": [1, 2], "text": ["a", "b"]})
    for model_input in (frame, frame.to_dict("list"), [["a", "x"], ["b", "y"]], np.array([["a", "x"], ["b", "y"]])):
        assert given(model_input, pairs=True) == (["a", "b"], ["x", "y"])


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA, pd.NaT])
def test_missing_texts_are_one_error(missing):
    for model_input in (["a", missing], pd.DataFrame({"text": ["a", missing]}), {"text": ["a", missing]}):
        with pytest.raises(MlflowException, match=r"^1 of 2 texts missing in the input, the first in row 1\. Give an"):
            given(model_input)


@pytest.mark.parametrize(
    ("model_input", "pairs", "message"),
    [
        (FRAME.rename(columns={"text": "message"}), False, "one column named 'text', and has the columns id, message"),
        (FRAME.rename(columns={"text": "message"}), True, "one column named 'text', and has the columns id, message"),
        (FRAME, True, "one column named 'text_pair', and has the columns id, text"),
        (pd.concat([FRAME, FRAME], axis=1), False, "one column named 'text', and has the columns id, text, id, text"),
        ([["a", "b", "c"]], False, "3 columns without a name"),
        ([{"text": ["a"]}], False, "row 0 of the input holds list where a text is due"),
    ],
)
def test_doubtful_columns_are_refused(model_input, pairs, message):
    with pytest.raises(MlflowException, match=message):
        given(model_input, pairs)


def test_second_texts_reach_a_model_of_single_texts_as_an_error():
    """The classifier refuses them; they are not left out."""
    assert given(pd.DataFrame({"text": ["a"], "text_pair": ["b"]})) == (["a"], ["b"])


def test_missing_text_is_an_error_of_the_loaded_model_too():
    with pytest.raises(BerthError, match="text 1 is missing: it is None"):
        ServedClassifier(["ham", "spam"], None).predict(["a", None])
