"""An encoder that the probe looks at: its vectors, and what a short fine-tuning of it predicts."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_hub as hub

from berth.data.token_ids import TokenIds
from berth.encoders.adapter import of_encoder, positions, standard_inputs, trainable_variables
from berth.encoders.loading import load
from berth.encoders.pooling import pool, resolve_auto
from berth.encoders.preprocessor import Preprocessor, tokenize_all
from berth.encoders.seeded_dropout import Seeds, with_seeded_dropout
from berth.training import precision
from berth.training.batching import Batching, batches
from berth.training.learning_rate import peak_for, warmup_then_linear_decay
from berth.training.optimizer import AdamW

_LENGTH = 128
"""Tokens of a text, or as many as the encoder has positions for."""
_BATCH, _UPDATES, _FEWEST_EPOCHS = 16, 40, 3
"""A fine-tuning has so many updates, and more where these epochs take more."""
_HEAD_RATE, _WARMUP, _DECAY = 10.0, 0.1, 0.01


class ProbedEncoder:
    """The encoder in the folder `encoder`, with the preprocessor in the folder `preprocessor`.

    Args:
        encoder: Folder.
        preprocessor: Folder.
        handle: The user's name for the encoder.
    """

    def __init__(self, encoder: str | Path, preprocessor: str | Path, handle: str) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="berth-encoder-")
        loaded = load("encoder", with_seeded_dropout(str(encoder), self._scratch.name), handle)
        self._interface = of_encoder(loaded, handle)
        self._encoder = hub.KerasLayer(loaded, trainable=True)
        self._seeds = Seeds(loaded, 0)
        self._variables = trainable_variables(loaded)
        self._first = [variable.numpy() for variable in self._variables]
        self._pooling = resolve_auto("auto", encoder)
        length = min(_LENGTH, positions(loaded) or _LENGTH)
        self._prepare = Preprocessor(load("preprocessor", str(preprocessor), handle), length, handle)
        self._made: _Tuner | None = None
        # float16 would need a scaled loss.
        self._precision = "float32" if (found := precision.choose("auto")) == "float16" else found
        self._compiled = tf.function(self._call, input_signature=[_RAGGED], autograph=False)

    def tokens(self, texts: list[str]) -> TokenIds:
        """Return the token ids of `texts`, cut to 128."""
        return tokenize_all(self._prepare, texts)[0]

    def vectors(self, tokens: TokenIds) -> np.ndarray:
        """Return one vector per text, float32 [texts, hidden]."""
        return self._by_batch(tokens, np.arange(len(tokens)), self._compiled)

    def fine_tuned(
        self, tokens: TokenIds, targets: np.ndarray, classes: int, chosen: np.ndarray, test: np.ndarray, seed: int
    ) -> np.ndarray:
        """Fine-tune on the rows `chosen` and return the predicted targets of `test`; the encoder is then as before."""
        tuner = self._tuner(tokens, classes)
        tuner.reset(self._first, seed)
        rng = np.random.default_rng(seed)
        batches_of_epoch = -(-len(chosen) // _BATCH)
        epochs = max(_FEWEST_EPOCHS, _UPDATES // batches_of_epoch)
        done, total = 0, len(chosen) * epochs
        for _ in range(epochs):
            for part in np.array_split(rng.permutation(chosen), batches_of_epoch):
                self._seeds.set(done, 0)
                rate = warmup_then_linear_decay(done, len(part), total, tuner.rate, _WARMUP)
                with precision.training(self._precision):
                    tuner.step(_ragged(tokens, part), targets[part].astype(np.int32), rate)
                done += len(part)
        said = self._by_batch(tokens, test, tuner.predict).argmax(-1)
        tuner.reset(self._first, seed)
        return said

    def _tuner(self, tokens: TokenIds, classes: int) -> "_Tuner":
        """Return the tuner for so many classes, compiled once."""
        if self._made is None:
            hidden = int(self._compiled(_ragged(tokens, np.arange(1))).shape[-1])
            self._made = _Tuner(self._call, self._variables, hidden, classes)
        return self._made

    def _call(self, ids: tf.RaggedTensor, training: bool = False) -> tf.Tensor:
        inputs = standard_inputs(self._prepare.pack([ids]))
        return pool(self._interface.call(self._encoder, inputs, training), inputs["input_mask"], self._pooling)

    def _by_batch(self, tokens: TokenIds, rows: np.ndarray, call: Callable[[tf.RaggedTensor], tf.Tensor]) -> np.ndarray:
        """Return what `call` returns for `rows`, in their order."""
        made, order = [], []
        for own in batches(tokens.lengths()[rows], Batching(64)):
            made.append(call(_ragged(tokens, rows[own])).numpy())
            order.append(own)
        return np.concatenate(made)[np.argsort(np.concatenate(order))]


_RAGGED = tf.RaggedTensorSpec([None, None], tf.int32, row_splits_dtype=tf.int64)


def _ragged(tokens: TokenIds, rows: np.ndarray) -> tf.RaggedTensor:
    own = tokens.subset(rows)
    return tf.RaggedTensor.from_row_splits(own.values, own.splits, validate=False)


class _Tuner:
    """Fine-tunes `variables` and a new head; `call` maps token ids and `training` to vectors, [rows, hidden]."""

    def __init__(self, call: Callable[..., tf.Tensor], variables: list[tf.Variable], hidden: int, classes: int) -> None:
        self._encoder = variables
        self.rate = peak_for(hidden)
        kernel = tf.Variable(tf.zeros([hidden, classes]), name="head/kernel")
        self._head = [kernel, tf.Variable(tf.zeros(classes), name="head/bias")]
        everything = [*variables, *self._head]
        self._optimizer = AdamW(everything, _DECAY, [1.0] * len(variables) + [_HEAD_RATE] * 2)

        @tf.function(
            input_signature=[_RAGGED, tf.TensorSpec([None], tf.int32), tf.TensorSpec([], tf.float32)], autograph=False
        )
        def step(ids: tf.RaggedTensor, truth: tf.Tensor, rate: tf.Tensor) -> None:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(everything)
                logits = tf.matmul(call(ids, training=True), self._head[0]) + self._head[1]
                loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(truth, logits))
            self._optimizer.apply(tape.gradient(loss, everything), everything, rate)

        @tf.function(input_signature=[_RAGGED], autograph=False)
        def predict(ids: tf.RaggedTensor) -> tf.Tensor:
            return tf.matmul(call(ids), self._head[0]) + self._head[1]

        self.step, self.predict = step, predict

    def reset(self, first: list[np.ndarray], seed: int) -> None:
        """Set the encoder to `first`, the head to draws of `seed`, and the optimizer to its beginning."""
        for variable, value in zip(self._encoder, first, strict=True):
            variable.assign(value)
        kernel, bias = self._head
        kernel.assign(np.random.default_rng(seed).normal(0, 0.02, kernel.shape).astype(np.float32))
        for variable in (bias, *self._optimizer.state):
            variable.assign(tf.zeros_like(variable))
