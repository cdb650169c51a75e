"""Values that `auto` stands for."""

import numpy as np
import pytest

from berth.training.recipe import Recipe
from berth.training.settings import Training
from components.train import defaults
from components.train.defaults import Facts, choose_length, choose_pooling, for_few, settle, updates, warnings
from tests.support.datasets import write_dataset

OPEN = {"epochs": 0, "batch_size": 0, "learning_rate": 0.0}


def recipe(name="berth", training=None, **changes) -> Recipe:
    values = {"recipe": name, **OPEN, "warmup_fraction": 0.1, "weight_decay": 0.01, "seed": 0} | changes
    return Recipe(**values, training=Training.model_validate(training or {}))


def facts(texts: int, hidden=384, validation=0, labels=2, task="single_label") -> Facts:
    """Of texts of 20 tokens."""
    return Facts(hidden, labels, texts, 20 * texts, validation or texts // 8, task)


def test_few_texts_get_small_batches_and_many_epochs():
    few, middle, many = (settle(recipe(), facts(texts)) for texts in (16, 900, 1_000_000))
    assert [(own.batch_size, own.epochs) for own in (few, middle, many)] == [(8, 50), (16, 6), (32, 3)]


def test_few_texts_are_told_apart_by_contrast():
    """Unless the user steers training, or has more texts than it was measured for, or texts have several labels."""
    few, more = facts(128), facts(129)
    assert for_few(recipe(), few).recipe == "contrast"
    for own, data in (
        (recipe(), more),
        (recipe(), facts(1_001, labels=50)),
        (recipe(), facts(128, task="multi_label")),
        (recipe(epochs=3), few),
        (recipe(training={"layer_decay": 0.9}), few),
        (recipe(training={"early_stopping": 1}), few),
    ):
        assert for_few(own, data).recipe == "fine_tune"
    neutral = {"layer_decay": 1.0, "early_stopping": 0}
    assert for_few(recipe(training=neutral), few).recipe == "contrast"
    for name in ("fine_tune", "contrast", "frozen", "baseline"):
        assert for_few(recipe(name), few) == recipe(name)


def test_auto_compares_with_frozen_where_validation_can_tell():
    own = recipe("auto", {"truncate": "tail"})
    names = [for_few(own, facts(texts, validation=number)).recipe for texts, number in ((128, 49), (128, 50), (129, 9))]
    assert names == ["contrast", "contrast_or_frozen", "fine_tune_or_frozen"]


@pytest.mark.parametrize(
    ("texts", "labels", "updates"), [(8, 2, 20), (48, 6, 50), (400, 50, 50), (21, 2, 40), (90, 6, 108), (3_000, 2, 375)]
)
def test_contrast_makes_ten_or_twenty_updates_a_label(texts, labels, updates):
    own = facts(texts, labels=labels)
    assert defaults.updates(settle(recipe("contrast"), own), own) == updates


@pytest.mark.parametrize("texts", [100, 500, 501, 1_000, 1_001, 5_000])
def test_every_run_makes_updates_enough(texts):
    assert updates(settle(recipe(), facts(texts)), facts(texts)) >= min(300, 20 * texts / 8)


OPTIONS = {"batch_tokens": 2_000}, {"accumulate": 4}, {"batch_tokens": 500, "accumulate": 2}


@pytest.mark.parametrize("options", OPTIONS)
def test_updates_are_counted_by_tokens_and_accumulation(options):
    """100 texts of 20 tokens make a batch of 2,000; the floor of epochs holds for what an update is."""
    own = facts(2_000)
    settled = settle(recipe(training=options), own)
    batches = 2_000 * 20 / options["batch_tokens"] if "batch_tokens" in options else 2_000 / 32
    assert updates(settled, own) == settled.epochs * -(-batches // options.get("accumulate", 1))
    assert updates(settled, own) >= 300


def test_many_labels_get_more_epochs():
    assert [settle(recipe(), facts(4_000, labels=labels)).epochs for labels in (2, 50, 200, 736)] == [3, 4, 9, 9]


@pytest.mark.parametrize(("hidden", "rate"), [(384, 1e-4), (256, 1e-4), (768, 3e-5)])
def test_small_encoders_get_a_higher_rate(hidden, rate):
    assert settle(recipe(), facts(5_000, hidden)).learning_rate == rate


def test_a_tiny_validation_split_does_not_choose_the_epoch():
    few, enough = (settle(recipe(), facts(400, validation=number)) for number in (49, 50))
    assert (few.select_by, few.early_stopping) == ("last", 0)
    assert (enough.select_by, enough.early_stopping) == ("val_loss_1se", 4)
    by_steps = settle(recipe(training={"evaluate_steps": 9}), facts(400, validation=50))
    assert by_steps.early_stopping == 0, "4 of them may be in the warm-up"
    asked = settle(recipe(training={"early_stopping": 2}), facts(400, validation=9))
    assert asked.select_by == "val_loss", "with the last one training could not end"
    last = settle(recipe(training={"select_by": "last"}), facts(400, validation=50))
    assert last.early_stopping == 0, "the last one is always the best"


def test_the_head_of_many_classes_learns_faster():
    """It starts from nothing; one logit for two classes keeps up with the encoder."""
    assert [settle(recipe(), facts(5_000, labels=labels)).head_rate for labels in (2, 3, 500)] == [1, 10, 10]
    several = [facts(5_000, labels=labels, task="multi_label") for labels in (3, 100, 101)]
    assert [settle(recipe(), own).head_rate for own in several] == [10, 10, 100]


def test_what_the_user_has_set_stays():
    own = {"epochs": 7, "batch_size": 5, "learning_rate": 2e-5}
    options = {"head_rate": 2, "select_by": "val_accuracy", "layer_decay": 0.9, "early_stopping": 1}
    settled = settle(recipe(training=options, **own), facts(100))
    assert {name: getattr(settled, name) for name in own} == own
    assert {name: getattr(settled, name) for name in options} == options


def test_the_baseline_is_the_original_recipe_whatever_the_data():
    settled = settle(recipe("baseline"), facts(16))
    assert (settled.epochs, settled.batch_size, settled.learning_rate, settled.head_rate) == (3, 32, 1e-3, 1)


@pytest.mark.parametrize(
    ("content", "expected"),
    [('{"pooling": "mean"}', "mean"), ('{"pooling": ""}', "auto"), ('{"pooling": "max"}', "auto"), ("[", "auto")],
)
def test_an_encoder_gets_the_pooling_that_it_was_trained_for(tmp_path, content, expected):
    (tmp_path / "encoder.json").write_text(content)
    assert choose_pooling("auto", str(tmp_path), recipe()) == expected
    assert choose_pooling("cls", str(tmp_path), recipe()) == "cls"
    assert choose_pooling("auto", str(tmp_path), recipe("baseline")) == "auto"


def test_a_run_of_few_updates_is_told_to_raise_epochs():
    (doubt,) = warnings(settle(recipe(epochs=3), facts(16)), facts(16))
    assert doubt.startswith("6 updates are few; below 100 a model hardly learns.")
    assert warnings(settle(recipe(), facts(5_000)), facts(5_000)) == []
    assert warnings(settle(recipe("frozen"), facts(16)), facts(16)) == []


def test_one_text_of_each_class_is_doubtful():
    (doubt,) = warnings(settle(recipe("frozen"), facts(3, labels=3)), facts(3, labels=3))
    assert doubt.startswith("3 train texts for 3 labels are hardly one each. Give more")


LINES = {
    "fine_tune": (
        recipe(),
        facts(900, labels=6),
        "recipe fine_tune (900 train texts of 6 labels), 64 tokens, pooling mean, 6 epochs of batches of 16 (about 342 "
        "updates, 324 are enough), learning rate 0.0001 (vectors of 384), head 10 times that, kept: "
        "val_loss_1se (112 validation texts), ends after 4 evaluations that are not kept",
    ),
    "contrast": (
        recipe(),
        facts(20),
        "recipe contrast (20 train texts of 2 labels), 64 tokens, pooling mean, 2 epochs of batches of 8 pairs (about "
        "20 updates, 10 for each of 2 labels), learning rate 0.0001 (vectors of 384), then a head on the vectors, "
        "kept: last (2 validation texts)",
    ),
    "nothing to compare with": (
        recipe("auto"),
        facts(20),
        "recipe contrast (20 train texts of 2 labels; 2 validation texts cannot compare it with frozen), ",
    ),
    "compared": (
        recipe("auto"),
        facts(5_000),
        "recipe fine_tune (5,000 train texts of 2 labels) or frozen, the better one on 625 validation texts, 64 "
        "tokens, pooling mean, 3 epochs of batches of 32 (about 471 updates, 3 epochs at least), ",
    ),
    "set by the user": (
        recipe("fine_tune", {"select_by": "last", "layer_decay": 0.9}, epochs=2, learning_rate=1e-3),
        facts(20),
        "recipe fine_tune, 64 tokens, pooling mean, 2 epochs of batches of 8 (about 6 updates), learning rate 0.001, "
        "head 1 times that, layer decay 0.9, kept: last",
    ),
    "few for fine-tuning": (
        recipe("fine_tune"),
        facts(20),
        "recipe fine_tune, 64 tokens, pooling mean, 34 epochs of batches of 8 (about 102 updates, 100 at least), ",
    ),
}


@pytest.mark.parametrize("case", LINES)
def test_the_settings_line_says_what_they_were_chosen_by(case):
    asked, own, expected = LINES[case]
    line = defaults.in_words(asked, settle(for_few(asked, own), own), own, "64 tokens", "pooling mean")
    assert line[: len(expected) + 10] == f"settings: {expected}"


class Words:
    """A preprocessor whose tokens are words."""

    special_tokens = 2

    def __init__(self, *_: object) -> None: ...


@pytest.mark.parametrize(("limit", "expected"), [(512, 112), (64, 64), (100, 96)])
def test_the_length_holds_nearly_all_texts_and_fits_the_encoder(monkeypatch, tmp_path, limit, expected):
    rows = [("word " * words, "ham") for words in [*[1] * 1900, *[100] * 99, 400]]
    dataset = write_dataset(tmp_path / "long", {"train": rows, "validation": [], "test": []}, ["ham"])
    monkeypatch.setattr(defaults, "Preprocessor", Words)
    monkeypatch.setattr(
        defaults, "tokenize_all", lambda _, texts: (None, np.array([len(own.split()) for own in texts]))
    )
    assert choose_length(dataset, None, "words", False, lambda length: length <= limit) == expected
