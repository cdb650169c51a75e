"""An encoder from nothing: BERT with the published initialisation."""

from pathlib import Path

import numpy as np

from berth.encoders.builtin import bert
from berth.pretraining.settings import NewEncoder
from berth.settings import LONGEST
from components.pretrain.heads import truncated_normal


def write(folder: str | Path, new: NewEncoder, words: int, seed: int, dropout: float = 0.1) -> None:
    """Write the SavedModel of an untrained BERT for a vocabulary of `words` to `folder`.

    Kernels and tables are drawn from a normal distribution of deviation 0.02 that is cut at two deviations; biases are
    0 and the scales of layer norms 1 (Devlin et al. 2018).
    """
    layers, hidden, heads, intermediate = new.shape
    config = bert.BertConfig(words, hidden, layers, heads, intermediate, positions=LONGEST, dropout=dropout)
    rng = np.random.Generator(np.random.Philox(key=[seed, 1]))
    weights: dict[str, np.ndarray] = {}
    for name, shape in bert.weight_shapes(config).items():
        if name.endswith("bias"):
            weights[name] = np.zeros(shape, np.float32)
        elif "LayerNorm" in name:
            weights[name] = np.ones(shape, np.float32)
        else:
            weights[name] = truncated_normal(rng, shape)
    bert.save_encoder(config, weights, folder)
