"""The cleaning of texts: one definition for ingest, which cleans a source, and for the graph of the exported model."""

import html
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Self

CONTROL_RANGES = ((0x00, 0x08), (0x0B, 0x0B), (0x0E, 0x1F), (0x7F, 0x84), (0x86, 0x9F))
"""Code points of all control characters except the tab and line ends (U+0085 is one)."""
CONTROLS = "[" + "".join(rf"\x{{{first:02X}}}-\x{{{last:02X}}}" for first, last in CONTROL_RANGES) + "]"
"""RE2 for one of them."""
_NOTHING = dict.fromkeys(code for first, last in CONTROL_RANGES for code in range(first, last + 1))


@dataclass(frozen=True)
class TextRules:
    """Which rules clean a text; the fields are those of a run's `cleaning`.

    Example:
        >>> TextRules.of({"nfc": True, "near_duplicates": 0.9})
        TextRules(nfc=True, control_characters=False, html_entities=False)
    """

    nfc: bool = False
    control_characters: bool = False
    html_entities: bool = False

    @classmethod
    def of(cls, values: Mapping[str, object]) -> Self:
        """Return the rules among `values`, a run's `cleaning`; what is not there is off."""
        return cls(**{own.name: bool(values.get(own.name, False)) for own in fields(cls)})


NO_RULES = TextRules()


def clean(text: str, rules: TextRules) -> str:
    """Return `text` cleaned: HTML entities turned into characters, control characters removed, in Unicode form C.

    A cleaned text stays as it is when it is cleaned again: `&amp;lt;` becomes `<`, not `&lt;`. The exported model
    cleans every text, and cannot know which has been cleaned before.

    Example:
        >>> clean("fish &amp; chips\\x07", TextRules(control_characters=True, html_entities=True))
        'fish & chips'
    """
    while True:
        cleaned = html.unescape(text) if rules.html_entities else text
        if rules.control_characters:
            cleaned = cleaned.translate(_NOTHING)
        if rules.nfc:
            cleaned = unicodedata.normalize("NFC", cleaned)
        if cleaned == text or not rules.html_entities:
            return cleaned
        text = cleaned


def unescape(text: str, rules: TextRules) -> str:
    """Return `text` cleaned if it has an HTML entity, else as it is: ingest counts what each rule changed.

    Example:
        >>> rules = TextRules(control_characters=True, html_entities=True)
        >>> unescape("fish &amp; chips\\x07", rules), unescape("fish\\x07", rules)
        ('fish & chips', 'fish\\x07')
    """
    cleaned = clean(text, rules)
    return text if cleaned == clean(text, replace(rules, html_entities=False)) else cleaned
