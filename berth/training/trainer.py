"""The training loop: epochs of steps, evaluations, the best weights kept, checkpoints on the way."""

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from berth import progress
from berth.data.token_ids import TokenisedSplit
from berth.encoders.preprocessor import Preprocessor
from berth.errors import BerthError
from berth.training.batching import Batching, batches
from berth.training.checkpoints import packed, unpacked
from berth.training.devices import Devices
from berth.training.learning_rate import warmup_then_linear_decay
from berth.training.preemption import Preempted, preemption
from berth.training.recipe import Recipe
from berth.training.state import Best, Throughput, TrainingState
from berth.training.train_step import TrainStep
from components.train.classifier import Classifier
from components.train.collapse import check_not_collapsed, spread
from components.train.evaluation import evaluate
from components.train.loss import objective

if TYPE_CHECKING:
    import numpy as np

    from berth.training.checkpoints import Checkpoints


_PROGRESS_SECONDS = 1.0
_POINTS = 200
"""About how many points of a run's curve are logged, however long it is."""

Log = Callable[[dict[str, float], int], object]


@dataclass(frozen=True)
class Outcome:
    """The evaluation that was kept and what training took; losses are mean cross-entropies per text."""

    best_epoch: int
    val_loss: float
    val_accuracy: float
    val_macro_f1: float
    examples_per_second: float
    tokens_per_second: float
    padding_share: float
    epochs: int
    """How many were begun: early stopping ends before the recipe's."""


class Trainer:
    """The fine-tuning of one classifier.

    Args:
        classifier: What is fine-tuned in place, and left at its best evaluation by training.select_by.
        replicated: What is trained: the classifier itself, or of several `devices` one that was made in their scope.
        preprocessor: The encoder's.
        evaluation: The classifier's evaluation function.
        train: The split that is trained on.
        validation: The split that is evaluated on.
        recipe: How.
        log_metrics: Gets what Throughput.metrics and evaluate return, and learning_rate, of each 1-based epoch; some of
            them on the way, named `steps/...`, by 1-based step.
        devices: Where.
        checkpoints: Training goes on from the newest; None: nothing is left.
        checkpoint_seconds: How often one is written.
    """

    def __init__(
        self,
        classifier: Classifier,
        replicated: Classifier,
        preprocessor: Preprocessor,
        evaluation: Any,
        train: TokenisedSplit,
        validation: TokenisedSplit,
        recipe: Recipe,
        log_metrics: Log,
        devices: Devices,
        checkpoints: "Checkpoints | None" = None,
        checkpoint_seconds: float = math.inf,
    ) -> None:
        import numpy as np

        self.classifier, self.preprocessor, self.evaluation = classifier, preprocessor, evaluation
        self.replicated = replicated
        self.train, self.validation = train, validation
        self.recipe, self.log_metrics, self.devices = recipe, log_metrics, devices
        self.checkpoints, self.checkpoint_seconds = checkpoints, checkpoint_seconds
        training = recipe.training
        self.batching = Batching(
            recipe.batch_size,
            preprocessor.room,
            preprocessor.special_tokens,
            training.batch_tokens,
            by_length=recipe.recipe == "berth",
        )
        self.widths = self.batching.widths(train)
        aim = objective(training, classifier.task, train.targets, len(classifier.labels))
        self.stepper = TrainStep(replicated, preprocessor, recipe, aim, devices)
        self.flops_per_token = flops_per_token(classifier, self.stepper.variables)
        self.position = TrainingState()
        self.best_weights: list[np.ndarray] = []
        self.rng = np.random.default_rng(recipe.seed)
        self.said = self.saved = time.monotonic()

    def run(self) -> Outcome:
        """Fine-tune.

        Raises:
            BerthError: the loss is no longer a finite number, the model has collapsed, or memory ran out.
        """
        with preemption() if self.checkpoints else contextlib.nullcontext(lambda: False) as self.preempted:
            self._resume()
            position, recipe = self.position, self.recipe
            seen = self.evaluation, self.preprocessor, self.validation
            if position.step == 0:
                position.untrained_spread = spread(*seen)
            while position.epoch <= recipe.epochs and not self._stopped():
                self._epoch()
                position.epoch, position.batch = position.epoch + 1, 0
                position.rng = dict(self.rng.bit_generator.state)
                self._checkpoint()
        best = position.best
        assert best is not None
        self.classifier.restore(self.best_weights)
        check_not_collapsed(*seen, position.untrained_spread, self.classifier.labels, recipe.peak_rate)
        totals = position.whole.metrics(self.flops_per_token)
        return Outcome(
            best.epoch,
            **best.metrics,
            **{name: totals[name] for name in ("examples_per_second", "tokens_per_second", "padding_share")},
            epochs=position.epoch - 1,
        )

    def _epoch(self) -> None:
        """Train on what is left of the epoch at `position`, and evaluate at its end."""
        position, recipe = self.position, self.recipe
        position.rng = dict(self.rng.bit_generator.state)
        dealt = list(batches(self.train, self.batching, self.rng))
        accumulate = recipe.training.accumulate
        steps = math.ceil(len(dealt) / accumulate)
        total = steps * recipe.epochs
        every = max(1, total // _POINTS)
        if position.batch == 0:
            position.of_epoch = Throughput()
        since = Throughput()
        for start in range(position.batch, len(dealt), accumulate):
            meter, position.rate = self._step(dealt[start : start + accumulate], total)
            for own in (position.of_epoch, position.whole, since):
                own.add(meter)
            position.batch, position.step = start + accumulate, position.step + 1
            last = position.batch >= len(dealt)
            self._report(steps - math.ceil(position.batch / accumulate), steps, total)
            if position.step % every == 0 or last:
                values = since.metrics(self.flops_per_token) | {"learning_rate": position.rate}
                self.log_metrics({f"steps/{name}": value for name, value in values.items()}, position.step)
                since = Throughput()
            evaluate_steps = recipe.training.evaluate_steps
            if not last and evaluate_steps and position.step % evaluate_steps == 0:
                values = self._evaluate()
                self.log_metrics({f"steps/{name}": value for name, value in values.items()}, position.step)
                if self._stopped():
                    break
            self._checkpoint()
        metrics = position.of_epoch.metrics(self.flops_per_token) | {"learning_rate": position.rate}
        if not self._stopped():
            metrics |= self._evaluate()
        self.log_metrics(metrics, position.epoch)
        words = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        print(f"epoch {position.epoch}: {words}", flush=True)

    def _step(self, dealt: "list[np.ndarray]", total: int) -> tuple[Throughput, float]:
        """Take one step, of about `total`, from the batches `dealt`; return what it was on and its learning rate."""
        position, recipe = self.position, self.recipe
        texts = sum(map(len, dealt))
        rate = recipe.peak_rate
        if recipe.recipe == "berth":
            whole = len(self.train) * recipe.epochs
            rate = warmup_then_linear_decay(position.whole.texts, texts, whole, rate, recipe.warmup_fraction)
        start = time.perf_counter()
        loss = self.stepper(self.train, dealt, rate, position.step)
        seconds = time.perf_counter() - start
        if not math.isfinite(loss):
            raise BerthError(
                f"the loss is {loss} in epoch {position.epoch}, step {position.step + 1} of {total}, at learning rate "
                f"{rate:.1e}. Lower learning_rate ({recipe.peak_rate:g})."
            )
        widths = [self.widths[rows] for rows in dealt]
        fixed = self.preprocessor.sequence_length if recipe.recipe == "baseline" else 0
        padded = sum((fixed or int(own.max())) * len(own) for own in widths)
        return Throughput(loss * texts, texts, sum(int(own.sum()) for own in widths), padded, seconds), rate

    def _report(self, left: int, steps: int, total: int) -> None:
        """Print a progress line, if one is due; `left` steps of this epoch's `steps` are to come."""
        position = self.position
        now = time.monotonic()
        done = position.epoch * steps - left
        if not self.devices.chief or (now - self.said < _PROGRESS_SECONDS and position.step != 1 and done != total):
            return
        self.said = now
        own, whole = position.of_epoch, position.whole
        values = own.metrics(self.flops_per_token)
        to_come = len(self.train) * self.recipe.epochs - whole.texts
        progress.report(
            done,
            total,
            f"epoch {position.epoch}/{self.recipe.epochs} · loss {values['train_loss']:.3f} · "
            f"{values['examples_per_second']:.0f} texts/s · {_clock(to_come * whole.seconds / whole.texts)} left | "
            f"{values['tokens_per_second']:,.0f} tokens/s · {values['padding_share']:.1%} padding · "
            f"{values['gflops_per_second']:.0f} GFLOP/s",
        )

    def _evaluate(self) -> dict[str, float]:
        """Return what the weights of now are worth, and keep them if they are the best."""
        position, name = self.position, self.recipe.training.select_by
        if self.replicated is not self.classifier:
            self.classifier.restore(self.replicated.weights())
        metrics = evaluate(self.evaluation, self.classifier, self.preprocessor, self.validation)
        score = -metrics[name] if name == "val_loss" else metrics[name]
        if position.best is None or score > position.best.score:
            position.best = Best(score, position.epoch, metrics)
            self.best_weights = self.classifier.weights()
        else:
            position.best.worse += 1
        return metrics

    def _stopped(self) -> bool:
        """Return whether early stopping has ended training."""
        patience, best = self.recipe.training.early_stopping, self.position.best
        return bool(patience and best and best.worse >= patience)

    def _resume(self) -> None:
        """Go on from the newest checkpoint, if there is one."""
        found = self.checkpoints.restore() if self.checkpoints else None
        if not self.devices.alone:
            found = unpacked(self.devices.from_chief(packed(found)))
        if found is None:
            return
        arrays, values = found
        self.position = TrainingState.load(values)
        for variable, array in zip(self.stepper.state, _numbered(arrays, "state"), strict=True):
            variable.assign(array)
        self.best_weights = list(_numbered(arrays, "best"))
        self.rng.bit_generator.state = self.position.rng
        print(f"going on from a checkpoint: epoch {self.position.epoch}, step {self.position.step}", flush=True)

    def _checkpoint(self) -> None:
        """Save if it is time to, or if the process was asked to end: then end it."""
        import numpy as np

        if self.checkpoints is None:
            return
        preempted = self.preempted()
        if not preempted and time.monotonic() - self.saved < self.checkpoint_seconds:
            return
        arrays = {f"state/{number}": variable.numpy() for number, variable in enumerate(self.stepper.state)}
        arrays |= {f"best/{number}": weight for number, weight in enumerate(self.best_weights)}
        # A step whose loss was a number may leave weights that are none: the next one stops, and these are not kept.
        if all(np.isfinite(array).all() for array in arrays.values()):
            self.checkpoints.save(arrays, asdict(self.position))
        self.saved = time.monotonic()
        if preempted:
            raise Preempted(
                f"stopped from outside after step {self.position.step}; started again, it goes on from there"
            )


def flops_per_token(classifier: Classifier, trained: list[Any]) -> float:
    """Return about how many floating-point operations training takes for a token.

    Two for each weight of a matrix product forward, two more for each gradient of a weight, two for each gradient of an
    input (Kaplan et al. 2020, which leaves attention's own products out too); embeddings are looked up, not multiplied.
    """
    import numpy as np

    def weights(variables: list[Any]) -> int:
        kernels = [own for own in variables if len(own.shape) > 1 and "embedding" not in own.name]
        return sum(int(np.prod(own.shape)) for own in kernels)

    return 2.0 * weights(classifier.variables) + 4.0 * weights(trained)


def _numbered(arrays: "dict[str, np.ndarray]", name: str) -> "Iterator[np.ndarray]":
    for number in itertools.count():
        if f"{name}/{number}" not in arrays:
            return
        yield arrays[f"{name}/{number}"]


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
