"""Encoders of the model registry: `models:/NAME@champion`, pushed by the pre-training pipeline.

Does not need TensorFlow.
"""

import shutil
import tempfile
from pathlib import Path

from berth.errors import BerthError
from berth.registry.fetch import fetch, resolve
from berth.registry.versions import Version
from berth.tracking import tags

PREPROCESSOR = "preprocessor"
"""The folder of an encoder's preprocessor, in the encoder's own."""


def find(field: str, text: str) -> tuple[str, Version]:
    """Return the name and the version of the encoder that `text`, the value of the setting `field`, stands for now.

    Raises:
        BerthError: there is none, or it is a classifier.
    """
    try:
        name, version = resolve(text)
    except BerthError as error:
        raise BerthError(f"{field}: {text}: {error}") from None
    if version.tags.get(tags.KIND) != tags.ENCODER:
        raise BerthError(f"{field}: {text} is a classifier. Name an encoder that 'berth pretrain' has pushed.")
    return name, version


def identity(field: str, text: str) -> str:
    """Return what changes when `text` stands for another encoder: its name and the digest of its files.

    A pre-training that came out of the cache is pushed as a new version of the same files.
    """
    name, version = find(field, text)
    return f"{name} {version.digest or version.number}"


def fetch_into(field: str, text: str, folder: Path) -> None:
    """Write the files of the encoder that `text` stands for, and of its preprocessor, to the empty `folder`.

    Raises:
        BerthError: there is no such encoder, or the registry's store does not hold it as it was pushed.
    """
    name, version = find(field, text)
    with tempfile.TemporaryDirectory(prefix="berth-encoder-") as scratch:
        fetched = fetch(f"{name}/{version.number}", scratch)
        shutil.copytree(fetched.folder, folder, dirs_exist_ok=True)
