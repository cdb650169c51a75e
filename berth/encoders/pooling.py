"""Pooling: one vector per text from an encoder's outputs."""

import json
from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from berth.errors import BerthError
from berth.models.integrity import ENCODER_FACTS
from berth.settings import AUTO

POOLINGS = ("auto", "pooled_output", "cls", "mean")
_PER_TEXT = ("pooled_output", "default")
"""The outputs that are one vector per text, by the current name and by the older one."""


def resolve_auto(pooling: str, folder: str | Path) -> str:
    """Return the pooling that `auto` means for the encoder in `folder`; `auto` where its outputs decide.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = (Path(folder) / ENCODER_FACTS).write_text('{"pooling": "mean"}')
        ...     print(resolve_auto("auto", folder), resolve_auto("cls", folder))
        mean cls
    """
    return trained_pooling(folder) or pooling if pooling == AUTO else pooling


def trained_pooling(folder: str | Path) -> str:
    """Return the pooling that the encoder in `folder` was trained with, as its encoder.json says; empty: unknown."""
    try:
        facts = json.loads((Path(folder) / ENCODER_FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return ""
    found = facts.get("pooling") if isinstance(facts, dict) else None
    return found if found in POOLINGS else ""


def method(outputs: Mapping[str, tf.Tensor], pooling: str) -> str:
    """Return which output `pooling` means for an encoder with these `outputs`: pooled_output, default, cls or mean.

    The outputs are those that `pool` takes; only their names and shapes count.

    `auto`, which `resolve_auto` has left, is the encoder's own pooled output where it has one, otherwise cls.

    Raises:
        BerthError: the encoder does not have the output that `pooling` needs.

    Example:
        >>> sequence, pooled = tf.zeros([2, 5, 8]), tf.zeros([2, 8])
        >>> method({"sequence_output": sequence}, "auto"), method({"pooled_output": pooled}, "auto")
        ('cls', 'pooled_output')
    """
    per_text = [name for name in _PER_TEXT if name in outputs and len(outputs[name].shape) == 2]
    has_sequence = "sequence_output" in outputs
    if pooling in ("auto", "pooled_output") and per_text:
        return per_text[0]
    if pooling != "pooled_output" and has_sequence:
        return "cls" if pooling == "auto" else pooling
    given = ", ".join(sorted(outputs)) or "nothing"
    if not per_text and not has_sequence:
        raise BerthError(
            f"encoder: it returns {given}, but neither pooled_output nor sequence_output. Name a TF-Hub text encoder."
        )
    needed, others = ("pooled_output", "cls or mean") if has_sequence else ("sequence_output", "pooled_output or auto")
    raise BerthError(f"pooling: {pooling} needs the encoder's {needed}, but it returns {given}. Choose {others}.")


def pool(outputs: Mapping[str, tf.Tensor], mask: tf.Tensor, pooling: str) -> tf.Tensor:
    """Return one vector per text, [batch, hidden].

    Args:
        outputs: The encoder's outputs: pooled_output or default, [batch, hidden], or sequence_output,
            [batch, length, hidden].
        mask: 1 for a token and 0 for padding, int32 [batch, length].
        pooling: `pooled_output`: the encoder's own. `cls`: the first token of sequence_output. `mean`: the mean of its
            tokens, padding left out. `auto`: pooled_output where there is one, otherwise cls.

    Raises:
        BerthError: the encoder does not give what `pooling` asks for.

    Example:
        >>> sequence = tf.constant([[[1.0], [3.0], [9.0]]])  # one text of three tokens, the last one padding
        >>> pool({"sequence_output": sequence}, tf.constant([[1, 1, 0]]), "mean").numpy().tolist()
        [[2.0]]
    """
    chosen = method(outputs, pooling)
    if chosen in _PER_TEXT:
        return outputs[chosen]
    sequence = outputs["sequence_output"]
    if chosen == "cls":
        return sequence[:, 0]
    weights = tf.cast(mask, sequence.dtype)[:, :, None]
    tokens = tf.maximum(tf.reduce_sum(weights, 1), 1)
    return tf.reduce_sum(sequence * weights, 1) / tokens
