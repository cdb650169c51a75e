"""The training loop: epochs of steps, evaluations, the best weights kept, checkpoints on the way."""

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial

import numpy as np

from berth import progress
from berth.training.background import Background
from berth.training.batching import Batching, batches, padding
from berth.training.checkpoints import Checkpoints, packed, unpacked
from berth.training.devices import Devices
from berth.training.flops import flops_per_token
from berth.training.learning_rate import warmup_then_linear_decay
from berth.training.pending import MOST, PendingLosses
from berth.training.preemption import Interrupted, Preempted, Preemption, preemption
from berth.training.recipe import Recipe
from berth.training.state import Best, Throughput, TrainingState
from berth.training.task import TrainingTask
from berth.training.train_step import TrainStep

_PROGRESS_SECONDS = 1.0
_SPARSE_STEP, _DENSE_STEP = 64, 512
"""Batching.step_tokens: a step that updates the few rows of the word table that its batch has, or the whole table.
Measured with minilm: about 20 and 110 ms, at 4,000 tokens/s."""
_POINTS = 200
"""About how many points of a run's curve are logged, however long it is."""

_WORTH_SAVING = 60.0
"""Seconds of training that are saved before its end, which predicts many texts and may be interrupted."""

Log = Callable[[dict[str, float], int], object]


@dataclass(frozen=True)
class Outcome:
    """The evaluation that was kept, and the throughput of the whole training."""

    best_epoch: int
    """1-based."""
    metrics: dict[str, float]
    """What the task's `evaluate` returned for the weights that were kept."""
    examples_per_second: float
    tokens_per_second: float
    padding_share: float
    """Share of the tokens in all batches that are padding, in [0, 1]."""
    epochs: int
    """How many were begun: early stopping ends before the recipe's."""
    tokens: int = 0
    """That were trained on, without padding."""


class Trainer:
    """Trains the model of one task.

    Args:
        task: The model, its data and its loss. The model is trained in place, and left at its best evaluation.
        recipe: How to train.
        log_metrics: Gets the metrics of each 1-based epoch: those of Throughput.metrics and of the task's `evaluate`,
            and learning_rate. Some of them also come between epochs, named `steps/...`, by 1-based step.
        devices: Where to train.
        checkpoints: Training continues from the newest one; None: no checkpoints.
        checkpoint_seconds: How often one is written.

    Example:
        >>> outcome = Trainer(task, recipe, lambda metrics, epoch: print(epoch, metrics), find()).run()
        >>> outcome.metrics["val_loss"]
    """

    def __init__(
        self,
        task: TrainingTask,
        recipe: Recipe,
        log_metrics: Log,
        devices: Devices,
        checkpoints: Checkpoints | None = None,
        checkpoint_seconds: float = math.inf,
    ) -> None:
        self.task, self.recipe, self.log_metrics, self.devices = task, recipe, log_metrics, devices
        self.checkpoints, self.checkpoint_seconds = checkpoints, checkpoint_seconds
        self.batching = Batching(
            *(recipe.batch_size, recipe.training.batch_tokens, recipe.facts.by_length, devices.multiple),
            step_tokens=_DENSE_STEP if task.tied else _SPARSE_STEP,
            window=task.window,
        )
        self.train_step = TrainStep(task, recipe, devices)
        self.flops_per_token = flops_per_token(task.variables, self.train_step.variables)
        self.state = TrainingState()
        self.best_weights: list[np.ndarray] = []
        self.rng = np.random.default_rng(recipe.seed)
        self._reported = self._saved = time.monotonic()
        self._since = Throughput()  # since a step was logged last
        self._losses, self._writing = PendingLosses(), Background()

    def run(self) -> Outcome:
        """Train to the end.

        Raises:
            BerthError: the loss is no longer a finite number, memory ran out, or the task rejects the model.
        """
        try:
            return self._run()
        finally:
            self._writing.wait()

    def _run(self) -> Outcome:
        resumes = self.checkpoints or not self.devices.alone
        with preemption() if resumes else contextlib.nullcontext(Preemption()) as self._preempted:
            self._resume()
            state = self.state
            if state.step == 0:
                state.begun = self.task.begin()
            while state.epoch <= self.recipe.epochs and not self._stopped():
                self._train_epoch()
                state.epoch, state.batch = state.epoch + 1, 0
                state.rng = dict(self.rng.bit_generator.state)
                self._checkpoint()
            if self._stopped() and state.epoch <= self.recipe.epochs:
                patience, score = self.recipe.early_stopping, self.recipe.select_by
                print(f"early stopping: select_by: {score} kept none of the last {patience} evaluations", flush=True)
            self._checkpoint(_WORTH_SAVING)
        best = state.best
        assert best is not None
        self.task.restore(self.best_weights)
        self.devices.as_chief(lambda: self.task.end(state.begun))
        totals = state.whole.metrics(self.flops_per_token)
        return Outcome(
            best.epoch,
            best.metrics,
            **{name: totals[name] for name in ("examples_per_second", "tokens_per_second", "padding_share")},
            epochs=state.epoch - 1,
            tokens=state.whole.tokens,
        )

    def _train_epoch(self) -> None:
        """Train on what is left of the epoch of `state`, and evaluate at its end."""
        state, training = self.state, self.recipe.training
        state.rng = dict(self.rng.bit_generator.state)
        self.task.begin_epoch(state.epoch)
        padded, widths = self.task.padded_width, self.task.widths
        all_batches = list(batches(np.full_like(widths, padded) if padded else widths, self.batching, self.rng))
        steps = math.ceil(len(all_batches) / training.accumulate)
        total = steps * self.recipe.epochs
        if state.batch == 0:
            state.of_epoch = Throughput()
        self._evaluate_between(len(all_batches))  # where the evaluation after this step was interrupted
        self._since = Throughput()
        for start in range(state.batch, len(all_batches), training.accumulate):
            end = start + training.accumulate
            self._step(all_batches[start:end], total, all_batches[end : end + training.accumulate])
            state.batch, state.step = end, state.step + 1
            is_last = state.batch >= len(all_batches)
            self._report(steps - math.ceil(state.batch / training.accumulate), steps, total)
            if state.step % max(1, total // _POINTS) == 0 or is_last:
                self._read_losses()
                self._log_step(self._since.metrics(self.flops_per_token) | {"learning_rate": state.rate})
                self._since = Throughput()
            self._evaluate_between(len(all_batches))
            if self._stopped():
                break
            self._checkpoint()
        self._end_epoch()

    def _evaluate_between(self, batches_of_epoch: int) -> None:
        """Evaluate in the middle of an epoch, if it is time to."""
        state, every = self.state, self.recipe.training.evaluate_steps
        is_due = every and state.step % every == 0 and state.evaluated < state.step
        if is_due and state.batch < batches_of_epoch:
            self._log_step(self._evaluate())

    def _end_epoch(self) -> None:
        """Evaluate, unless early stopping has ended training, and log the epoch's metrics."""
        state = self.state
        metrics = state.of_epoch.metrics(self.flops_per_token) | {"learning_rate": state.rate}
        if not self._stopped():
            metrics |= self._evaluate()
        self.log_metrics(metrics, state.epoch)
        shown = ", ".join(f"{name} {value:.4g}" for name, value in metrics.items())
        print(f"epoch {state.epoch}: {shown}", flush=True)

    def _log_step(self, metrics: Mapping[str, float]) -> None:
        self.log_metrics({f"steps/{name}": value for name, value in metrics.items()}, self.state.step)

    def _step(self, step_batches: Sequence[np.ndarray], total: int, following: Sequence[np.ndarray]) -> None:
        """Take one step, of about `total`, from the batches, and note it; those that are `following` come next."""
        state, recipe = self.state, self.recipe
        texts = sum(map(len, step_batches))
        rate = recipe.peak_learning_rate
        if recipe.facts.schedule == "warmup_then_linear_decay":
            all_texts = self.task.rows_of(recipe.epochs)
            rate = warmup_then_linear_decay(state.whole.texts, texts, all_texts, rate, recipe.warmup_fraction)
        usual_rows = len(self.task.widths) * recipe.epochs / total
        start = time.perf_counter()
        loss = self.train_step(step_batches, rate, state.step, usual_rows, following)
        seconds = time.perf_counter() - start
        widths = [self.task.widths[rows] for rows in step_batches]
        padded = sum(padding(own, self.batching, self.task.padded_width) for own in widths)
        own = Throughput(0.0, texts, sum(int(own.sum()) for own in widths), padded, seconds)
        throughputs = state.of_epoch, state.whole, self._since
        for throughput in throughputs:
            throughput.add(own)
        state.rate = rate
        place = (
            f"epoch {state.epoch}, step {state.step + 1} of {total}, at learning rate {rate:.1e}. "
            f"Lower learning_rate ({recipe.peak_learning_rate:g})."
        )
        self._losses.add(loss, texts, place, throughputs)
        if len(self._losses) >= (MOST if self.devices.alone else 1):  # several processes have to end in the same step
            self._read_losses()

    def _read_losses(self) -> None:
        with self.devices.together():
            self._losses.read()

    def _report(self, left: int, steps: int, total: int) -> None:
        """Print a progress line, if one is due; `left` steps of this epoch's `steps` are to come."""
        state = self.state
        now = time.monotonic()
        done = state.epoch * steps - left
        is_due = now - self._reported >= _PROGRESS_SECONDS or state.step == 1 or done == total
        if not (self.devices.chief and is_due):
            return
        self._read_losses()
        self._reported = now
        values, whole = state.of_epoch.metrics(self.flops_per_token), state.whole
        to_come = max(0, self.task.rows_of(self.recipe.epochs) - whole.texts)
        progress.report(
            done,
            total,
            f"epoch {state.epoch}/{self.recipe.epochs} · loss {values['train_loss']:.3f} · "
            f"{values['examples_per_second']:.0f} texts/s · {_clock(to_come * whole.seconds / whole.texts)} left | "
            f"{values['tokens_per_second']:,.0f} tokens/s · {values['padding_share']:.1%} padding · "
            f"{values['gflops_per_second']:.0f} GFLOP/s",
        )

    def _evaluate(self) -> dict[str, float]:
        """Return the metrics of the current weights, and keep the weights if they are the best."""
        state = self.state
        self._read_losses()
        metrics = self.devices.as_chief(self._metrics)
        self._end_if_asked()  # the evaluation is made when training goes on
        state.evaluated = state.step
        self.devices.as_chief(lambda: self.task.check(state.begun))
        best, score = state.best, self.task.score(metrics)
        if best is None or score > best.score:
            state.best = Best(score, self.task.margin(metrics), state.epoch, metrics)
        elif score > best.score - best.margin:
            state.best = Best(best.score, best.margin, state.epoch, metrics)
        else:
            best.worse += 1
            return metrics
        self.best_weights = self.task.weights()
        return metrics

    def _metrics(self) -> dict[str, float]:
        """Return the task's metrics; nothing if the process was asked to end meanwhile."""
        try:
            with self._preempted.interrupts():
                return self.task.evaluate()
        except Interrupted:
            return {}

    def _stopped(self) -> bool:
        """Return whether early stopping has ended training."""
        patience, best = self.recipe.early_stopping, self.state.best
        return bool(patience and best and best.worse >= patience)

    def _resume(self) -> None:
        """Continue from the newest checkpoint, if there is one."""
        found = self.checkpoints.restore() if self.checkpoints else None
        if not self.devices.alone:
            found = unpacked(self.devices.from_chief(packed(found)))
        if found is None:
            return
        arrays, values = found
        self.state = TrainingState.load(values)
        for name, variable in self.train_step.state.items():
            if f"state/{name}" in arrays or self.state.precision == self.train_step.precision:
                variable.assign(arrays[f"state/{name}"])  # the loss scale is there only after steps in float16
        self.train_step.most_rows = self.state.most_rows
        self.best_weights = list(_numbered(arrays, "best"))
        self.rng.bit_generator.state = self.state.rng
        print(f"going on from a checkpoint: epoch {self.state.epoch}, step {self.state.step}", flush=True)
        if self.state.precision != self.train_step.precision:
            print(
                f"anomaly warn the checkpoint is of steps in {self.state.precision}, and precision: "
                f"{self.recipe.training.precision} is {self.train_step.precision} on this machine: the result may "
                "differ a little",
                flush=True,
            )

    def _checkpoint(self, most_seconds: float = math.inf) -> None:
        """Save if it is time to, or if the process was asked to end: then end it.

        It is time after the run's `checkpoint_seconds`, or after `most_seconds` if that is sooner.
        """
        self._end_if_asked()
        if time.monotonic() - self._saved >= min(self.checkpoint_seconds, most_seconds):
            self._save()

    def _end_if_asked(self) -> None:
        """Save and end if this process, or another one of the run, was asked to end."""
        if self.devices.any(self._preempted()):
            self._save()
            self._writing.wait()
            raise Preempted(f"stopped from outside after step {self.state.step}; started again, it goes on from there")

    def _save(self) -> None:
        """Copy the state, and write it in the background: until it is whole, the checkpoint before is the newest."""
        if self.checkpoints is None:
            return
        self._read_losses()
        self.state.precision, self.state.most_rows = self.train_step.precision, self.train_step.most_rows
        arrays = {f"state/{name}": variable.numpy() for name, variable in self.train_step.state.items()}
        arrays |= {f"best/{number}": weight for number, weight in enumerate(self.best_weights)}
        self._writing.begin(partial(self.checkpoints.save, arrays, asdict(self.state)))
        self._saved = time.monotonic()


def _numbered(arrays: Mapping[str, np.ndarray], name: str) -> Iterator[np.ndarray]:
    for number in itertools.count():
        if f"{name}/{number}" not in arrays:
            return
        yield arrays[f"{name}/{number}"]


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
