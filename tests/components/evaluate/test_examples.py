"""Examples in evaluate's docstrings."""

import pytest

from tests.support import examples


@pytest.mark.parametrize("name", ["components.evaluate.indicators", "components.evaluate.scores"])
def test_the_examples_of_a_docstring_are_true(name):
    examples.check(name)
