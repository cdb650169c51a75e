"""A tiny random BERT in TF-Hub's format: 2 layers, hidden 32, and a vocabulary of the demo's most frequent words.

    python tests/support/tiny_bert.py FOLDER          in the environment of the train image

writes FOLDER/encoder and FOLDER/preprocessor.
"""

import collections
import re
import string
import sys
from pathlib import Path

import numpy as np

from berth.encoders.builtin.tokenisation import SPECIAL_TOKENS

MESSAGES = Path(__file__).parents[2] / "examples" / "sms-spam" / "sms_spam_collection.tsv"
_WORDS = 600


def vocabulary() -> list[str]:
    """Return the special tokens, every letter and digit alone and as a continuation, and the most frequent words."""
    words = collections.Counter(re.findall(r"[a-z]{2,}", MESSAGES.read_text(encoding="utf-8").lower()))
    letters = string.ascii_lowercase + string.digits
    pieces = [*letters, *(f"##{letter}" for letter in letters), *string.punctuation]
    return [*SPECIAL_TOKENS, *pieces, *(word for word, _ in words.most_common(_WORDS))]


def build(folder: Path, seed: int = 0, dropout: float = 0.1, layers: int = 2) -> tuple[str, str]:
    """Write the encoder and the preprocessor below `folder` and return their folders."""
    from berth.encoders.builtin import bert  # TensorFlow: the vocabulary does not need it

    folder.mkdir(parents=True, exist_ok=True)
    tokens = vocabulary()
    (folder / "vocab.txt").write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    config = bert.BertConfig(
        len(tokens), hidden_size=32, layers=layers, heads=2, intermediate_size=64, positions=128, dropout=dropout
    )
    rng = np.random.default_rng(seed)
    weights = {
        name: np.ones(shape, np.float32)
        if name.endswith("LayerNorm.weight")
        else (rng.standard_normal(shape) * (0.0 if name.endswith("bias") else 0.05)).astype(np.float32)
        for name, shape in bert.weight_shapes(config).items()
    }
    bert.save_encoder(config, weights, folder / "encoder")
    bert.save_preprocessor(folder / "vocab.txt", folder / "preprocessor")
    return str(folder / "encoder"), str(folder / "preprocessor")


if __name__ == "__main__":
    build(Path(sys.argv[1]))
