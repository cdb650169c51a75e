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
from berth.training.recipe import OR_FROZEN, Recipe
from berth.training.settings import SAME_AS_AUTO, Training

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
_CONTRAST_STEPS, _CONTRAST_LABELS = ((10, 10), (math.inf, 20)), 5
"""The most train texts for each label on average, and the updates of `contrast` for each of so many labels."""
_MANY_LABELS = 100
"""More of them in a multi-label task are learnt at ten times the rate of fewer."""
FEW_VALIDATION = 50
"""A validation split of fewer texts cannot tell which epoch is best: the last one is kept."""


_NO_STEERING = {
    *("truncate", "precision", "auto_batch"),
    *("calibrate", "threshold_per_label", "precision_at_least", "abstain_below"),
}
"""Fields of Training that are the same whatever the recipe."""
CHOSEN = ("head_rate", "layer_decay", "select_by", "early_stopping")
"""Fields of Training that may be `auto`."""
_PATIENCE = 4
"""Evaluations in a row that are not kept and end a run, where a validation split can tell which is better."""


@dataclass(frozen=True)
class Facts:
    """What the choice depends on."""

    hidden: int
    """Size of the encoder's vectors."""
    labels: int
    texts: int
    """Of the train split."""
    tokens: int
    """Of these texts, special tokens included."""
    validation: int
    """Texts of the validation split."""
    task: str = "single_label"


def choose_pooling(pooling: str, folder: str, recipe: Recipe) -> str:
    """Return the pooling that `auto` stands for with the encoder in `folder`; `auto` where its outputs decide."""
    return resolve_auto(pooling, folder) if recipe.facts.adapts else pooling


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
        accepts: Whether the encoder takes texts of so many tokens; lengths fall by 16 until it does.
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
        length -= 16
    return length


def _every(step: int, chunks: Iterable[list[str]]) -> list[str]:
    """Return each `step`-th text of all chunks together."""
    return list(itertools.islice(itertools.chain.from_iterable(chunks), 0, None, step))


def for_few(recipe: Recipe, facts: Facts) -> Recipe:
    """Return `recipe`, or the one that it stands for with as many texts; what the user steers stays as it is.

    Too few validation texts cannot tell whether `contrast` or `frozen` is better: `contrast` is on average.
    """
    few = facts.texts <= min(_FEW, _FEW_OF_LABEL * facts.labels)
    steered = recipe.epochs or recipe.batch_size or recipe.learning_rate or _steered(recipe.training)
    if not recipe.facts.many:
        return recipe
    if not few or steered or facts.task != "single_label":
        return replace(recipe, recipe=recipe.facts.many)
    return replace(recipe, recipe=recipe.facts.few if facts.validation >= FEW_VALIDATION else "contrast")


def _steered(training: Training) -> bool:
    usual = Training.model_validate({})
    fields = Training.model_fields.keys() - _NO_STEERING
    return any(getattr(training, name) not in (getattr(usual, name), SAME_AS_AUTO.get(name)) for name in fields)


def settle(recipe: Recipe, facts: Facts) -> Recipe:
    """Return `recipe` with a value in place of every `auto`; what the user has set stays."""
    decides = facts.validation >= FEW_VALIDATION
    asks_to_end = recipe.training.early_stopping not in (AUTO, 0)
    ends_early = decides and recipe.training.select_by != "last" and not recipe.training.evaluate_steps
    options: dict[str, Any] = {
        "head_rate": 1.0,
        "layer_decay": 1.0,
        "select_by": "val_loss" if asks_to_end else "val_loss_1se" if decides else "last",
        "early_stopping": _PATIENCE if ends_early else 0,
    }
    chosen: dict[str, Any] = {"batch_size": 32, "learning_rate": peak_for(facts.hidden)}
    if not recipe.facts.adapts:
        chosen |= {"epochs": 3, "learning_rate": recipe.peak_learning_rate}
        options |= {"select_by": "val_loss", "early_stopping": 0}
    elif recipe.facts.contrasts:
        chosen["batch_size"] = 8
        options["early_stopping"] = 0
    else:
        chosen["batch_size"] = next(size for most, size in _BATCHES if facts.texts <= most)
        options["head_rate"] = _head_rate(facts)
    training = recipe.training.model_copy(
        update={name: value for name, value in options.items() if getattr(recipe.training, name) == AUTO}
    )
    missing = {name: value for name, value in chosen.items() if not getattr(recipe, name)}
    settled = replace(recipe, **missing, training=training)
    return settled if settled.epochs else replace(settled, epochs=_epochs(settled, facts)[0])


def _epochs(recipe: Recipe, facts: Facts) -> tuple[int, str]:
    """Return the epochs in which the run makes enough updates, and what decided that number."""
    steps = updates(replace(recipe, epochs=1), facts)
    if recipe.facts.contrasts:
        each = next(number for most, number in _CONTRAST_STEPS if facts.texts <= most * facts.labels)
        counted = min(facts.labels, _CONTRAST_LABELS)
        epochs = math.ceil(each * counted / steps)
        return epochs, f"{each} for each of {counted} labels" if epochs > 1 else "one epoch at least"
    enough = _STEPS + _STEPS_OF_LABEL * min(facts.labels, _LABELS)
    epochs = math.ceil(enough / steps)
    if epochs > _MOST:
        least = math.ceil(FEW_STEPS / steps)
        return (least, f"{FEW_STEPS} at least") if least > _MOST else (_MOST, f"{_MOST} epochs at most")
    return (epochs, f"{enough:,} are enough") if epochs > _FEWEST else (_FEWEST, f"{_FEWEST} epochs at least")


def _head_rate(facts: Facts) -> float:
    """Return the factor of the learning rate for the head: of many labels a text has few, each learns from few."""
    if facts.task == "multi_label" and facts.labels > _MANY_LABELS:
        return 100.0
    return 10.0 if facts.labels > 2 else 1.0


def parameters(recipe: Recipe, sequence_length: int | str, pooling: str) -> dict[str, object]:
    """Return what MLflow shows of the settings that may have been chosen, by RunConfig's names."""
    name = AUTO if recipe.recipe.endswith(OR_FROZEN) else recipe.recipe
    of_all: dict[str, object] = {"recipe": name, "pooling": pooling, "sequence_length": sequence_length}
    if not recipe.facts.trains_encoder:
        return of_all
    return {
        **of_all,
        "epochs": recipe.epochs,
        "batch_size": recipe.batch_size,
        "learning_rate": recipe.peak_learning_rate,
        **{f"training.{name}": getattr(recipe.training, name) for name in CHOSEN},
    }


def in_words(asked: Recipe, recipe: Recipe, facts: Facts, length: str, pooling: str) -> str:
    """Return the settings of the run in one line, with what they were chosen by.

    Args:
        asked: As the user has set it.
        recipe: The same, settled.
        facts: What it was settled by.
        length: The length of texts, in words.
        pooling: Likewise.
    """
    place = f"settings: recipe {_name_in_words(asked, recipe, facts)}, {length}, {pooling}"
    if not recipe.facts.trains_encoder:
        return place
    steps = f"about {updates(recipe, facts):,} updates"
    if recipe.facts.adapts and not asked.epochs:
        steps += f", {_epochs(recipe, facts)[1]}"
    size = f"{recipe.training.batch_tokens:,} tokens" if recipe.training.batch_tokens else f"{recipe.batch_size}"
    rate = f"learning rate {recipe.peak_learning_rate:g}"
    if recipe.facts.adapts and not asked.learning_rate:
        rate += f" (vectors of {facts.hidden})"
    kept = recipe.select_by + (f" ({facts.validation:,} validation texts)" if asked.training.select_by == AUTO else "")
    size += " pairs" if recipe.facts.contrasts and not recipe.training.batch_tokens else ""
    head = "then a head on the vectors" if recipe.facts.contrasts else f"head {recipe.head_rate:g} times that"
    decay = f", layer decay {recipe.layer_decay:g}" if recipe.layer_decay != 1 else ""
    may_end = 0 < recipe.early_stopping < recipe.epochs or (recipe.early_stopping and recipe.training.evaluate_steps)
    ends = f", ends after {recipe.early_stopping} evaluations that are not kept" if may_end else ""
    epochs = f"{recipe.epochs} epoch{'s' if recipe.epochs > 1 else ''} of batches of {size} ({steps})"
    return f"{place}, {epochs}, {rate}, {head}{decay}, kept: {kept}{ends}"


def _name_in_words(asked: Recipe, recipe: Recipe, facts: Facts) -> str:
    if asked.recipe == recipe.recipe:
        return recipe.recipe
    texts = f"{facts.texts:,} train texts of {facts.labels:,} labels"
    if asked.facts.fits_head and not recipe.facts.fits_head:
        return f"{recipe.recipe} ({texts}; {facts.validation:,} validation texts cannot compare it with frozen)"
    or_frozen = f" or frozen, the better one on {facts.validation:,} validation texts"
    return f"{recipe.recipe.removesuffix(OR_FROZEN)} ({texts})" + (or_frozen if recipe.facts.fits_head else "")


def warnings(recipe: Recipe, facts: Facts) -> list[str]:
    """Return what is doubtful about the run's settings and its texts, and what to change."""
    found = []
    steps = updates(recipe, facts)
    if recipe.facts.trains_encoder and not recipe.facts.contrasts and steps < FEW_STEPS:
        advice = "" if recipe.facts.fits_head else ", or try recipe: auto"
        found.append(f"{steps} updates are few; below {FEW_STEPS} a model hardly learns. Raise epochs{advice}.")
    if facts.texts <= facts.labels and facts.task == "single_label":
        found.append(
            f"{facts.texts:,} train texts for {facts.labels:,} labels are hardly one each. Give more: 50 of each are "
            "few, 500 are good."
        )
    return found


def pairs_of(texts: int) -> int:
    """Return the pairs of an epoch of `contrast` with a train split of `texts`."""
    return max(_PAIRS, texts)


def updates(recipe: Recipe, facts: Facts) -> int:
    """Return about how many updates the run makes."""
    if not recipe.facts.contrasts:
        return steps_of(recipe, facts.texts, facts.tokens)
    pairs = pairs_of(facts.texts)
    return steps_of(recipe, pairs, 2 * facts.tokens * pairs // max(1, facts.texts))


def steps_of(recipe: Recipe, rows: int, tokens: int) -> int:
    """Return about how many updates the run makes with so many rows, and tokens in them, in an epoch."""
    by_tokens = recipe.training.batch_tokens
    batches = min(rows, math.ceil(tokens / by_tokens)) if by_tokens else math.ceil(rows / recipe.batch_size)
    return recipe.epochs * math.ceil(batches / recipe.training.accumulate)
