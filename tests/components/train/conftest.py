"""The encoder of the train step's tests."""

from functools import partial
from types import SimpleNamespace

import pytest

from tests.support import tiny_bert
from tests.support.once import once


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> SimpleNamespace:
    """The tiny BERT with one layer: no test here is about layers, and each training loads and traces all of them."""
    folder = once(tmp_path_factory, "tiny-of-one-layer", partial(tiny_bert.build, layers=1))
    return SimpleNamespace(encoder=str(folder / "encoder"), preprocessor=str(folder / "preprocessor"))
