"""The encoder of the train step's tests, and what many of them load."""

from collections.abc import Iterator
from functools import cache, partial
from types import SimpleNamespace

import pytest

from berth.encoders import loading, resolve
from berth.encoders.adapter import LoadedModel
from tests.support import tiny_bert
from tests.support.once import once


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> SimpleNamespace:
    """The tiny BERT with one layer: no test here is about layers, and each training loads and traces all of them."""
    folder = once(tmp_path_factory, "tiny-of-one-layer", partial(tiny_bert.build, layers=1))
    return SimpleNamespace(encoder=str(folder / "encoder"), preprocessor=str(folder / "preprocessor"))


@pytest.fixture(scope="session", autouse=True)
def preprocessors_loaded_once() -> Iterator[None]:
    """A process loads a preprocessor once for all tests: it has no state, and loading takes a second and a half."""
    load_anything = loading.load
    loaded = cache(partial(load_anything, "preprocessor"))

    def load(field: str, folder: str, handle: str) -> LoadedModel:
        return loaded(folder, handle) if field == "preprocessor" else load_anything(field, folder, handle)

    with pytest.MonkeyPatch.context() as patched:
        for module in (loading, resolve):
            patched.setattr(module, "load", load)
        yield
