"""A worker's end: one of the processes of a training that is next to the chief, and not a step of the pipeline."""

import contextlib
import sys
from collections.abc import Iterator

from berth.errors import BerthError
from berth.training.preemption import Preempted


@contextlib.contextmanager
def ends_in_one_line() -> Iterator[None]:
    """Exit with the one line of an error that the user can fix, or of what the process was stopped by."""
    try:
        yield
    except BerthError as error:
        sys.exit(f"failed: {error}")
    except Preempted as stopped:
        print(stopped, file=sys.stderr, flush=True)
        raise
