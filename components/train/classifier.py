"""The classifier of the original recipe: encoder -> one vector per text -> Dropout(0.1) -> Dense."""

import tempfile
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub
import tf_keras

from berth.encoders.adapter import INPUTS, TextAdapter, of_encoder, positions, standard_inputs, trainable_variables
from berth.encoders.loading import load
from berth.encoders.pooling import method, pool
from berth.encoders.seeded_dropout import Seeds, with_seeded_dropout
from berth.errors import BerthError, first_line
from berth.training.gradient import reached

DROPOUT = 0.1


class Classifier:
    """An encoder with a classification head: one sigmoid logit for two classes, softmax logits for more.

    A multi-label task has one sigmoid logit per label.

    Args:
        encoder: Folder of the TF-Hub text encoder.
        handle: The user's name for that encoder.
        labels: The label vocabulary; with two classes the second is the positive one.
        seed: Seeds the head's initial weights, and dropout.
        task: `single_label` or `multi_label`.
        pooling: How the encoder's outputs become one vector; see berth.encoders.pooling.
    """

    def __init__(
        self,
        encoder: str,
        handle: str,
        labels: Sequence[str],
        seed: int,
        task: str = "single_label",
        pooling: str = "auto",
    ) -> None:
        self.labels = list(labels)
        self.task = task
        self.binary = task == "single_label" and len(self.labels) == 2
        self.sigmoids = self.binary or task == "multi_label"
        """Whether each logit decides about one label alone."""
        self.pooling = pooling
        self.temperature = 1.0
        self._scratch = tempfile.TemporaryDirectory(prefix="berth-encoder-")  # export reads assets through its links
        loaded = load("encoder", with_seeded_dropout(encoder, self._scratch.name), handle)
        self.interface = of_encoder(loaded, handle)
        self.encoder = hub.KerasLayer(loaded, trainable=True, name="encoder")
        self.seeds = Seeds(loaded, seed)
        """The seeds of all dropout; set them before each step."""
        self.head = tf_keras.layers.Dense(
            1 if self.binary else len(self.labels),
            kernel_initializer=tf_keras.initializers.TruncatedNormal(stddev=0.02, seed=seed),
            name="head",
        )
        self._variables = self._build(handle)

    def start_from(self, shares: np.ndarray, texts: int) -> None:
        """Let the untrained head give each label its share of the train texts, as Lin et al. (2017) start theirs.

        From one half, hundreds of rare labels take all updates of a run to reach their shares.

        Args:
            shares: Float64 [labels].
            texts: Of the train split; a label that none or all have is given half a text.
        """
        within = np.clip(shares, 0.5 / texts, 1 - 0.5 / texts)
        self.head.bias.assign(np.log(within) - np.log1p(-within))

    def check_length(self, sequence_length: int, handle: str) -> None:
        """Raise BerthError if the encoder, named `handle`, does not accept texts of `sequence_length` tokens."""
        if not self.accepts(sequence_length):
            raise BerthError(
                f"sequence_length: the encoder {handle!r} does not accept texts of {sequence_length} tokens. "
                "Try half of that, or auto."
            )

    def check_trainable(self, handle: str) -> None:
        """Raise BerthError if training would change the head alone, and the encoder, named `handle`, not at all."""
        if not self.is_trainable:
            raise BerthError(
                f"encoder: {handle!r} has no variable that fine-tuning could change. Name another encoder, or set "
                "recipe: frozen."
            )

    @property
    def pooled(self) -> str:
        """What becomes a text's vector: the output that `pooling` stands for, cls or mean."""
        return method(self.interface.outputs(self.encoder.resolved_object), self.pooling)

    @property
    def takes_texts(self) -> bool:
        """Whether the encoder is a module that takes texts, whose tokens are bytes."""
        return isinstance(self.interface, TextAdapter)

    @property
    def is_trainable(self) -> bool:
        """Whether training would change the encoder, and not only the head."""
        return len(self._variables) > len(self.head.trainable_variables)

    def accepts(self, sequence_length: int) -> bool:
        """Return whether the encoder runs on texts of `sequence_length` tokens.

        On a GPU one that looks its positions up runs on longer texts too, with zeros for what its table lacks.
        """
        table = positions(self.encoder.resolved_object)
        if tf.config.list_physical_devices("GPU") and table is not None and table < sequence_length:
            return False
        try:
            self.logits({name: tf.ones([1, sequence_length], tf.int32) for name in INPUTS}, training=False)
        except (ValueError, tf.errors.OpError):
            return False
        return True

    @property
    def hidden(self) -> int:
        """Size of the vector of a text."""
        return int(self.head.kernel.shape[0])

    @property
    def variables(self) -> list[tf.Variable]:
        """The trainable variables that a call uses: the encoder's, then the head's kernel and bias."""
        return list(self._variables)

    def logits(self, inputs: Mapping[str, tf.Tensor], training: bool) -> tf.Tensor:
        """Return float32 logits, [batch, 1] for two classes and [batch, classes] for more.

        Those that are not for training are divided by `temperature`, as it is when a function of them is compiled.
        """
        return self.logits_of(self.vectors(inputs, training), training)

    def logits_of(self, pooled: tf.Tensor, training: bool) -> tf.Tensor:
        """Return the logits of texts whose vectors are `pooled`, as `vectors` returns them."""
        if training:
            pooled = self.seeds.dropout(pooled, DROPOUT)
        logits = tf.cast(self.head(pooled), tf.float32)
        return logits if training or self.temperature == 1 else logits / self.temperature

    def vectors(self, inputs: Mapping[str, tf.Tensor], training: bool) -> tf.Tensor:
        """Return one vector per text, float32 [batch, hidden]; `inputs` are the preprocessor's."""
        inputs = standard_inputs(inputs)
        outputs = self.interface.call(self.encoder, inputs, training)
        return pool(outputs, inputs["input_mask"], self.pooling)

    def loss(self, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Return the cross-entropy of each row, [batch]; `targets` are class indices, int32 [batch].

        For a multi-label task it is the mean over the labels, and `targets` are multi-hot, int32 [batch, labels].
        """
        if self.task == "multi_label":
            each = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(targets, tf.float32), logits)
            return tf.reduce_mean(each, -1)
        if self.binary:
            return tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(targets, tf.float32), logits[:, 0])
        return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)

    def probabilities(self, logits: tf.Tensor) -> tf.Tensor:
        """Return the probability of every class, float32 [batch, classes]; multi-label: each is independent."""
        if self.task == "multi_label":
            return tf.sigmoid(logits)
        if self.binary:
            positive = tf.sigmoid(logits)
            return tf.concat([1.0 - positive, positive], -1)
        return tf.nn.softmax(logits)

    def weights(self) -> "list[np.ndarray]":
        """Return a copy of the trainable variables' values."""
        return [variable.numpy() for variable in self.variables]

    def restore(self, weights: "Sequence[np.ndarray]") -> None:
        """Set the trainable variables to `weights`, as returned by the method `weights`."""
        for variable, value in zip(self.variables, weights, strict=True):
            variable.assign(value)

    def _build(self, handle: str) -> list[tf.Variable]:
        """Run one empty text, which creates the head's weights and shows whether this is a text encoder.

        Returns the variables that the call uses: an encoder may list others, such as those of a language model's head.
        """
        empty = {name: tf.ones([1, 2], tf.int32) for name in INPUTS}
        try:
            tf.distribute.get_strategy().run(lambda: self.logits(empty, training=False))  # loaded in its scope
        except (ValueError, TypeError, KeyError, tf.errors.OpError) as error:
            raise BerthError(
                f"encoder: {handle!r} does not run on token ids ({first_line(error)}). Name a TF-Hub text encoder."
            ) from error
        variables = [*trainable_variables(self.encoder.resolved_object), *self.head.trainable_variables]
        return reached(lambda: self.logits(empty, training=False), variables)
