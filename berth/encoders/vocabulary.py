"""Check that a preprocessor's token ids all have a row in the encoder's word table."""

import re
from pathlib import Path

import tensorflow as tf

from berth.encoders.adapter import INPUTS, EncoderAdapter, LoadedModel, variables
from berth.errors import BerthError

TABLE = re.compile(r"(word|token)_embedding", re.IGNORECASE)
"""The names of word tables' variables."""
_OUT_OF_RANGE = re.compile(r"is not in \[0, (\d+)\)")
ROUNDED_UP = 128
"""An encoder's table may have unused rows: its height may be rounded up to a multiple of at most this."""


def size(preprocessor: LoadedModel, folder: str | Path) -> int | None:
    """Return how many tokens the loaded preprocessor of `folder` knows; None: not known.

    TF-Hub's report it (`tokenize.get_special_tokens_dict`); for others it is the length of the WordPiece file.
    """
    special_tokens = getattr(getattr(preprocessor, "tokenize", None), "get_special_tokens_dict", None)
    if special_tokens is not None and "vocab_size" in (reported := special_tokens()):
        return int(reported["vocab_size"])
    found = [path for path in (Path(folder) / "assets").glob("*") if path.is_file() and "vocab" in path.name.lower()]
    lists = [path for path in found if path.suffix in ("", ".txt")]
    if len(lists) != 1:
        return None
    with lists[0].open("rb") as stream:
        return sum(1 for _ in stream)


def table(encoder: LoadedModel) -> tf.Variable | None:
    """Return the loaded encoder's word table, [rows, size]; None: no variable has the name of one.

    Example:
        >>> from types import SimpleNamespace
        >>> words = tf.Variable(tf.zeros([30, 8]), name="word_embeddings/embeddings")
        >>> table(SimpleNamespace(variables=[tf.Variable(1.0), words])).shape.as_list()
        [30, 8]
    """
    tables = [variable for variable in variables(encoder) if TABLE.search(variable.name) and variable.shape.rank == 2]
    return max(tables, key=lambda own: int(own.shape[0]), default=None)


def rows(encoder: LoadedModel, interface: EncoderAdapter, largest: int) -> int | None:
    """Return how many rows the loaded encoder's word table has; None: not known.

    If no variable has the name of a word table, the encoder is called with the token id `largest`: an id beyond the
    table raises an error that has the table's size (on a CPU; a GPU returns zeros).
    """
    if (own := table(encoder)) is not None:
        return int(own.shape[0])
    probe = {name: tf.ones([1, 2], tf.int32) for name in INPUTS} | {"input_word_ids": tf.constant([[0, largest]])}
    try:
        interface.call(encoder, probe, training=False)
    except tf.errors.InvalidArgumentError as error:
        found = _OUT_OF_RANGE.search(str(error))
        return int(found[1]) if found else None
    return None


def check_vocabulary_fits(
    encoder: LoadedModel, interface: EncoderAdapter, preprocessor: LoadedModel, folder: str | Path, seen: int
) -> None:
    """Raise BerthError if the preprocessor returns token ids that the encoder's word table does not have a row for.

    If the size of the vocabulary of the loaded preprocessor of `folder` is not known, the largest id `seen` in the
    texts is compared with the table. A table much larger than the vocabulary prints a warning.
    """
    known = size(preprocessor, folder)
    largest = known - 1 if known else seen
    height = rows(encoder, interface, largest)
    if height is None:
        return
    if largest >= height:
        what = f"knows {known:,} tokens" if known else f"returns the token id {largest:,}"
        raise BerthError(
            f"preprocessor: it {what}, but the encoder's word table has {height:,} rows. They do not belong together: "
            "name the preprocessor that the encoder's page recommends."
        )
    if known and height - known >= ROUNDED_UP:
        print(
            f"warning: the preprocessor knows {known:,} tokens but the encoder's word table has {height:,} rows: "
            "check that they belong together",
            flush=True,
        )
