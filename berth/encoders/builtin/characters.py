"""BERT's treatment of characters, as a table: what each becomes before words are split. Does not need TensorFlow.

As the `BertNormalizer` and the `BertPreTokenizer` of Hugging Face's tokenizers do it: control characters go, spaces and
punctuation and Chinese characters become or get spaces, accents are taken off, and letters are turned to lower case.
"""

import functools
import unicodedata
from dataclasses import dataclass

import numpy as np

from berth.encoders.builtin.tokenisation import Tokenisation

BLOCK = 256
"""Characters in a block; most blocks beyond the last script are alike."""
SENTINEL = 0xF0000
"""The first of the private characters that stand for special tokens."""
_LAST = 0x110000
_ASSIGNED = (range(0x0, 0x32400), range(0xE0000, 0xE0200))
"""Where characters differ; all others are unassigned, or private."""
UNKNOWN = chr(SENTINEL + BLOCK - 1)
"""Stands for any unassigned character."""
_CHINESE = (
    (0x4E00, 0x9FFF),
    (0x3400, 0x4DBF),
    (0x20000, 0x2A6DF),
    (0x2A700, 0x2B73F),
    (0x2B740, 0x2B81F),
    (0x2B920, 0x2CEAF),
    (0xF900, 0xFAFF),
    (0x2F800, 0x2FA1F),
)
_ASCII_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")
_NEWER = """
061D 07FD 0890-0891 0898-089F 08CA-08E2 09FD 09FE 0A76 0AFA-0AFF 0B55 0C04 0C3C 0C77 0C84 0D00 0D3B-0D3C 0D81 0EBA
180F 1885-1886 1ABF-1ACE 1B7D-1B7E 1DF6-1DFB 2E43-2E4F 2E52-2E5D A82C A8C5 A8FF A9BD 10D24-10D27 10EAB-10EAD
10F46-10F50 10F55-10F59 10F82-10F89 11070 11073-11074 110C2 110CD 111CF 1123E 1133B 11438-1143F 11442-11444 11446
1144B-1144F 1145A-1145B 1145D-1145E 11660-1166C 116B9 1182F-11837 11839-1183B 11938 1193B-1193C 1193E 11943-11946
119D4-119D7 119DA-119DB 119E0 119E2 11A01-11A0A 11A33-11A38 11A3B-11A47 11A51-11A56 11A59-11A5B 11A8A-11A96
11A98-11A9C 11A9E-11AA2 11C30-11C36 11C38-11C3D 11C3F 11C41-11C45 11C70-11C71 11C92-11CA7 11CAA-11CB0 11CB2-11CB3
11CB5-11CB6 11D31-11D36 11D3A 11D3C-11D3D 11D3F-11D45 11D47 11D90-11D91 11D95 11D97 11EF3-11EF4 11EF7-11EF8 11FFF
12FF1-12FF2 13430-13438 16E97-16E9A 16F4F 16FE2 16FE4 1CF00-1CF2D 1CF30-1CF46 1E000-1E006 1E008-1E018 1E01B-1E021
1E023-1E024 1E026-1E02A 1E130-1E136 1E2AE 1E2EC-1E2EF 1E944-1E94A 1E95E-1E95F
"""
"""Punctuation, marks and controls that came after Unicode 8, of which the tokenizers' tables are."""
_NEW_LETTERS = """
1C89=1C8A A7CB=0264 A7CC=A7CD A7CE=A7CF A7D2=A7D3 A7D4=A7D5 A7DA=A7DB A7DC=019B 10D50-10D65=10D70 16EA0-16EB8=16EBB
"""
"""Capital letters that came after Unicode 14, of which Python's tables are, and the first one's small letter."""
_CHANGED = {"\u166d": "Po", "\u1734": "Mn", "\U000111c9": "Po"}
"""Characters whose category has changed since."""


@dataclass(frozen=True)
class Table:
    """What each code point becomes: values[starts[at]:starts[at + 1]], at = blocks[point // BLOCK] + point % BLOCK."""

    blocks: np.ndarray
    """int32 [code points / BLOCK]: the first place of each block."""
    starts: np.ndarray
    """int32 [places + 1]."""
    values: np.ndarray
    """int32: code points."""


def table(tokenisation: Tokenisation) -> Table:
    """Return the table for all code points; the special token number n is at SENTINEL + n.

    Example:
        >>> own = table(Tokenisation(("[UNK]",), lower=True, strip_accents=True))
        >>> place = own.blocks[ord("É") // BLOCK] + ord("É") % BLOCK
        >>> "".join(map(chr, own.values[own.starts[place] : own.starts[place + 1]]))
        'e'
    """
    return _table(tokenisation.lower, tokenisation.strip_accents, tokenisation.chinese, len(tokenisation.special))


@functools.cache
def _table(lower: bool, strip_accents: bool, chinese: bool, special: int) -> Table:
    def texts(block: int) -> tuple[str, ...]:
        first = block * BLOCK
        if first == SENTINEL:
            return tuple(f" {chr(first + place)} " if place < special else "" for place in range(BLOCK))
        if not any(first in own for own in _ASSIGNED):
            return ("" if first > SENTINEL else UNKNOWN,) * BLOCK
        return tuple(_becomes(chr(first + place), lower, strip_accents, chinese) for place in range(BLOCK))

    places: dict[tuple[str, ...], int] = {}
    blocks = [places.setdefault(texts(block), len(places) * BLOCK) for block in range(_LAST // BLOCK)]
    everything = [text for block in places for text in block]
    starts = np.cumsum([0, *map(len, everything)], dtype=np.int32)
    values = np.array([ord(char) for text in everything for char in text], np.int32)
    return Table(np.array(blocks, np.int32), starts, values)


def _becomes(char: str, lower: bool, strip_accents: bool, chinese: bool) -> str:
    if char not in "\t\n\r" and (char in "\0\ufffd" or _category(char) in ("Cc", "Cf", "Co", "Cs")):
        return ""
    if char.isspace():
        return " "
    is_newer = ord(char) in _newer()
    text = unicodedata.normalize("NFD", char) if strip_accents and not is_newer else char
    if strip_accents:
        text = "".join(own for own in text if _category(own) != "Mn")
    if lower:
        text = "".join(_new_letters().get(own) or own.lower() for own in text)
    text = "".join(f" {own} " if own in _ASCII_PUNCTUATION or _category(own)[0] == "P" else own for own in text)
    return f" {text} " if chinese and ord(char) in _chinese() else text


def _category(char: str) -> str:
    """Return the category of a character in Unicode 8."""
    return "Cn" if ord(char) in _newer() else _CHANGED.get(char) or unicodedata.category(char)


@functools.cache
def _newer() -> frozenset[int]:
    ends = [[int(end, 16) for end in own.split("-")] for own in _NEWER.split()]
    return frozenset(point for own in ends for point in range(own[0], own[-1] + 1))


@functools.cache
def _new_letters() -> dict[str, str]:
    """Return the small letters of _NEW_LETTERS by the capital ones."""
    found: dict[str, str] = {}
    for capitals, small in (own.split("=") for own in _NEW_LETTERS.split()):
        first, last = int(capitals.split("-")[0], 16), int(capitals.split("-")[-1], 16)
        found |= {chr(point): chr(point - first + int(small, 16)) for point in range(first, last + 1)}
    return found


@functools.cache
def _chinese() -> frozenset[int]:
    return frozenset(point for first, last in _CHINESE for point in range(first, last + 1))
