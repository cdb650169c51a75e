"""Load a SavedModel of the TF-Hub text API."""

from typing import Any

import tensorflow_hub as hub
import tensorflow_text  # noqa: F401  registers the ops that preprocessors are made of

from berth.errors import BerthError, first_line
from berth.models import graph


def check_graph(field: str, folder: str, handle: str) -> None:
    """Raise BerthError where the graph in `folder` could read or write files or run other code; nothing is loaded."""
    try:
        graph.check(folder)
    except BerthError as reason:
        raise BerthError(f"{field}: {handle!r} cannot be loaded ({reason}). Name a TF2 SavedModel.") from None


def load(field: str, folder: str, handle: str) -> Any:
    """Return the loaded SavedModel of `folder`; `field` is the setting that names it, `handle` the user's name of it.

    Raises:
        BerthError: TensorFlow cannot load it, or should not.
    """
    check_graph(field, folder, handle)
    try:
        return hub.load(folder)
    except (OSError, ValueError, RuntimeError) as error:
        raise BerthError(
            f"{field}: {handle!r} cannot be loaded ({first_line(error)}). Name a TF2 SavedModel."
        ) from error
