"""New heads of pre-training: untrained weights of the part `mlm`."""

import numpy as np

from berth.encoders.builtin.mlm import Weights

_DEVIATION = 0.02
"""Of new weights, a normal distribution cut at two deviations."""


def fresh(hidden: int, words: int, embedding: int, seed: int) -> Weights:
    """Return new weights, float32, by name.

    Args:
        hidden: Size of a token's vector.
        words: Rows of the word table.
        embedding: Columns of the word table.
        seed: Of the draws.
    """
    rng = np.random.Generator(np.random.Philox(key=[seed, 0]))
    shapes = {
        "head/mlm/transform/kernel": (hidden, embedding),
        "head/mlm/transform/bias": (embedding,),
        "head/mlm/transform/layer_norm/gamma": (embedding,),
        "head/mlm/transform/layer_norm/beta": (embedding,),
        "head/mlm/output_bias/bias": (words,),
        "head/nsp/kernel": (hidden, 2),
        "head/nsp/bias": (2,),
    }
    made = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    made["head/mlm/transform/layer_norm/gamma"] += 1
    for name in ("head/mlm/transform/kernel", "head/nsp/kernel"):
        made[name] = truncated_normal(rng, shapes[name])
    return made


def truncated_normal(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Return draws of a normal distribution around 0, cut at two deviations of 0.02, float32; BERT's initialisation."""
    drawn = rng.standard_normal(shape)
    while (outside := np.abs(drawn) > 2).any():
        drawn[outside] = rng.standard_normal(int(outside.sum()))
    return (drawn * _DEVIATION).astype(np.float32)
