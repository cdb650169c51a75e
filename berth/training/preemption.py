"""Preemption: a training process that is asked to stop."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


class Preempted(SystemExit):
    """The step was asked to end, and has: the exit code 143, as of a program that SIGTERM ends, is tried again."""

    def __init__(self, message: str) -> None:
        super().__init__(128 + signal.SIGTERM)
        self.message = message

    def __str__(self) -> str:
        return self.message


@contextlib.contextmanager
def preemption() -> Iterator[Callable[[], bool]]:
    """Give a function that says whether the process was asked to end, by SIGTERM (a node goes) or SIGINT (Ctrl-C).

    Whoever asks after each step can save and leave; Kubernetes gives 30 s. A second SIGINT interrupts at once. A signal
    that nobody has acted on when the context ends takes its usual effect then.
    """
    asked: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # only that one can have handlers
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
