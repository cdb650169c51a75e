"""Losses of steps that a device may still be at."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass

import tensorflow as tf

from berth.errors import BerthError
from berth.training.state import Throughput

MOST = 16
"""Steps whose losses are read together."""


@dataclass(frozen=True)
class StepLoss:
    """The mean loss of the rows of a step: the sum of `parts`, scalars on the device, by `weight`.

    Example:
        >>> StepLoss([tf.constant(3.0), tf.constant(5.0)], weight=4.0).read()
        2.0
    """

    parts: Sequence[tf.Tensor]
    weight: float

    def read(self) -> float:
        """Return it; this waits until the device has made the step."""
        return sum(float(part) for part in self.parts) / self.weight


class PendingLosses:
    """Losses that are read some steps later: reading one waits for the device, which could begin with the next step.

    Example:
        >>> pending, epoch = PendingLosses(), Throughput()
        >>> pending.add(StepLoss([tf.constant(6.0)], weight=4.0), texts=4, place="epoch 1", throughputs=[epoch])
        >>> pending.read()
        >>> epoch.loss, len(pending)
        (6.0, 0)
    """

    def __init__(self) -> None:
        self._pending: list[tuple[StepLoss, int, str, Sequence[Throughput]]] = []

    def __len__(self) -> int:
        return len(self._pending)

    def add(self, loss: StepLoss, texts: int, place: str, throughputs: Sequence[Throughput]) -> None:
        """Add the loss of a step with so many texts; `throughputs` get it, and `place` names the step in an error."""
        self._pending.append((loss, texts, place, throughputs))

    def read(self) -> None:
        """Read all, in the order of the steps.

        Raises:
            BerthError: one is not a finite number.
        """
        pending, self._pending = self._pending, []
        for loss, texts, place, throughputs in pending:
            start = time.perf_counter()
            value = loss.read()
            if not math.isfinite(value):
                raise BerthError(f"the loss is {value} in {place}")
            own = Throughput(loss=value * texts, seconds=time.perf_counter() - start)
            for throughput in throughputs:
                throughput.add(own)
