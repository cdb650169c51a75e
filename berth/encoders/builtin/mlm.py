"""The part `mlm` of an encoder's SavedModel: what it predicts for masked tokens, and for pairs (Devlin et al. 2018).

A masked token's vector goes through a transform (dense, activation, layer norm), then times the encoder's own word
table, plus a bias for each word. The pooled output of a pair goes through one dense layer.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from berth.encoders import vocabulary
from berth.encoders.adapter import INPUTS, LoadedModel, Outputs, trainable_variables
from berth.encoders.builtin import bert_ops
from berth.encoders.builtin.bert import reusable

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
Call = Callable[[dict[str, tf.Tensor], bool], Outputs]
"""Takes the inputs and whether dropout is on, and returns the outputs by name."""


@dataclass(frozen=True)
class Transform:
    """What the weights of the transform leave open."""

    activation: str = "gelu"
    """A name of berth.encoders.builtin.bert_ops.ACTIVATIONS."""
    norm_epsilon: float = 1e-12


BERTS = Transform()


def of_encoder(loaded: LoadedModel) -> tuple[Weights, Transform]:
    """Return the trained heads that the SavedModel `loaded` brings in a part named `mlm`; those that it has."""
    part: LoadedModel = getattr(loaded, "mlm", None)
    variables = list(getattr(part, "variables", ()) or ())
    found: Weights = {}
    for name, pattern in {**MLM, **NSP}.items():
        own = [variable for variable in variables if pattern.search(variable.name)]
        if len(own) == 1:
            found[name] = own[0].numpy()
    if not MLM.keys() <= found.keys():
        return {}, BERTS
    if not callable(getattr(part, "transform", None)):  # of another maker
        return found, BERTS
    own = part.transform()
    return found, Transform(own["activation"].numpy().decode(), float(own["norm_epsilon"].numpy()))


def _constants(transform: Transform) -> dict[str, tf.Tensor]:
    activation, epsilon = tf.constant(transform.activation), tf.constant(transform.norm_epsilon, tf.float64)
    return {"activation": activation, "norm_epsilon": epsilon}


class Heads:
    """The heads' variables, and what they say.

    Args:
        weights: By name: those of MLM, and of NSP where there is a head for pairs.
        transform: What they leave open.
    """

    def __init__(self, weights: Weights, transform: Transform = BERTS) -> None:
        self._own = {name: tf.Variable(value, name=name) for name, value in weights.items()}
        self.transform = transform

    @property
    def variables(self) -> list[tf.Variable]:
        """All, in a fixed order."""
        return list(self._own.values())

    @property
    def pairs(self) -> bool:
        """Whether there is a head for pairs."""
        return self._own.keys() >= NSP.keys()

    def words(self, vectors: tf.Tensor, table: tf.Variable) -> tf.Tensor:
        """Return the logits of every word, float32 [tokens, words]; `vectors` are float32 [tokens, hidden]."""
        own, activation = self._own, bert_ops.ACTIVATIONS[self.transform.activation]
        transformed = tf.matmul(vectors, own["head/mlm/transform/kernel"]) + own["head/mlm/transform/bias"]
        gamma, beta = own["head/mlm/transform/layer_norm/gamma"], own["head/mlm/transform/layer_norm/beta"]
        normal = bert_ops.layer_norm(activation(transformed), gamma, beta, self.transform.norm_epsilon)
        return tf.matmul(normal, table, transpose_b=True) + own["head/mlm/output_bias/bias"]

    def next_sentence(self, pooled: tf.Tensor) -> tf.Tensor:
        """Return logits, float32 [rows, 2]: the second segment follows the first, or it does not."""
        return tf.matmul(pooled, self._own["head/nsp/kernel"]) + self._own["head/nsp/bias"]


def part(encoder: LoadedModel, call: Call, heads: Heads) -> tf.train.Checkpoint:
    """Return the part `mlm` of the encoder: called with its inputs and masked_lm_positions, int32 [batch, masked].

    `call` calls the encoder. The part returns the encoder's outputs and mlm_logits, float32 [batch, masked, words];
    with a head for pairs nsp_logits, too, float32 [batch, 2]: the second segment follows the first, or it does not.
    """
    table = vocabulary.table(encoder)
    assert table is not None

    def predict(inputs: dict[str, tf.Tensor], training: bool = False) -> Outputs:
        outputs = call({name: inputs[name] for name in INPUTS}, training)
        vectors = tf.gather(outputs["sequence_output"], inputs["masked_lm_positions"], batch_dims=1)
        rows, masked = tf.unstack(tf.shape(vectors)[:2])
        logits = heads.words(tf.reshape(vectors, [-1, vectors.shape[-1]]), table)
        outputs["mlm_logits"] = tf.reshape(logits, [rows, masked, table.shape[0]])
        if heads.pairs:
            outputs["nsp_logits"] = heads.next_sentence(outputs["pooled_output"])
        return outputs

    made = reusable([*trainable_variables(encoder), *heads.variables])
    made.transform = tf.function(lambda: _constants(heads.transform), input_signature=[], autograph=False)
    made.__call__ = tf.function(predict, autograph=False)
    names = (*INPUTS, "masked_lm_positions")
    specification = {name: tf.TensorSpec([None, None], tf.int32, name=name) for name in names}
    for training in (False, True):
        made.__call__.get_concrete_function(specification, training=training)
    return made
