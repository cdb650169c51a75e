"""A checkpoint of Hugging Face as two SavedModels of TF-Hub's text API, written once into the cache of encoders."""

import json
from pathlib import Path

import numpy as np

from berth.encoders.builtin import bert, mlm, tensors
from berth.encoders.builtin.checkpoint import name_in_cache, pooling_of, shape_of
from berth.encoders.builtin.tokenisation import VOCABULARY, Tokenisation, tokenisation_of
from berth.encoders.builtin.word_pieces import WordPieces
from berth.encoders.describe import examine
from berth.encoders.fetch import cache
from berth.errors import BerthError
from berth.models.integrity import ENCODER_FACTS

_LENGTH = 128
"""Tokens that a preprocessor called on texts alone packs, or as many as the encoder has positions for."""
PARTS = ("encoder", "preprocessor")
"""The two SavedModels below the folder in the cache."""
HEADS = {
    "head/mlm/transform/kernel": "cls.predictions.transform.dense.weight",
    "head/mlm/transform/bias": "cls.predictions.transform.dense.bias",
    "head/mlm/transform/layer_norm/gamma": "cls.predictions.transform.LayerNorm.weight",
    "head/mlm/transform/layer_norm/beta": "cls.predictions.transform.LayerNorm.bias",
    "head/mlm/output_bias/bias": "cls.predictions.bias",
    "head/nsp/kernel": "cls.seq_relationship.weight",
    "head/nsp/bias": "cls.seq_relationship.bias",
}
"""Names of the heads' weights in berth.encoders.builtin.mlm, and in a checkpoint."""


def handles(folder: str | Path, handle: str, label: str = "") -> tuple[str, str]:
    """Return the folders of the encoder and the preprocessor, converted now if no earlier run did so.

    Args:
        folder: The checkpoint.
        handle: The user's name for it.
        label: What the cache lists it as; by default the folder's name.

    Raises:
        BerthError: it cannot be converted.
    """

    def make(made: Path) -> tuple[str, list[cache.TextModel]]:
        print(f"converting {handle}", flush=True)
        return convert(folder, handle, made)

    return folders(cache.obtain(name_in_cache(folder, label), str(Path(folder).resolve()), make))


def folders(converted: Path) -> tuple[str, str]:
    """Return the folders of the encoder and the preprocessor in that of a conversion.

    Example:
        >>> folders(Path("cache/minilm-6"))
        ('cache/minilm-6/encoder', 'cache/minilm-6/preprocessor')
    """
    first, second = (str(converted / part) for part in PARTS)
    return first, second


def convert(checkpoint: str | Path, handle: str, folder: Path) -> tuple[str, list[cache.TextModel]]:
    """Write the conversion of `checkpoint` to `folder`; the result is as berth.encoders.fetch.cache.obtain needs it.

    Raises:
        BerthError: it cannot be converted.
    """
    try:
        write(Path(checkpoint), folder)
    except BerthError as reason:
        raise BerthError(f"encoder: {handle!r} cannot be converted: {reason}.") from None
    return "", [examine(part, str(folder / part), handle) for part in PARTS]


def write(checkpoint: Path, folder: Path) -> None:
    """Write the SavedModels of the BERT in `checkpoint` to PARTS below `folder`.

    The encoder has a part `mlm` where the checkpoint has the heads of pre-training.

    Raises:
        BerthError: it is not complete, or not a BERT; the message is only the reason.
    """
    kind, shape = shape_of(checkpoint)
    tokenisation = tokenisation_of(checkpoint)
    if len(tokenisation.pieces) > shape.vocabulary_size:
        raise BerthError(
            f"its vocabulary has {len(tokenisation.pieces):,} tokens, its config.json only {shape.vocabulary_size:,}"
        )
    loaded = tensors.load(checkpoint, kind, shape)
    root = bert.encoder_root(loaded.shape, loaded.weights)
    if loaded.heads:
        weights = {
            own: np.ascontiguousarray(loaded.heads[name].T) for own, name in HEADS.items() if name in loaded.heads
        }
        heads = mlm.Heads(weights, mlm.Transform(shape.activation, shape.norm_epsilon))
        root.mlm = mlm.part(root, lambda inputs, training: root.__call__(inputs, training=training), heads)
    bert.write(root, folder / "encoder")
    facts = json.dumps({"pooling": pooling_of(checkpoint)}, indent=2)
    (folder / "encoder" / ENCODER_FACTS).write_text(facts + "\n", encoding="utf-8")
    _write_preprocessor(tokenisation, folder, min(_LENGTH, shape.positions))


def _write_preprocessor(tokenisation: Tokenisation, folder: Path, length: int) -> None:
    vocabulary = folder / VOCABULARY
    vocabulary.write_text("".join(f"{piece}\n" for piece in tokenisation.pieces), encoding="utf-8", newline="")
    tokenizer = WordPieces(tokenisation)
    bert.write_preprocessor(tokenizer, tokenizer, tokenisation.pieces, vocabulary, folder / "preprocessor", length)
    vocabulary.unlink()
