"""The settings that a run leaves at `auto`, chosen from its encoder and its train split.

docs/training.md has the table of what is chosen, and docs/quality.md what it is worth.
"""

import itertools
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from berth.data.dataset import PAIR, TEXT, read_chunks, row_count
from berth.encoders.adapter import LoadedModel
from berth.encoders.pooling import resolve_auto
from berth.encoders.preprocessor import Preprocessor, tokenize_all
from berth.settings import AUTO, LONGEST
from berth.training.learning_rate import peak_for
from berth.training.recipe import Recipe
from berth.training.settings import Training

FEW_STEPS = 100
"""A run of fewer updates of the weights has hardly begun to learn."""
_WHOLE = 0.999
"""Share of the train texts that `sequence_length: auto` leaves whole."""
_SAMPLE = 10_000
"""Train texts that are measured for it."""
_SHORTEST = 16
_STEPS, _STEPS_OF_LABEL, _LABELS = 300, 4, 200
"""Updates that `epochs: auto` aims at, more of them for each of so many labels, within the fewest and most epochs."""
_FEWEST, _MOST = 3, 20
"""But so many at least that a run makes FEW_STEPS updates."""
_BATCHES = ((500, 8), (1_000, 16), (math.inf, 32))
"""The most texts, and the batch size for them: small batches give few texts more updates."""
_FEW_OF_LABEL, _FEW = 64, 1_000
"""Up to so many train texts for each label on average, and in all, `contrast` is better than fine-tuning."""
_PAIRS = 80
"""Pairs of an epoch of `contrast`, or as many as there are texts."""
_CONTRAST_STEPS, _CONTRAST_LABELS = 10, 5
"""Updates of `contrast` for each of so many labels: two need few to be told apart, and more add nothing."""
_MANY_LABELS = 100
"""More of them in a multi-label task are learnt at ten times the rate of fewer."""
FEW_VALIDATION = 50
"""A validation split of fewer texts cannot tell which epoch is best: the last one is kept."""


_NO_STEERING = {
    *("truncate", "precision", "auto_batch"),
    *("calibrate", "threshold_per_label", "precision_at_least", "abstain_below"),
}
"""Fields of Training that are the same whatever the recipe."""
CHOSEN = ("head_rate", "select_by")
"""Fields of Training that may be `auto`."""


@dataclass(frozen=True)
class Facts:
    """What the choice depends on."""

    hidden: int
    """Size of the encoder's vectors."""
    labels: int
    texts: int
    """Of the train split."""
    validation: int
    """Texts of the validation split."""
    task: str = "single_label"


def choose_pooling(pooling: str, encoder: str, recipe: Recipe) -> str:
    """Return the pooling that `auto` stands for; `auto` where the encoder's outputs decide."""
    return resolve_auto(pooling, encoder) if recipe.facts.adapts else pooling


def settle_encoder(recipe: Recipe, is_trainable: bool) -> Recipe:
    """Return `recipe` for an encoder that is trainable or not: `auto` is then `frozen`."""
    if is_trainable or not (recipe.facts.trains_encoder and recipe.facts.fits_head):
        return recipe
    print("recipe frozen: the encoder has no variable that fine-tuning could change", flush=True)
    return replace(recipe, recipe="frozen")


def choose_length(
    dataset: str | Path, loaded: LoadedModel, handle: str, pairs: bool, accepts: Callable[[int], bool]
) -> int:
    """Return the tokens that hold all but one in a thousand of the train texts whole: a multiple of 16, at most 512.

    Args:
        dataset: The dataset's folder.
        loaded: The preprocessor, as loaded.
        handle: The user's name for it.
        pairs: Whether a row has two texts.
        accepts: Whether the encoder takes texts of so many tokens; lengths are halved until it does.
    """
    rows = row_count(dataset, "train")
    step = max(1, rows // _SAMPLE)
    measuring = Preprocessor(loaded, LONGEST, handle, pairs)
    names = (TEXT, PAIR) if pairs else (TEXT,)
    lengths = sum(tokenize_all(measuring, _every(step, read_chunks(dataset, "train", name)))[1] for name in names)
    if not rows:  # said where the split is read
        return _SHORTEST
    needed = float(np.quantile(lengths, _WHOLE)) + measuring.special_tokens
    length = min(LONGEST, max(_SHORTEST, 16 * math.ceil(needed / 16)))
    while length > _SHORTEST and not accepts(length):
        length //= 2
    return length


def _every(step: int, chunks: Iterable[list[str]]) -> list[str]:
    """Return each `step`-th text of all chunks together."""
    return list(itertools.islice(itertools.chain.from_iterable(chunks), 0, None, step))


def for_few(recipe: Recipe, facts: Facts) -> Recipe:
    """Return `recipe`, or the one that does better with as few texts; what the user steers stays as it is."""
    few = facts.texts <= min(_FEW, _FEW_OF_LABEL * facts.labels)
    steered = recipe.epochs or recipe.batch_size or recipe.learning_rate or _steered(recipe.training)
    if not recipe.facts.few or not few or steered or facts.task != "single_label":
        return recipe
    return replace(recipe, recipe=recipe.facts.few)


def _steered(training: Training) -> bool:
    usual = Training.model_validate({})
    fields = Training.model_fields.keys() - _NO_STEERING
    return any(getattr(training, name) != getattr(usual, name) for name in fields)


def settle(recipe: Recipe, facts: Facts) -> Recipe:
    """Return `recipe` with a value in place of every `auto`; what the user has set stays."""
    if not recipe.facts.adapts:
        chosen: dict[str, Any] = {"epochs": 3, "batch_size": 32, "learning_rate": recipe.peak_learning_rate}
        options: dict[str, Any] = {"head_rate": 1.0, "select_by": "val_loss"}
    elif recipe.facts.contrasts:
        batch_size = recipe.batch_size or 8
        steps = _CONTRAST_STEPS * min(facts.labels, _CONTRAST_LABELS)
        chosen = {
            "epochs": math.ceil(steps / math.ceil(pairs_of(facts.texts) / batch_size)),
            "batch_size": batch_size,
            "learning_rate": peak_for(facts.hidden),
        }
        options = {"head_rate": 1.0, "select_by": "val_loss" if facts.validation >= FEW_VALIDATION else "last"}
    else:
        batch_size = recipe.batch_size or next(size for most, size in _BATCHES if facts.texts <= most)
        steps = math.ceil(facts.texts / batch_size)
        enough = math.ceil((_STEPS + _STEPS_OF_LABEL * min(facts.labels, _LABELS)) / steps)
        chosen = {
            "epochs": max(min(_MOST, max(_FEWEST, enough)), math.ceil(FEW_STEPS / steps)),
            "batch_size": batch_size,
            "learning_rate": peak_for(facts.hidden),
        }
        options = {
            "head_rate": _head_rate(facts),
            "select_by": "val_loss" if facts.validation >= FEW_VALIDATION else "last",
        }
    training = recipe.training.model_copy(
        update={name: value for name, value in options.items() if getattr(recipe.training, name) == AUTO}
    )
    missing = {name: value for name, value in chosen.items() if not getattr(recipe, name)}
    return replace(recipe, **missing, training=training)


def _head_rate(facts: Facts) -> float:
    """Return the factor of the learning rate for the head: of many labels a text has few, each learns from few."""
    if facts.task == "multi_label" and facts.labels > _MANY_LABELS:
        return 100.0
    return 10.0 if facts.labels > 2 else 1.0


def pairs_of(texts: int) -> int:
    """Return the pairs of an epoch of `contrast` with a train split of `texts`."""
    return max(_PAIRS, texts)


def parameters(recipe: Recipe, sequence_length: int, pooling: str) -> dict[str, object]:
    """Return what MLflow shows of the settings that may have been chosen, by RunConfig's names."""
    if not recipe.facts.trains_encoder:
        return {"recipe": recipe.recipe, "pooling": pooling, "sequence_length": sequence_length}
    return {
        "recipe": recipe.recipe,
        "pooling": pooling,
        "sequence_length": sequence_length,
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "learning_rate": recipe.peak_learning_rate,
        **{f"training.{name}": getattr(recipe.training, name) for name in CHOSEN},
    }


def in_words(recipe: Recipe, sequence_length: int, pooling: str, texts: int) -> str:
    """Return the settings of the run in one line."""
    place = f"{sequence_length} tokens, pooling {pooling}"
    if not recipe.facts.trains_encoder:
        return f"settings: recipe {recipe.recipe}, {place}"
    steps = steps_of(recipe, texts)
    if recipe.facts.contrasts:
        return (
            f"settings: recipe contrast ({texts:,} train texts), {place}, about {steps:,} updates of batches of "
            f"{recipe.batch_size} pairs, learning rate {recipe.peak_learning_rate:g}, then a head on the vectors"
        )
    return (
        f"settings: recipe {recipe.recipe}, {place}, {recipe.epochs} epochs of batches of {recipe.batch_size} "
        f"(about {steps:,} updates), learning rate {recipe.peak_learning_rate:g}, "
        f"head {recipe.head_rate:g} times that, kept: {recipe.select_by}"
    )


def warning(recipe: Recipe, texts: int) -> str:
    """Return what is doubtful about the run's settings, and what to change; empty: nothing is."""
    steps = steps_of(recipe, texts)
    if not recipe.facts.trains_encoder or recipe.facts.contrasts or steps >= FEW_STEPS:
        return ""
    return f"{steps} updates are few; below {FEW_STEPS} a model hardly learns. Raise epochs, or try recipe: auto."


def steps_of(recipe: Recipe, texts: int) -> int:
    """Return about how many updates the run makes."""
    rows = pairs_of(texts) if recipe.facts.contrasts else texts
    return recipe.epochs * math.ceil(rows / (recipe.batch_size * recipe.training.accumulate))
