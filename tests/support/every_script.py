"""Texts of every script with what makes tokenizers differ, and a vocabulary of single characters for them.

The same in every version of Python: nothing here asks what a character is.
"""

import random

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_SCRIPTS = [*range(0x0, 0xD800, 0x80), *range(0xF900, 0x10000, 0x80), *range(0x10000, 0x1FC00, 0x80)]
_OTHERS = [0x20000, 0x2A700, 0x2F800, 0xE0000, 0xE0100, 0xF0000, 0x10FF80]
_MIXED = ["the", "Straße", "é", "e\u0301", "\u00a0", "\u200b", "\t", "½", "ﬁ", "İ", "Σς", "中", "한", "…", "?!", "##a"]
_LONG = ["x" * 100, "x" * 101, "\u0e01" * 100, "\u0e01" * 101]


def vocabulary() -> list[str]:
    """Return the special tokens, and characters of every script, all of small ones, alone and inside of a word."""
    points = [point for first in _SCRIPTS for point in range(first, first + 0x80, _step(first))]
    points += [ord("x"), ord("e"), ord("s"), 0x0E01, *range(0x1100, 0x1200)]
    characters = [chr(point) for point in sorted(set(points)) if point > 0x20 and point not in (0x85, 0xA0, 0x2028)]
    return [*SPECIAL, *characters, *(f"##{character}" for character in characters)]


def _step(block: int) -> int:
    """Return 1 where all characters of a block are pieces, and n where each n-th is: Chinese, Korean, and rare ones."""
    if block >= 0x10000:
        return 8
    return 16 if 0x3400 <= block < 0xA000 or 0xAC00 <= block < 0xD800 else 1


def texts(count: int, seed: int = 0) -> list[str]:
    """Return `count` texts: by turns of every script, a few words of its characters and of what is hard."""
    rng = random.Random(seed)
    blocks = [*_SCRIPTS, *_OTHERS]
    return [_text(rng, blocks[number % len(blocks)], number) for number in range(count)]


def _text(rng: random.Random, block: int, number: int) -> str:
    words = ["".join(chr(block + rng.randrange(0x80)) for _ in range(rng.randint(1, 4))) for _ in range(2)]
    words.insert(rng.randrange(3), rng.choice(_MIXED))
    if number % 10 == 0:
        words.insert(rng.randrange(4), rng.choice(SPECIAL))
    if number % 100 == 0:
        words.append(rng.choice(_LONG))
    return rng.choice(["", " ", " ", "\n"]).join(words)
