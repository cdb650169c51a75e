"""Resolve an encoder and its preprocessor, `minilm` or any TF-Hub handles, and check that they fit each other."""

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from components.common.errors import BerthError

_PATIENCE = 60
"""Seconds that a hub may be silent before the run gives up."""


def resolve(encoder: str, preprocessor: str) -> tuple[str, str]:
    """Return the local folders of the encoder and the preprocessor, downloaded into TF-Hub's cache if need be.

    Raises:
        BerthError: a handle does not lead to a SavedModel; the message names the field and what to change.
    """
    if encoder == "minilm":
        from components.train import minilm

        own_encoder, own_preprocessor = minilm.handles()
        return own_encoder, _resolve("preprocessor", preprocessor) if preprocessor else own_preprocessor
    return _resolve("encoder", encoder), _resolve("preprocessor", preprocessor)


def _resolve(field: str, handle: str) -> str:
    import tensorflow as tf
    import tensorflow_hub as hub

    advice = "Name a TF-Hub text model: a tfhub.dev or Kaggle URL, gs://, an https .tar.gz or a folder."
    if "://" not in handle and not Path(handle).is_dir():
        raise BerthError(f"{field}: no folder {handle!r}. {advice}")
    try:
        with _bounded_waits():
            folder = hub.resolve(handle)
    except Exception as error:  # whatever the resolver of this kind of handle raises
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise BerthError(f"{field}: {handle!r} does not resolve ({reason}). {advice}") from error
    if not tf.io.gfile.exists(f"{folder}/saved_model.pb"):
        raise BerthError(f"{field}: {handle!r} is no SavedModel, it has no saved_model.pb. {advice}")
    return str(folder)


@contextlib.contextmanager
def _bounded_waits() -> Iterator[None]:
    """Bound each wait for a socket: TF-Hub's own downloads wait for ever."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(_PATIENCE)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def load(field: str, folder: str, handle: str) -> Any:
    """Return the loaded SavedModel of `folder`; `handle` is what the user calls it."""
    import tensorflow_hub as hub
    import tensorflow_text  # noqa: F401  registers the ops that preprocessors are made of

    try:
        return hub.load(folder)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise BerthError(f"{field}: {handle!r} cannot be loaded ({reason}). Name a TF2 SavedModel.") from error
