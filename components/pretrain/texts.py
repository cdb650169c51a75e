"""Texts of a corpus as token ids on the disk."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from berth import progress
from berth.data.corpus import HELD_OUT, SPLITS, TRAIN, Corpus
from berth.encoders.preprocessor import Preprocessor
from berth.errors import BerthError
from berth.pretraining.sentence_pairs import check_neighbours
from berth.pretraining.settings import Pretraining
from berth.pretraining.special_tokens import SpecialTokens
from berth.pretraining.token_store import TokenStore

_CHUNK = 512
"""Documents that are tokenised at a time."""
_MANY_UNKNOWN, _TOO_MANY_UNKNOWN = 0.05, 0.5


def tokenised(corpus: Corpus, preprocessor: Preprocessor, folder: str | Path) -> dict[str, TokenStore]:
    """Write the token ids of the splits of `corpus` below `folder` and return them by split."""
    return {split: TokenStore.write(Path(folder) / split, _documents(corpus, split, preprocessor)) for split in SPLITS}


def _documents(corpus: Corpus, split: str, preprocessor: Preprocessor) -> Iterator[list[np.ndarray]]:
    documents, done = corpus.documents(split), 0
    while chunk := list(itertools.islice(documents, _CHUNK)):
        sentences = [sentence for document in chunk for sentence in document]
        ids = preprocessor.tokenize(tf.constant(sentences))
        values, splits = ids.values.numpy(), ids.row_splits.numpy()
        each = (values[start:end] for start, end in itertools.pairwise(splits))
        yield from ([next(each) for _ in document] for document in chunk)
        done += len(chunk)
        progress.report(done, corpus.count(split), f"tokenising the {split.replace('_', '-')} documents")


def check(corpus: Corpus, stores: dict[str, TokenStore], settings: Pretraining, tokens: SpecialTokens) -> list[str]:
    """Return warnings about the tokenised corpus.

    Raises:
        BerthError: pre-training on it makes no sense.
    """
    train, held_out = stores[TRAIN], stores[HELD_OUT]
    if train.token_count < settings.batch_size:
        raise BerthError(
            f"the corpus has {train.token_count:,} tokens to train on, fewer than a batch has rows. Give more text."
        )
    if len(held_out) < 2:
        raise BerthError(
            f"the corpus has {len(held_out)} held-out documents, and evaluation needs 2 or more. Give more documents, "
            "or a larger held_out."
        )
    found = []
    if settings.nsp:
        found.append(check_neighbours(corpus.manifest.of_one_sentence, corpus.manifest.documents[TRAIN]))
    found.append(_unknown(train, tokens))
    return [warning for warning in found if warning]


def _unknown(store: TokenStore, tokens: SpecialTokens) -> str:
    """Return a warning where the vocabulary does not know much of the text."""
    unknown = sum(int((sentence == tokens.unknown).sum()) for document in store for sentence in document)
    share = unknown / max(1, store.token_count)
    if share < _MANY_UNKNOWN:
        return ""
    found = f"{share:.0%} of the corpus' tokens are [UNK]: the vocabulary lacks the texts' script or characters"
    if share > _TOO_MANY_UNKNOWN:
        raise BerthError(f"{found}. Name an encoder for their language, or make a new one (encoder: {{preset: mini}}).")
    return found
