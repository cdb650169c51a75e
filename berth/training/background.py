"""Work in a thread, while training goes on: the next step's batches are made, and checkpoints are written."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

import numpy as np

Batch = TypeVar("Batch")


class Background:
    """One piece of work at a time.

    Example:
        >>> background, written = Background(), []
        >>> background.begin(lambda: written.append("checkpoint"))
        >>> background.wait()
        >>> written
        ['checkpoint']
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1)
        self._begun: Future[None] | None = None

    def begin(self, work: Callable[[], None]) -> None:
        """Begin `work`, once that which was begun before has ended."""
        self.wait()
        self._begun = self._thread.submit(work)

    def wait(self) -> None:
        """Wait for the end of what was begun, and raise what it raised."""
        begun, self._begun = self._begun, None
        if begun:
            begun.result()


class Ahead(Generic[Batch]):
    """Batches that are made before they are asked for.

    Args:
        make: Makes the batch of row numbers, int64 [rows]; always alike for the same rows until `begin` names others.

    Example:
        >>> ahead, rows = Ahead(lambda rows: rows * 2), np.array([3, 1])
        >>> ahead.begin([rows])
        >>> ahead.get(rows).tolist()
        [6, 2]
    """

    def __init__(self, make: Callable[[np.ndarray], Batch]) -> None:
        self._make = make
        self._thread = ThreadPoolExecutor(1)
        self._begun: dict[bytes, Future[Batch]] = {}

    def begin(self, batches: Sequence[np.ndarray]) -> None:
        """Begin to make `batches`, row numbers [rows] each, and forget those that were begun before."""
        for unused in self._begun.values():
            unused.cancel()
        self._begun = {rows.tobytes(): self._thread.submit(self._make, rows) for rows in batches}

    def get(self, rows: np.ndarray) -> Batch:
        """Return the batch of `rows`, which is made now if it was not begun."""
        begun = self._begun.pop(rows.tobytes(), None)
        return begun.result() if begun else self._make(rows)
