"""Preemption: a training process that is asked to stop."""

import contextlib
import signal
import threading
from collections.abc import Iterator


class Preempted(SystemExit):
    """The step was asked to stop and stopped. It exits with 143, as after SIGTERM, so the step is retried.

    Example:
        >>> stopped = Preempted("stopped after step 7")
        >>> str(stopped), stopped.code
        ('stopped after step 7', 143)
    """

    def __init__(self, message: str) -> None:
        super().__init__(128 + signal.SIGTERM)
        self.message = message

    def __str__(self) -> str:
        return self.message


class Interrupted(Exception):
    """Raised in a `Preemption.interrupts` block when the process is asked to stop."""


class Preemption:
    """Whether the process was asked to stop; call it to know.

    Example:
        >>> is_asked = Preemption()
        >>> is_asked()
        False
        >>> is_asked.ask(signal.SIGTERM)
        >>> is_asked()
        True
    """

    def __init__(self) -> None:
        self.asked: list[int] = []
        """The signals that came."""
        self._interrupts = False

    def __call__(self) -> bool:
        return bool(self.asked)

    def ask(self, number: int, _: object = None) -> None:
        """Handle the signal `number`: note it, and in an `interrupts` block raise Interrupted."""
        if number == signal.SIGINT and self.asked:
            raise KeyboardInterrupt
        self.asked.append(number)
        if self._interrupts:
            self._interrupts = False
            raise Interrupted

    @contextlib.contextmanager
    def interrupts(self) -> Iterator[None]:
        """Raise Interrupted in the block as soon as the process is asked to stop, or at once if it was.

        For work that changes nothing that a checkpoint holds and may take longer than a node waits.

        Example:
            >>> is_asked = Preemption()
            >>> with contextlib.suppress(Interrupted), is_asked.interrupts():
            ...     is_asked.ask(signal.SIGTERM)
            ...     print("work that is not done")
        """
        if self.asked:
            raise Interrupted
        self._interrupts = True
        try:
            yield
        finally:
            self._interrupts = False


@contextlib.contextmanager
def preemption() -> Iterator[Preemption]:
    """Yield what knows whether the process should stop, after SIGTERM (a node stops) or SIGINT (Ctrl-C).

    Training calls it after each step, to save and stop; Kubernetes allows 30 s. A second SIGINT interrupts at once. If
    a signal came and the context still ends normally, the signal then has its usual effect.

    Example:
        >>> with preemption() as is_asked:
        ...     while not is_asked():
        ...         step()
    """
    found = Preemption()
    if threading.current_thread() is not threading.main_thread():  # only the main thread can have handlers
        yield found
        return
    before = {number: signal.signal(number, found.ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield found
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if found.asked:
        signal.raise_signal(found.asked[0])
