"""A pre-trained encoder as it was exported: a SavedModel with an `mlm` part."""

from pathlib import Path

import numpy as np
import tensorflow as tf

from berth.encoders.adapter import LoadedModel, Outputs
from berth.encoders.loading import load
from berth.errors import BerthError
from berth.pretraining.batches import Batch


class ExportedEncoder:
    """The encoder in `folder`; `handle` is the user's name for it.

    Raises:
        BerthError: it cannot be loaded, or has no `mlm` part.
    """

    def __init__(self, folder: str | Path, handle: str) -> None:
        self.loaded = load("encoder", str(folder), handle)
        self._mlm: LoadedModel = getattr(self.loaded, "mlm", None)
        if not callable(self._mlm):
            raise BerthError(
                f"encoder: {handle!r} has no part mlm, so it cannot fill in words. Name one that berth pretrain made, "
                "or a checkpoint of BertForMaskedLM."
            )

    def words(self, batch: Batch) -> np.ndarray:
        """Return the logits of every word at the masked places, float32 [masked, words]."""
        return self._logits(batch)[0].numpy()

    def judge(self, batch: Batch) -> tuple[np.ndarray, ...]:
        """Return the losses and hits of the masked tokens and of the pairs: a Judge of berth.pretraining.held_out.

        Four arrays: float32 [masked], bool [masked], float32 [rows], bool [rows]. Those of the pairs are 0 where the
        encoder was trained without next sentence prediction.
        """
        words, pairs = self._logits(batch)
        nothing = np.zeros(len(batch.ids))
        found = _judged(words, batch.labels)
        return *found, *((nothing, nothing) if pairs is None else _judged(pairs, 1 - np.asarray(batch.is_next)))

    def _logits(self, batch: Batch) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Return the logits of the words, [masked, words], and of the pairs, [rows, 2]; None: it has none."""
        length = batch.ids.shape[1]
        rows, places = np.divmod(np.asarray(batch.positions), length)
        counts = np.bincount(rows, minlength=len(batch.ids))
        column = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        positions = np.zeros((len(batch.ids), max(1, int(counts.max(initial=0)))), np.int32)
        positions[rows, column] = places
        inputs = {name: tf.constant(own) for name, own in batch.inputs().items()}
        outputs: Outputs = self._mlm(inputs | {"masked_lm_positions": tf.constant(positions)}, training=False)
        return tf.gather_nd(outputs["mlm_logits"], np.stack([rows, column], 1)), outputs.get("nsp_logits")


def input_batch(ids: list[np.ndarray], masked: list[np.ndarray], pad: int) -> Batch:
    """Return a batch of rows of one segment.

    Args:
        ids: The token ids of each row, special tokens included, int32 [length].
        masked: The places to predict in each row, integers [masked].
        pad: The id of [PAD].

    Example:
        >>> ids = [np.array([101, 103, 2311, 102]), np.array([101, 103, 102])]
        >>> batch = input_batch(ids, [np.array([1]), np.array([1])], pad=0)
        >>> batch.ids.tolist(), batch.positions.tolist()
        ([[101, 103, 2311, 102], [101, 103, 102, 0]], [1, 5])
    """
    length = max(map(len, ids))
    padded, mask = np.full((len(ids), length), pad, np.int32), np.zeros((len(ids), length), np.int32)
    for row, own in enumerate(ids):
        padded[row, : len(own)], mask[row, : len(own)] = own, 1
    positions = np.concatenate([row * length + own for row, own in enumerate(masked)]).astype(np.int32)
    nothing = np.zeros(len(ids), np.int32)
    return Batch(padded, mask, np.zeros_like(padded), positions, np.zeros_like(positions), nothing, nothing)


def _judged(logits: tf.Tensor, truth: np.ndarray | tf.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Return the cross-entropy of each row of `logits`, and whether the highest is the `truth`."""
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(truth, logits)
    return losses.numpy(), tf.argmax(logits, -1, tf.int32).numpy() == np.asarray(truth)
