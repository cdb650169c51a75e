"""Texts of a corpus as token ids on the disk."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tensorflow as tf

from berth import progress
from berth.data.corpus import Corpus
from berth.encoders.preprocessor import Preprocessor
from berth.pretraining.token_store import TokenStore

_CHUNK = 512
"""Documents that are tokenised at a time."""


def tokenised(corpus: Corpus, split: str, preprocessor: Preprocessor, folder: str | Path) -> TokenStore:
    """Write the token ids of `split` of `corpus` to `folder` and return them."""
    return TokenStore.write(folder, _documents(corpus, split, preprocessor))


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
