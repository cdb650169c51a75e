"""Settings of a configuration that turn probabilities into labels: what goes together."""

import pytest

from berth.errors import BerthError


@pytest.fixture
def load(load):
    return lambda text: load(f"name: a\nsource: b\n{text}")


@pytest.mark.parametrize("recipe", ["berth", "contrast", "frozen", "auto", "baseline"])
def test_every_recipe_may_be_calibrated(load, recipe):
    assert load(f"recipe: {recipe}\ntraining: {{calibrate: true}}\n").training.calibrate


def test_threshold_per_label_excludes_decisions_of_one_label(load):
    """In one line, before a run begins; the other two go together."""
    assert load("training: {precision_at_least: 0.9, abstain_below: 0.8}\n").training.abstain_below == 0.8
    for own in ("precision_at_least: 0.9, abstain_below: 0.8", "precision_at_least: 0.9", "abstain_below: 0.8"):
        with pytest.raises(BerthError, match=r"training: threshold_per_label is for multi-label, .* set only one$"):
            load(f"training: {{threshold_per_label: true, {own}}}\n")
