"""Load a SavedModel of the TF-Hub text API."""

import tensorflow_hub as hub
import tensorflow_text  # noqa: F401  registers the ops that preprocessors are made of

from berth.encoders.adapter import LoadedModel
from berth.errors import BerthError, first_line
from berth.models import graph
from berth.models.plain_path import plain_path


def check_graph(field: str, folder: str, handle: str) -> None:
    """Raise BerthError where the graph in `folder` could read or write files or run other code; nothing is loaded."""
    try:
        graph.check(folder)
    except BerthError as reason:
        raise BerthError(f"{field}: {handle!r} cannot be loaded ({reason}). Name a TF2 SavedModel.") from None


def load(field: str, folder: str, handle: str) -> LoadedModel:
    """Return the loaded SavedModel of `folder`, an encoder or a preprocessor.

    Args:
        field: The setting that names it, with which errors begin.
        folder: Where its saved_model.pb is.
        handle: The user's name for it, which errors quote.

    Raises:
        BerthError: TensorFlow cannot load it, or its graph could read or write files or run other code.

    Example:
        >>> folder, _ = berth.encoders.resolve.resolve("minilm", "")
        >>> encoder = load("encoder", folder, "minilm")
    """
    check_graph(field, folder, handle)
    try:
        return hub.load(plain_path(folder))
    except (OSError, ValueError, RuntimeError) as error:
        raise BerthError(
            f"{field}: {handle!r} cannot be loaded ({first_line(error)}). Name a TF2 SavedModel."
        ) from error
