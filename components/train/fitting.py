"""Fitting: the encoder fine-tuned, a head fitted to the encoder as it is, or the better of the two."""

from collections.abc import Callable

from berth.training.recipe import OR_FROZEN, Recipe
from berth.training.trainer import Outcome
from components.train.frozen import fit_head
from components.train.task import ClassificationTask


def fit(task: ClassificationTask, recipe: Recipe, fine_tune: Callable[[], Outcome]) -> tuple[Outcome, str]:
    """Fit the task's classifier as `recipe` asks, and return what came out, and which of two recipes was better.

    Where it fits a head too, the one with the higher validation accuracy is kept; of equals, with the lower loss.

    Args:
        task: What is trained.
        recipe: How; nothing in it is `auto` any more but its name.
        fine_tune: Fine-tunes the task; called only where the recipe trains the encoder.
    """
    if not recipe.facts.fits_head:
        return fine_tune(), ""
    untrained = task.weights()
    frozen = fit_head(task)
    if not recipe.facts.trains_encoder:
        return frozen, ""
    head = task.weights()
    task.restore(untrained)
    tuned = fine_tune()
    name = recipe.recipe.removesuffix(OR_FROZEN)
    found = {name: tuned.metrics, "frozen": frozen.metrics}
    shown = ", ".join(f"{name} {own['val_accuracy']:.4f} ({own['val_loss']:.4f})" for name, own in found.items())
    better = max(found, key=lambda name: (found[name]["val_accuracy"], -found[name]["val_loss"]))
    print(f"validation accuracy (loss): {shown}; kept: {better}", flush=True)
    if better == name:
        return tuned, better
    task.restore(head)
    return frozen, better
