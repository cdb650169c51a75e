"""Examples in train's docstrings."""

import pytest

from tests.support import examples


@pytest.mark.parametrize("name", ["components.train.cleaning", "components.train.contrast:draw"])
def test_the_examples_of_a_docstring_are_true(name):
    examples.check(name)
