"""The model of pre-training: an encoder and its heads."""

import tempfile
from collections.abc import Mapping

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub

from berth.encoders import vocabulary
from berth.encoders.adapter import INPUTS, Outputs, of_encoder, trainable_variables
from berth.encoders.builtin import mlm
from berth.encoders.builtin.mlm import Heads, Weights
from berth.encoders.loading import load
from berth.encoders.seeded_dropout import Seeds, with_seeded_dropout
from berth.errors import BerthError
from berth.pretraining.batches import Batch
from berth.training.gradient import reached
from components.pretrain.heads import fresh


class PretrainingModel:
    """An encoder with the heads of pre-training.

    Args:
        encoder: Folder of the TF-Hub text encoder.
        handle: The user's name for that encoder.
        seed: Seeds new heads, and dropout.
        nsp: Whether next sentence prediction is trained.
        heads: Trained heads, by name; what is missing is taken from the encoder, or made.

    Raises:
        BerthError: the encoder does not have what pre-training needs.
    """

    def __init__(self, encoder: str, handle: str, seed: int, nsp: bool, heads: Weights | None = None) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="berth-encoder-")
        self.handle, self.nsp = handle, nsp
        loaded = load("encoder", with_seeded_dropout(encoder, self._scratch.name), handle)
        self.interface = of_encoder(loaded, handle)
        self.encoder = hub.KerasLayer(loaded, trainable=True, name="encoder")
        self.seeds = Seeds(loaded, seed)
        """The seeds of all dropout; set them before each step."""
        table = vocabulary.table(loaded)
        if table is None:
            raise BerthError(
                f"encoder: no variable of {handle!r} has the name of a word table (word_embeddings), which the masked "
                "tokens' output layer shares. Name another encoder."
            )
        self.table: tf.Variable = table
        """The word table, float32 [words, size]."""
        brought, transform = mlm.of_encoder(loaded) if heads is None else (heads, mlm.BERTS)
        own = self._made(seed)
        self.new_heads = [name for name in own if name not in brought]
        """The heads' weights that nothing was brought for, by name."""
        self.heads = Heads(own | {name: value for name, value in brought.items() if name in own}, transform)
        self.variables = reached(self._sum, [*trainable_variables(loaded), *self.heads.variables])
        """The trainable variables that the losses use: the encoder's, then the heads'; not a pooler without nsp."""

    @property
    def hidden(self) -> int:
        """Size of a token's vector."""
        return int(self.heads.variables[0].shape[0])

    def outputs(self, inputs: Mapping[str, tf.Tensor], training: bool) -> Outputs:
        """Return the encoder's outputs; `inputs` by the names of INPUTS, int32 [rows, length]."""
        return self.interface.call(self.encoder, inputs, training)

    def words(self, batch: Batch) -> np.ndarray:
        """Return the logits of every word at the masked places of `batch`, without dropout; float32 [masked, words]."""
        sequence = self.outputs(batch.inputs(), training=False)["sequence_output"]
        vectors = tf.gather(tf.reshape(sequence, [-1, sequence.shape[-1]]), batch.positions)
        return self.heads.words(vectors, self.table).numpy()

    def losses(self, batch: Batch, training: bool, still: bool = False) -> tuple[tf.Tensor, ...]:
        """Return what the heads say of a batch.

        Args:
            batch: See Batch.
            training: Whether dropout is on.
            still: Whether the encoder's outputs are constants, so that gradients are the heads' alone.

        Returns:
            The cross-entropy of each masked token and whether it was predicted, float32 [masked]; and of each row the
            cross-entropy of the next sentence and whether it was predicted, float32 [rows], zeros without nsp.
        """
        outputs = self.outputs(batch.inputs(), training)
        sequence = outputs["sequence_output"]
        vectors = tf.gather(tf.reshape(sequence, [-1, sequence.shape[-1]]), batch.positions)
        if still:
            vectors = tf.stop_gradient(vectors)
        words, word_hits = _judged(self.heads.words(tf.cast(vectors, tf.float32), self.table), batch.labels)
        if not self.nsp:
            nothing = tf.zeros_like(batch.is_next, tf.float32)
            return words, word_hits, nothing, nothing
        pooled = tf.cast(outputs["pooled_output"], tf.float32)
        pairs = self.heads.next_sentence(tf.stop_gradient(pooled) if still else pooled)
        return words, word_hits, *_judged(pairs, 1 - batch.is_next)

    def weights(self) -> list[np.ndarray]:
        """Return a copy of the variables' values."""
        return [variable.numpy() for variable in self.variables]

    def restore(self, weights: list[np.ndarray]) -> None:
        """Set the variables to `weights`, as the method `weights` returned them."""
        for variable, value in zip(self.variables, weights, strict=True):
            variable.assign(value)

    def _made(self, seed: int) -> Weights:
        """Return new heads that fit the encoder; raise BerthError if it lacks an output that they need."""
        empty = {name: tf.ones([1, 2], tf.int32) for name in INPUTS}
        found: Outputs = {}
        tf.distribute.get_strategy().run(lambda: found.update(self.outputs(empty, training=False)))
        for name, setting in (("sequence_output", ""), ("pooled_output", " Or set pretraining.nsp: false.")):
            if name not in found and (not setting or self.nsp):
                raise BerthError(f"encoder: {self.handle!r} does not return {name}. Name another encoder.{setting}")
        words, embedding = self.table.shape
        made = fresh(int(found["sequence_output"].shape[-1]), int(words), int(embedding), seed)
        return {name: value for name, value in made.items() if self.nsp or "/nsp/" not in name}

    def _sum(self) -> tf.Tensor:
        """Return the sum of the losses of the smallest batch."""
        words, _, pairs, _ = self.losses(Batch.smallest(), training=False)
        return tf.reduce_sum(words) + tf.reduce_sum(pairs)


def _judged(logits: tf.Tensor, truth: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the cross-entropy of each of `logits`, [rows, classes], and whether the highest is the `truth`, [rows]."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(truth, logits)
    return losses, tf.cast(tf.argmax(logits, -1, tf.int32) == truth, tf.float32)
