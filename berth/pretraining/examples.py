"""Fill-in-the-blank examples: sentences of held-out documents with one word masked."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel

from berth.pretraining import draws
from berth.pretraining.fill import MASK, Logits, likeliest
from berth.pretraining.special_tokens import SpecialTokens

_COUNT, _WORDS = 12, 5
_SHORTEST, _LONGEST = 6, 40
"""Tokens of a sentence that makes an example, without the special ones."""
_LOOKED_AT = 500
"""Documents that examples come from, at most."""


@dataclass(frozen=True)
class Blank:
    """A sentence with one word masked."""

    row: np.ndarray
    """Token ids with special tokens, int32 [length]."""
    truth: int
    """The token that was masked."""


class Example(BaseModel):
    """A sentence with a blank, the word that was there, and the words that an encoder finds likeliest."""

    text: str
    truth: str
    words: list[str]


def blanks(documents: Sequence[Sequence[np.ndarray]], tokens: SpecialTokens, length: int) -> list[Blank]:
    """Return up to 12 sentences, each of another document, with one word of one piece masked; always the same.

    `documents` are lists of sentences, int32 [tokens] each.
    `length` is how many tokens, special ones included, the encoder may be asked about at a time.
    """
    longest = min(_LONGEST, length - 2)
    order = draws.generator(draws.ORDER, seed=0, epoch=0).permutation(len(documents))[:_LOOKED_AT]
    made: list[Blank] = []
    for place in order:
        rng = draws.generator(draws.MASKS, seed=0, epoch=0, place=int(place))
        fitting = [own for own in documents[int(place)] if _SHORTEST <= len(own) <= longest]
        if not fitting:
            continue
        ids = np.asarray(fitting[int(rng.integers(len(fitting)))])
        begins = tokens.begins_word[ids]
        whole = begins & np.append(begins[1:], True) & (ids != tokens.unknown)
        whole &= np.array([tokens.pieces[own].isalnum() for own in ids])
        if whole.any():
            chosen = int(rng.choice(np.flatnonzero(whole)))
            row = np.concatenate([[tokens.start], ids, [tokens.end]]).astype(np.int32)
            row[chosen + 1] = tokens.mask
            made.append(Blank(row, int(ids[chosen])))
        if len(made) == _COUNT:
            break
    return made


def filled(logits: Logits, tokens: SpecialTokens, asked: Sequence[Blank]) -> list[Example]:
    """Return what `logits` fills in the blanks."""
    if not asked:
        return []
    found = likeliest(logits, tokens, [blank.row for blank in asked], _WORDS)
    return [
        Example(text=_text(blank, tokens), truth=tokens.pieces[blank.truth], words=[one.piece for one in own])
        for blank, own in zip(asked, found, strict=True)
    ]


def _text(blank: Blank, tokens: SpecialTokens) -> str:
    pieces = [MASK if own == tokens.mask else tokens.pieces[own] for own in blank.row[1:-1]]
    return " ".join(pieces).replace(" ##", "")
