"""The words of a text as its author wrote it, and the tokens that they became."""

import re

import pytest

from berth.explaining.words import Words

PIECES = {"call": [1], "now": [2], "!": [3], ",": [4], "don't": [8], "able": [5, 6], "you": [7]}


def tokenize(texts):
    """Return a token for each character of a word that PIECES lacks, as WordPiece may; "don't" is one word."""
    found = []
    for text in texts:
        words = re.findall(r"[a-z]+'t|[a-z]+|[^\sa-z]", text.lower())
        found.append([token for word in words for token in PIECES.get(word, [ord(one) for one in word])])
    return found


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Call  now!\n", ["Call", "  ", "now", "!", "\n"]),
        ("", []),
        (" \t", [" \t"]),
        ("don't call", ["don't", " ", "call"]),
        ("你好 you", ["你", "好", " ", "you"]),
    ],
    ids=["punctuation", "empty", "blank", "kept whole", "ideographs"],
)
def test_the_parts_of_a_text_are_the_text(text, parts):
    """White space stays; a word is split at its punctuation only where the tokenizer splits it too."""
    own = Words(text, tokenize)
    assert own.parts == parts
    assert "".join(own.parts) == text
    assert own.owners_of(own.tokens) == own.owners


@pytest.mark.parametrize(
    ("ids", "owners"),
    [([1, 5, 6], [0, 2, 2]), ([2, 3, 7], [4, 5, 7]), ([1, 2, 3, 7], [0, 4, 5, 7]), ([9], None)],
    ids=["head", "tail", "head_tail", "other tokens"],
)
def test_a_cut_text_has_the_words_that_are_left(ids, owners):
    assert Words("call able now! you", tokenize).owners_of(ids) == owners
