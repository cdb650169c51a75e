"""Examples in the docstrings of steps that run in the core environment."""

import pytest

from tests.support import examples


@pytest.mark.parametrize(
    "name",
    [
        "components.compare.step:canonical",
        "components.ingest.corpus.sentences",
        "components.ingest.rows.label_lists",
    ],
)
def test_the_examples_of_a_docstring_are_true(name):
    examples.check(name)
