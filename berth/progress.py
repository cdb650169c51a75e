"""Progress lines: what a long step prints, and what the local backend turns into a progress bar."""

import re
from dataclasses import dataclass

_LINE = re.compile(r"^progress (\d+)/(\d+) (.*)$")


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of work; `detail` says the rest in words."""

    done: int
    total: int
    detail: str

    def __str__(self) -> str:
        return f"progress {self.done}/{self.total} {self.detail}"


def report(done: int, total: int, detail: str) -> None:
    """Print one progress line to the step's log.

    Example:
        >>> report(3, 10, "epoch 1, loss 0.21")
        progress 3/10 epoch 1, loss 0.21
    """
    print(Progress(done, total, detail), flush=True)


def parse(line: str) -> Progress | None:
    """Return the progress that `line` of a step's log reports, or None when it reports none.

    Example:
        >>> parse("progress 3/10 epoch 1, loss 0.21")
        Progress(done=3, total=10, detail='epoch 1, loss 0.21')
    """
    match = _LINE.match(line.rstrip())
    return Progress(int(match[1]), int(match[2]), match[3]) if match else None
