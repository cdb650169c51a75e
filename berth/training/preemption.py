"""Preemption: a training process that is asked to stop."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


class Preempted(SystemExit):
    """The step was asked to stop and stopped. It exits with 143, as after SIGTERM, so the step is retried."""

    def __init__(self, message: str) -> None:
        super().__init__(128 + signal.SIGTERM)
        self.message = message

    def __str__(self) -> str:
        return self.message


@contextlib.contextmanager
def preemption() -> Iterator[Callable[[], bool]]:
    """Yield a function that returns whether the process should stop, after SIGTERM (a node stops) or SIGINT (Ctrl-C).

    Training calls it after each step, to save and stop; Kubernetes allows 30 s. A second SIGINT interrupts at once. If
    a signal came and the context still ends normally, the signal then has its usual effect.
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only the main thread can have handlers
        yield lambda: False
        return

    def ask(number: int, _: object) -> None:
        if number == signal.SIGINT and asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    if asked:
        signal.raise_signal(asked[0])
