"""The graph that cleans texts in the exported model, next to the definition that ingest cleans by."""

import html.entities
import random

import numpy as np
import pytest
import tensorflow as tf

from berth.data.cleaning import TextRules, clean
from components.train.cleaning import TextCleaning

ALL = TextRules(nfc=True, control_characters=True, html_entities=True)


def random_texts(seed: int) -> list[str]:
    """Return texts of any characters, of combining and control characters, and of parts of HTML entities."""
    rng = random.Random(seed)
    names = [f"&{name}" for name in html.entities.html5]
    parts = ["&", ";", "&#", "&#x", "0", "9", "F", "x", "amp", "lt", "\0", "\x85", "\u037e", "e\u0301", "\u1100\u1161"]

    def one() -> str:
        kind = rng.randrange(4)
        if kind == 0:
            code = rng.randrange(0x110000)
            return chr(code) if not 0xD800 <= code < 0xE000 else ""
        if kind == 1:
            return chr(rng.choice([rng.randrange(0xA0), rng.randrange(0x300, 0x370), rng.randrange(0xAC00, 0xD7A4)]))
        if kind == 2:
            return rng.choice([*rng.choices(names, k=2), f"&#{rng.randrange(1 << 21)};", f"&#x{rng.randrange(400):X}"])
        return rng.choice(parts)

    return ["".join(one() for _ in range(rng.randrange(12))) for _ in range(2_000)]


@pytest.mark.parametrize("rules", [ALL, TextRules(nfc=True, control_characters=True), TextRules(html_entities=True)])
def test_graph_cleans_any_text_as_ingest_does(rules):
    texts = random_texts(0)
    found = tf.function(TextCleaning(rules))(tf.constant(texts)).numpy()
    expected = [clean(text, rules).encode() for text in texts]
    differ = np.flatnonzero([own != other for own, other in zip(found, expected, strict=True)])
    assert not differ.size, [(texts[row], found[row], expected[row]) for row in differ[:3]]
    assert all(clean(text, rules) == text for text in map(bytes.decode, expected))


def test_every_html_entity_and_code_point_that_is_odd():
    numbers = [*range(0x200), *range(0xD7FE, 0xE002), *range(0xFDCE, 0xFDF2)]
    numbers += [0xFFFE, 0x1FFFF, 0x10FFFF, 0x110000, 10**12]
    texts = [f"a&{name}b" for name in html.entities.html5] + [f"&#{n};&#x{n:x}z" for n in numbers]
    rules = TextRules(html_entities=True)
    found = TextCleaning(rules)(tf.constant(texts)).numpy()
    assert [own.decode() for own in found] == [clean(text, rules) for text in texts]


def test_bytes_that_are_not_unicode_do_not_fail():
    assert TextCleaning(ALL)(tf.constant([b"a\xff&lt;", b"\xed\xa0\x80", b""])).shape == [3]
