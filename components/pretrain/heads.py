"""The heads of pre-training: words for masked tokens, and whether one sentence follows the other (Devlin et al. 2018).

A masked token's vector goes through a transform (dense, GELU, layer norm), then times the encoder's own word table,
plus a bias for each word. The pooled output of a pair goes through one dense layer.
"""

import re
from typing import Any

import numpy as np
import tensorflow as tf

from berth.encoders.builtin import bert_ops

_NORM_EPSILON = 1e-12
_DEVIATION = 0.02
"""Of new weights, a normal distribution cut at two deviations."""
MLM = {
    "head/mlm/transform/kernel": re.compile(r"(^|/)transform/(dense/)?kernel"),
    "head/mlm/transform/bias": re.compile(r"(^|/)transform/(dense/)?bias"),
    "head/mlm/transform/layer_norm/gamma": re.compile(r"(^|/)transform/layer_?norm\w*/gamma", re.IGNORECASE),
    "head/mlm/transform/layer_norm/beta": re.compile(r"(^|/)transform/layer_?norm\w*/beta", re.IGNORECASE),
    "head/mlm/output_bias/bias": re.compile(r"output_bias"),
}
"""Names of the weights, and how TF Model Garden's exports name them."""
NSP = {
    "head/nsp/kernel": re.compile(r"(^|/)(nsp|next_sentence\w*|seq_relationship)/(.*/)?kernel"),
    "head/nsp/bias": re.compile(r"(^|/)(nsp|next_sentence\w*|seq_relationship)/(.*/)?bias"),
}
Weights = dict[str, np.ndarray]


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


def of_encoder(loaded: Any) -> Weights:
    """Return the trained heads that the SavedModel `loaded` brings in a part named `mlm`; those that it has."""
    variables = list(getattr(getattr(loaded, "mlm", None), "variables", ()) or ())
    found: Weights = {}
    for name, pattern in {**MLM, **NSP}.items():
        own = [variable for variable in variables if pattern.search(variable.name)]
        if len(own) == 1:
            found[name] = own[0].numpy()
    return found if MLM.keys() <= found.keys() else {}


class Heads:
    """The heads' variables, and what they say.

    Args:
        weights: By name, as `fresh` returns them.
    """

    def __init__(self, weights: Weights) -> None:
        self._own = {name: tf.Variable(value, name=name) for name, value in weights.items()}

    @property
    def variables(self) -> list[tf.Variable]:
        """All, in a fixed order."""
        return list(self._own.values())

    def words(self, vectors: tf.Tensor, table: tf.Variable) -> tf.Tensor:
        """Return the logits of every word, float32 [tokens, words]; `vectors` are float32 [tokens, hidden]."""
        own = self._own
        transformed = tf.matmul(vectors, own["head/mlm/transform/kernel"]) + own["head/mlm/transform/bias"]
        gamma, beta = own["head/mlm/transform/layer_norm/gamma"], own["head/mlm/transform/layer_norm/beta"]
        normal = bert_ops.layer_norm(bert_ops.gelu(transformed), gamma, beta, _NORM_EPSILON)
        return tf.matmul(normal, table, transpose_b=True) + own["head/mlm/output_bias/bias"]

    def next_sentence(self, pooled: tf.Tensor) -> tf.Tensor:
        """Return logits, float32 [rows, 2]: the second segment follows the first, or it does not."""
        return tf.matmul(pooled, self._own["head/nsp/kernel"]) + self._own["head/nsp/bias"]
