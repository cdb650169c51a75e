"""A tiny random BERT and a quiet TensorFlow for the tests of train."""

from types import SimpleNamespace

import pytest

from tests import tiny_bert


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> SimpleNamespace:
    """The folders of a tiny random BERT's encoder and preprocessor."""
    encoder, preprocessor = tiny_bert.build(tmp_path_factory.mktemp("tiny"))
    return SimpleNamespace(encoder=encoder, preprocessor=preprocessor)
