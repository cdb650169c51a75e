"""The training loop: epochs of steps, a validation after each, the best epoch kept."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from components.common import progress
from components.common.errors import BerthError
from components.train.data import Split, batches, segments
from components.train.evaluation import batch_signature, evaluate
from components.train.model import Classifier
from components.train.optimizer import AdamW, warmup_then_linear_decay
from components.train.text import Preprocessor

_PROGRESS_SECONDS = 1.0


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune; the fields are RunConfig's of the same names."""

    recipe: str
    epochs: int
    batch_size: int
    learning_rate: float
    warmup_fraction: float
    weight_decay: float
    seed: int


@dataclass(frozen=True)
class Outcome:
    """The epoch that was kept and what training took; losses are mean cross-entropies per text."""

    best_epoch: int
    val_loss: float
    val_accuracy: float
    examples_per_second: float


def fit(
    classifier: Classifier,
    preprocessor: Preprocessor,
    evaluation: Any,
    train: Split,
    validation: Split,
    recipe: Recipe,
    log_metrics: Callable[[dict[str, float], int], object],
) -> Outcome:
    """Fine-tune `classifier` in place and leave it at its best epoch by validation loss.

    `evaluation` is the classifier's evaluation function. `log_metrics` gets train_loss, val_loss, val_accuracy,
    learning_rate and examples_per_second of each 1-based epoch.

    Raises:
        BerthError: the loss is no longer a finite number.
    """
    import numpy as np

    rng = np.random.default_rng(recipe.seed)
    steps_per_epoch = -(-len(train) // recipe.batch_size)
    steps = steps_per_epoch * recipe.epochs
    step_function = _step_function(classifier, preprocessor, recipe, steps)

    best: tuple[float, int, list[np.ndarray]] | None = None
    best_accuracy, training_seconds, step, said = 0.0, 0.0, 0, 0.0
    for epoch in range(1, recipe.epochs + 1):
        losses, seen, start = 0.0, 0, time.perf_counter()
        rate = 0.0
        for rows in batches(train, recipe.batch_size, rng):
            loss, rate = step_function(segments(train, rows), train.targets[rows])
            loss, rate, step = float(loss), float(rate), step + 1
            if not np.isfinite(loss):
                raise BerthError(
                    f"the loss is {loss} in epoch {epoch}, step {step} of {steps}, at learning rate {rate:.1e}. "
                    f"Lower learning_rate ({recipe.learning_rate:g})."
                )
            losses, seen = losses + loss * len(rows), seen + len(rows)
            now = time.perf_counter()
            if now - said > _PROGRESS_SECONDS or step in (1, steps):
                said = now
                speed = seen / (now - start)
                progress.report(
                    step, steps, f"epoch {epoch}/{recipe.epochs} · loss {losses / seen:.3f} · {speed:.0f} texts/s"
                )
        seconds = time.perf_counter() - start
        training_seconds += seconds
        val_loss, val_accuracy = evaluate(evaluation, validation)
        metrics = {
            "train_loss": losses / seen,
            "val_loss": val_loss,
            "val_accuracy": val_accuracy,
            "learning_rate": rate,
            "examples_per_second": seen / seconds,
        }
        log_metrics(metrics, epoch)
        print(f"epoch {epoch}: " + ", ".join(f"{name} {value:.4g}" for name, value in metrics.items()), flush=True)
        if best is None or val_loss < best[0]:
            best, best_accuracy = (val_loss, epoch, classifier.weights()), val_accuracy
    assert best is not None
    classifier.restore(best[2])
    return Outcome(best[1], best[0], best_accuracy, len(train) * recipe.epochs / training_seconds)


def _step_function(classifier: Classifier, preprocessor: Preprocessor, recipe: Recipe, steps: int) -> Any:
    """Return the compiled training step: (segments, targets) -> (mean loss, learning rate)."""
    import tensorflow as tf
    import tf_keras

    if recipe.recipe == "berth":
        adamw = AdamW(classifier.variables, recipe.weight_decay)
    else:
        adam = tf_keras.optimizers.Adam(recipe.learning_rate)
        adam.build(classifier.variables)

    @tf.function(input_signature=batch_signature(classifier, preprocessor))
    def step(segments: Any, targets: Any) -> Any:
        inputs = preprocessor.pack(segments)
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(classifier.loss(classifier.logits(inputs, training=True), targets))
        gradients = tape.gradient(loss, classifier.variables)
        if recipe.recipe == "baseline":
            adam.apply_gradients(zip(gradients, classifier.variables, strict=True))
            return loss, tf.constant(recipe.learning_rate)
        rate = warmup_then_linear_decay(adamw.step, steps, recipe.learning_rate, recipe.warmup_fraction)
        adamw.apply(gradients, classifier.variables, rate)
        return loss, rate

    return step
