"""The classifier of the original recipe: encoder -> pooled_output -> Dropout(0.1) -> Dense."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components.common.errors import BerthError

if TYPE_CHECKING:
    import numpy as np

DROPOUT = 0.1


class Classifier:
    """An encoder with a classification head: one sigmoid logit for two classes, softmax logits beyond.

    Of a multi-label task it is a sigmoid logit a label.

    Args:
        encoder: Folder of the TF-Hub text encoder.
        handle: What the user calls that encoder.
        labels: The label vocabulary; of two classes the second is the positive one.
        seed: Seeds the head's initial weights.
        task: `single_label` or `multi_label`.
    """

    def __init__(self, encoder: str, handle: str, labels: Sequence[str], seed: int, task: str = "single_label") -> None:
        import tensorflow_hub as hub
        import tf_keras

        self.labels = list(labels)
        self.task = task
        self.binary = task == "single_label" and len(self.labels) == 2
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
        """Return the cross-entropy of each row, [batch]; `targets` are class indices, int32 [batch].

        Of a multi-label task it is the mean over the labels, and `targets` are multi-hot, int32 [batch, labels].
        """
        import tensorflow as tf

        if self.task == "multi_label":
            each = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(targets, tf.float32), logits)
            return tf.reduce_mean(each, -1)
        if self.binary:
            return tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(targets, tf.float32), logits[:, 0])
        return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)

    def probabilities(self, logits: Any) -> Any:
        """Return the probability of every class, float32 [batch, classes]; of a multi-label task each by itself."""
        import tensorflow as tf

        if self.task == "multi_label":
            return tf.sigmoid(logits)
        if self.binary:
            positive = tf.sigmoid(logits)
            return tf.concat([1.0 - positive, positive], -1)
        return tf.nn.softmax(logits)

    def right(self, probabilities: Any, targets: Any) -> Any:
        """Return whether the most probable class is the target, bool [batch]; of several labels: all, at 0.5."""
        import tensorflow as tf

        if self.task == "multi_label":
            return tf.reduce_all((probabilities >= 0.5) == tf.cast(targets, tf.bool), -1)
        return tf.argmax(probabilities, -1, tf.int32) == targets

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
