"""Schemas in words."""

import pytest

from berth.statistics import schema

BASE = """
feature { name: "text" type: BYTES presence { min_fraction: 1 min_count: 1 } value_count { min: 1 max: 1 } }
feature { name: "label" type: BYTES domain: "label" presence { min_fraction: 1 min_count: 1 } }
string_domain { name: "label" value: "ham" value: "spam" }
"""

LEAST = "text: least share of rows that have it"


@pytest.mark.parametrize(
    ("change", "to", "words"),
    [
        ('value: "spam"', 'value: "spam" value: "junk"', ["label: new value 'junk'"]),
        ('value: "spam"', 'value: "a" value: "b"', ["label: new values 'a', 'b'", "label: no longer 'spam'"]),
        (' domain: "label"', "", ["label: took only 'ham', 'spam', and takes any value now"]),
        ("type: BYTES presence", "type: INT presence", ["text: held text, and holds whole numbers now"]),
        (
            "min_fraction: 1 min",
            "min_fraction: 0.5 min",
            [f"{LEAST} was 1, and is 0.5 now"],
        ),
        ("value_count { min: 1 max: 1 }", "", ["text: held 1 value a row, and holds any number of values now"]),
        (
            'feature { name: "text"',
            'feature { name: "body"',
            ["body: a new column of text", "text: the column is gone"],
        ),
        (
            "value_count { min: 1 max: 1 }",
            "value_count { min: 1 max: 1 } drift_comparator { infinity_norm { threshold: 0.1 } }",
            ["text: another threshold of drift"],
        ),
        ("\n", "\n\n", []),
    ],
)
def test_a_change_is_said_in_words(change, to, words):
    old, new = schema.parse(BASE), schema.parse(BASE.replace(change, to, 1))
    assert schema.explain_difference(old, new) == words


def test_a_schema_with_comparators_of_its_own_keeps_them():
    from berth.settings import Checks

    own = BASE.replace('domain: "label"', 'domain: "label" drift_comparator { infinity_norm { threshold: 0.5 } }')
    completed = schema.completed(schema.parse(own), Checks())
    label = next(feature for feature in completed.feature if feature.name == "label")
    assert label.drift_comparator.infinity_norm.threshold == 0.5
    assert label.skew_comparator.infinity_norm.threshold == pytest.approx(0.1)
    assert {"token_count", "script"} <= {feature.name for feature in completed.feature}
