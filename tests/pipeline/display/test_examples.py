"""Examples in the docstrings of what the terminal shows."""

from tests.support import examples


def test_the_examples_of_a_docstring_are_true():
    examples.check("pipeline.display.scores")
