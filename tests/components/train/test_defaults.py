"""Values that `auto` stands for."""

import numpy as np
import pytest

from berth.training.recipe import Recipe
from berth.training.settings import Training
from components.train import defaults
from components.train.defaults import Facts, choose_length, choose_pooling, for_few, settle, warning
from tests.support.datasets import write_dataset

OPEN = {"epochs": 0, "batch_size": 0, "learning_rate": 0.0}


def recipe(name="berth", training=None, **changes) -> Recipe:
    values = {"recipe": name, **OPEN, "warmup_fraction": 0.1, "weight_decay": 0.01, "seed": 0} | changes
    return Recipe(**values, training=Training.model_validate(training or {}))


def facts(texts: int, hidden=384, validation=0, labels=2, task="single_label") -> Facts:
    return Facts(hidden, labels, texts, validation or texts // 8, task)


def test_few_texts_get_small_batches_and_many_epochs():
    few, middle, many = (settle(recipe(), facts(texts)) for texts in (16, 900, 1_000_000))
    assert [(own.batch_size, own.epochs) for own in (few, middle, many)] == [(8, 50), (16, 6), (32, 3)]


def test_few_texts_are_told_apart_by_contrast():
    """Unless the user steers training, or has more texts than it was measured for, or texts have several labels."""
    few, more = facts(128), facts(129)
    assert for_few(recipe(), few).recipe == "contrast"
    assert for_few(recipe("auto", {"truncate": "tail"}), few).recipe == "contrast"
    for own, data in (
        (recipe(), more),
        (recipe(), facts(1_001, labels=50)),
        (recipe(), facts(128, task="multi_label")),
        (recipe(epochs=3), few),
        (recipe(training={"layer_decay": 0.9}), few),
        (recipe("frozen"), few),
        (recipe("baseline"), few),
    ):
        assert for_few(own, data) == own


@pytest.mark.parametrize(
    ("texts", "labels", "updates"), [(8, 2, 20), (48, 6, 50), (400, 50, 50), (128, 2, 32), (3_000, 2, 375)]
)
def test_contrast_makes_ten_updates_a_label_or_one_epoch(texts, labels, updates):
    assert defaults.steps_of(settle(recipe("contrast"), facts(texts, labels=labels)), texts) == updates


@pytest.mark.parametrize("texts", [100, 500, 501, 1_000, 1_001, 5_000])
def test_every_run_makes_updates_enough(texts):
    assert defaults.steps_of(settle(recipe(), facts(texts)), texts) >= min(300, 20 * texts / 8)


def test_many_labels_get_more_epochs():
    assert [settle(recipe(), facts(4_000, labels=labels)).epochs for labels in (2, 50, 200, 736)] == [3, 4, 9, 9]


@pytest.mark.parametrize(("hidden", "rate"), [(384, 1e-4), (256, 1e-4), (768, 3e-5)])
def test_small_encoders_get_a_higher_rate(hidden, rate):
    assert settle(recipe(), facts(5_000, hidden)).learning_rate == rate


def test_a_tiny_validation_split_does_not_choose_the_epoch():
    kept = [settle(recipe(), facts(400, validation=number)).select_by for number in (49, 50)]
    assert kept == ["last", "val_loss"]


def test_the_head_of_many_classes_learns_faster():
    """It starts from nothing; one logit for two classes keeps up with the encoder."""
    assert [settle(recipe(), facts(5_000, labels=labels)).head_rate for labels in (2, 3, 500)] == [1, 10, 10]
    several = [facts(5_000, labels=labels, task="multi_label") for labels in (3, 100, 101)]
    assert [settle(recipe(), own).head_rate for own in several] == [10, 10, 100]


def test_what_the_user_has_set_stays():
    own = {"epochs": 7, "batch_size": 5, "learning_rate": 2e-5}
    settled = settle(recipe(training={"head_rate": 2, "select_by": "val_accuracy"}, **own), facts(100))
    assert {name: getattr(settled, name) for name in own} == own
    assert (settled.head_rate, settled.select_by) == (2, "val_accuracy")


def test_the_baseline_is_the_original_recipe_whatever_the_data():
    settled = settle(recipe("baseline"), facts(16))
    assert (settled.epochs, settled.batch_size, settled.learning_rate, settled.head_rate) == (3, 32, 1e-3, 1)
    assert choose_pooling("auto", "minilm", settled) == "auto"


def test_minilm_gets_the_mean_that_it_was_trained_for():
    assert choose_pooling("auto", "minilm", recipe()) == "mean"
    assert choose_pooling("cls", "minilm", recipe()) == "cls"
    assert choose_pooling("auto", "/folder", recipe()) == "auto"


def test_a_run_of_few_updates_is_told_to_raise_epochs():
    assert warning(settle(recipe(epochs=3), facts(16)), 16).startswith("6 updates are few; below 100 a model hardly")
    assert warning(settle(recipe(), facts(5_000)), 5_000) == ""
    assert warning(settle(recipe("frozen"), facts(16)), 16) == ""


class Words:
    """A preprocessor whose tokens are words."""

    special_tokens = 2

    def __init__(self, *_: object) -> None: ...


@pytest.mark.parametrize(("limit", "expected"), [(512, 112), (64, 56)])
def test_the_length_holds_nearly_all_texts_and_fits_the_encoder(monkeypatch, tmp_path, limit, expected):
    rows = [("word " * words, "ham") for words in [*[1] * 1900, *[100] * 99, 400]]
    dataset = write_dataset(tmp_path / "long", {"train": rows, "validation": [], "test": []}, ["ham"])
    monkeypatch.setattr(defaults, "Preprocessor", Words)
    monkeypatch.setattr(
        defaults, "tokenize_all", lambda _, texts: (None, np.array([len(own.split()) for own in texts]))
    )
    assert choose_length(dataset, None, "words", False, lambda length: length <= limit) == expected
