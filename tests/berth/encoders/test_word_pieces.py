"""Token ids of texts of every script against those of transformers' BertTokenizer (fixtures/README.md)."""

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from berth.encoders.builtin.tokenisation import Tokenisation
from berth.encoders.builtin.word_pieces import WordPieces
from tests.support import every_script

REFERENCE = Path(__file__).parent / "fixtures" / "tokens.npz"
SETTINGS = {
    "uncased": {"lower": True, "strip_accents": True},
    "cased": {"lower": False, "strip_accents": False},
    "accents": {"lower": True, "strip_accents": False},
    "stripped": {"lower": False, "strip_accents": True},
    "chinese": {"lower": True, "strip_accents": True, "chinese": False},
}


@pytest.fixture(scope="module")
def reference():
    return np.load(REFERENCE)


def pieces(*, pieces=None, **settings) -> WordPieces:
    known = every_script.vocabulary() if pieces is None else pieces
    return WordPieces(Tokenisation(tuple(known), **settings, special=every_script.SPECIAL))


@pytest.mark.parametrize("name", SETTINGS)
def test_texts_of_every_script_have_their_tokens(reference, name):
    counts = reference[f"{name}_counts"].astype(int)
    texts = every_script.texts(len(counts))
    found = pieces(**SETTINGS[name])(tf.constant(texts))
    expected = np.split(reference[name], np.cumsum(counts)[:-1])
    wrong = [
        (text, own, theirs.tolist())
        for text, own, theirs in zip(texts, found.to_list(), expected, strict=True)
        if own != theirs.tolist()
    ]
    assert not wrong, f"{len(wrong)} of {len(texts)}, such as {wrong[0]}"


def test_special_tokens_in_a_text_stay_whole():
    own = pieces(pieces=[*every_script.SPECIAL, "a", "##a", "[", "]", "mask"], lower=True, strip_accents=True)
    texts = ["a[MASK]a", "[mask]", "[UNK] [SEP]", "[MA\U000f0004SK]", "\U000f0004"]
    assert own(tf.constant(texts)).to_list() == [[5, 4, 5], [7, 9, 8], [1, 3], [7, 9, 8], []]


def test_of_pieces_that_are_alike_the_last_counts():
    own = pieces(pieces=[*every_script.SPECIAL, "a", "", "a"], lower=True, strip_accents=True)
    assert own(tf.constant(["a", "b"])).to_list() == [[7], [1]]


def test_bytes_that_are_not_utf_8_are_left_out():
    own = pieces(pieces=[*every_script.SPECIAL, "a", "##a"], lower=True, strip_accents=True)
    assert own(tf.constant([b"a\xffa", b"\xff", b""])).to_list() == [[5, 6], [], []]
