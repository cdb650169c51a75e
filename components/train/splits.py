"""Tokenised splits and their targets, read in chunks: memory holds numbers for each text, and never all texts."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from berth.data.dataset import LABEL, PAIR, TEXT, Manifest, read_chunks
from berth.errors import BerthError
from berth.settings import TRUNCATE

if TYPE_CHECKING:
    import numpy as np

    from berth.data.token_ids import TokenIds, TokenisedSplit
    from berth.encoders.preprocessor import Preprocessor


def read(dataset: str | Path, name: str, manifest: Manifest, prepare: "Preprocessor") -> "tuple[TokenisedSplit, int]":
    """Return the split `name`, tokenised, and how many texts were cut; train must have every label."""
    from berth.data.token_ids import TokenisedSplit
    from berth.encoders.preprocessor import tokenize_chunks

    targets, present = _targets(read_chunks(dataset, name, LABEL), manifest)
    if missing := set(manifest.labels) - present if name == "train" else set():
        raise BerthError(f"the train split has no text of the class {sorted(missing)[0]!r}. Add some, or another seed.")
    if not len(targets):
        raise BerthError(f"the {name} split is empty. Give more data, or a larger split.{name}.")
    tokens, whole = tokenize_chunks(prepare, read_chunks(dataset, name, TEXT))
    pairs = None
    if manifest.pairs:
        pairs, others = tokenize_chunks(prepare, read_chunks(dataset, name, PAIR))
        whole = whole + others
    if not whole.any():
        raise BerthError(f"no text of the {name} split has a token. Look at text_column and cleaning.")
    if name == "train":
        _check_differ([own for own in (tokens, pairs) if own is not None], int(whole.max()), prepare)
    return TokenisedSplit(tokens, targets, pairs), int((whole > prepare.room).sum())


def _check_differ(parts: "list[TokenIds]", longest: int, prepare: "Preprocessor") -> None:
    """Raise BerthError if the encoder sees no difference between the texts, the longest of which has `longest` tokens.

    A single token, such as [UNK], in all of them makes no difference, however often it comes.
    """
    same_token = all(own.values.min() == own.values.max() for own in parts if len(own.values))
    if len(parts[0]) < 2 or not (same_token or all(map(_are_alike, parts))):
        return
    if longest > prepare.room and prepare.long_texts == TRUNCATE and not same_token:
        raise BerthError(
            f"the {prepare.room} tokens that are kept of each text of the train split are the same in all. Raise "
            "sequence_length, or set training.truncate: tail or long_texts: windows."
        )
    raise BerthError(
        "all texts of the train split are the same to the encoder, whose vocabulary lacks what they differ in. Name an "
        "encoder that knows their script."
    )


def _are_alike(tokens: "TokenIds") -> bool:
    lengths = tokens.lengths()
    return bool((lengths == lengths[0]).all() and (tokens.values.reshape(len(tokens), -1) == tokens[0]).all())


def _targets(chunks: Iterable[list[Any]], manifest: Manifest) -> "tuple[np.ndarray, set[str]]":
    """Return the targets of rows of labels, as TokenisedSplit has them, and the set of labels that occur."""
    import numpy as np

    index = {label: number for number, label in enumerate(manifest.labels)}
    single = manifest.task == "single_label"
    made = [np.zeros(0 if single else (0, len(index)), np.int32)]
    for labels in chunks:
        if single:
            made.append(np.array([index[label] for label in labels], np.int32))
            continue
        targets = np.zeros((len(labels), len(index)), np.int32)
        for row, own in zip(targets, labels, strict=True):
            row[[index[label] for label in own]] = 1
        made.append(targets)
    targets = np.concatenate(made)
    found = np.unique(targets) if single else np.flatnonzero(targets.any(0))
    return targets, {manifest.labels[number] for number in found}
