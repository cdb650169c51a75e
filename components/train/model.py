"""The classifier of the original recipe: encoder -> pooled_output -> Dropout(0.1) -> Dense."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components.common.errors import BerthError

if TYPE_CHECKING:
    import numpy as np

DROPOUT = 0.1


class Classifier:
    """An encoder with a classification head: one sigmoid logit for two classes, softmax logits beyond.

    Args:
        encoder: Folder of the TF-Hub text encoder.
        handle: What the user calls that encoder.
        labels: The label vocabulary; of two classes the second is the positive one.
        seed: Seeds the head's initial weights.
    """

    def __init__(self, encoder: str, handle: str, labels: Sequence[str], seed: int) -> None:
        import tensorflow_hub as hub
        import tf_keras

        self.labels = list(labels)
        self.binary = len(self.labels) == 2
        self.encoder = hub.KerasLayer(encoder, trainable=True, name="encoder")
        self.dropout = tf_keras.layers.Dropout(DROPOUT, seed=seed)
        self.head = tf_keras.layers.Dense(
            1 if self.binary else len(self.labels),
            kernel_initializer=tf_keras.initializers.TruncatedNormal(stddev=0.02, seed=seed),
            name="head",
        )
        self._build(handle)

    @property
    def variables(self) -> list[Any]:
        """The trainable variables: the encoder's, then the head's kernel and bias."""
        return [*self.encoder.trainable_variables, *self.head.trainable_variables]

    def logits(self, inputs: Mapping[str, Any], training: bool) -> Any:
        """Return float32 logits, [batch, 1] for two classes and [batch, classes] beyond."""
        import tensorflow as tf

        pooled = self.encoder(dict(inputs), training=training)["pooled_output"]
        return tf.cast(self.head(self.dropout(pooled, training=training)), tf.float32)

    def loss(self, logits: Any, targets: Any) -> Any:
        """Return the cross-entropy of each row, [batch]; `targets` are class indices, int32 [batch]."""
        import tensorflow as tf

        if self.binary:
            return tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(targets, tf.float32), logits[:, 0])
        return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)

    def probabilities(self, logits: Any) -> Any:
        """Return the probability of every class, float32 [batch, classes]."""
        import tensorflow as tf

        if self.binary:
            positive = tf.sigmoid(logits)
            return tf.concat([1.0 - positive, positive], -1)
        return tf.nn.softmax(logits)

    def weights(self) -> "list[np.ndarray]":
        """Return a copy of the trainable variables' values."""
        return [variable.numpy() for variable in self.variables]

    def restore(self, weights: "Sequence[np.ndarray]") -> None:
        """Set the trainable variables to `weights`, as the method of that name gave them."""
        for variable, value in zip(self.variables, weights, strict=True):
            variable.assign(value)

    def _build(self, handle: str) -> None:
        """Run one empty text through, which makes the head's weights and shows whether this is a text encoder."""
        import tensorflow as tf

        names = ("input_word_ids", "input_mask", "input_type_ids")
        try:
            self.logits({name: tf.ones([1, 2], tf.int32) for name in names}, training=False)
        except (ValueError, TypeError, KeyError) as error:
            raise BerthError(
                f"encoder: {handle!r} does not map input_word_ids, input_mask and input_type_ids to pooled_output. "
                "Name a TF-Hub text encoder."
            ) from error
