"""Imports without the optional packages that a library would load.

Only for processes that are Berth's own: hidden packages would be missing in a user's program. TensorFlow and MLflow
work where the packages that are named are not installed; where they are, importing them takes half of the start-up.
"""

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def hidden(*packages: str) -> Iterator[None]:
    """Hide `packages` from imports in the block.

    A package that is imported already stays visible; after the block all can be imported again.

    Example:
        >>> with hidden("pandas"):
        ...     import mlflow
    """
    names = [name for name in packages if name not in sys.modules]
    sys.modules.update(dict.fromkeys(names))  # type: ignore[arg-type]  # None: "not found"
    try:
        yield
    finally:
        for name in names:
            if sys.modules.get(name, name) is None:
                del sys.modules[name]


@contextlib.contextmanager
def without(*packages: str) -> Iterator[None]:
    """Hide `packages` as `hidden` does, and pause the garbage collector, which would find nothing in the block."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        with hidden(*packages):
            yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
