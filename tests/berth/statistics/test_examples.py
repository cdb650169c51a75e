"""Examples in the docstrings of modules that need the validate environment."""

import pytest

from tests.support import examples


@pytest.mark.parametrize(
    "name", ["berth.encoders.wordpiece", "berth.statistics.distances", "berth.statistics.text_features"]
)
def test_the_examples_of_a_docstring_are_true(name):
    examples.check(name)
