"""Features of a text in addition to TFDV's own: its length in tokens, its unknown tokens, script and language.

They are features of the statistics like any other, so drift and skew are measured on them too. They are computed on a
sample: a dataset's rows are in the order of a hash of their texts, so its first rows are a random sample.
"""

import functools
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from berth.data.script import most_frequent_script
from berth.encoders.wordpiece import Vocabulary
from berth.settings import LONGEST, Checks

NUMBERS = ("token_count", "unknown_share", "letter_share", "digit_share")
COMPARED = ("token_count", "letter_share")
"""The numbers whose Jensen-Shannon divergence is useful: TFDV computes it between histograms with buckets of equal
width, and a feature that is 0 for most texts has nearly all of them in one bucket."""
CATEGORIES = ("script", "language")
EMPTY = "is_empty"
"""1 or 0, for every text: an error, and whether a run stops must not depend on the sample."""
FLAGS = (EMPTY, "is_short", "is_truncated")
"""1 or 0, so that their means are the shares of such texts."""
DERIVED = (*NUMBERS, *CATEGORIES, *FLAGS)
SAMPLED = tuple(name for name in DERIVED if name != EMPTY)
"""The features that only a sample's texts have."""
_LANGUAGE_SAMPLE = 1_000
"""Texts of a sample whose language is identified, which is the slowest feature."""
_CONFIDENT = 0.9
_TOP = 20


@dataclass
class Features:
    """The derived features of some texts, one value per text; the language only for the first ones."""

    values: dict[str, list[Any]]
    tokens: Counter[str] = field(default_factory=Counter)
    """The number of texts that contain each token."""


class TextFeatures:
    """Derives the features; without a vocabulary a token is a word, and no token is unknown.

    Args:
        vocabulary: The encoder's.
        sequence_length: The tokens that a text is cut to, special ones included; 0: train chooses it.
        checks: `short_tokens` counts.
        pairs: Whether a row is two texts.

    Example:
        >>> features = TextFeatures(None, 128, Checks(), pairs=False).derive(["Call 12 now"], languages=False)
        >>> features.values["token_count"], features.values["script"]
        ([3], ['Latin'])
    """

    def __init__(self, vocabulary: Vocabulary | None, sequence_length: int, checks: Checks, pairs: bool) -> None:
        self.tokenizer = vocabulary.tokenizer() if vocabulary else None
        self.longest = (sequence_length or LONGEST) - (3 if pairs else 2)  # 0: train chooses, up to LONGEST
        self.short_tokens = checks.short_tokens

    def derive(self, texts: Sequence[str], pairs: Sequence[str] | None = None, languages: bool = True) -> Features:
        """Return the features of `texts`, of both texts together where they come in pairs."""
        whole = [f"{text} {pair}" for text, pair in zip(texts, pairs, strict=True)] if pairs else list(texts)
        if self.tokenizer:
            encoded = self.tokenizer.encode_batch(whole, add_special_tokens=False)
            tokens = [encoding.tokens for encoding in encoded]
            unknown = [row.count("[UNK]") / len(row) if row else 0.0 for row in tokens]
        else:
            tokens = [text.split() for text in whole]
            unknown = [0.0] * len(whole)
        counts = [len(row) for row in tokens]
        characters = [_characters(text) for text in whole]
        identified = [_language(text) for text in whole[:_LANGUAGE_SAMPLE]] if languages else []
        values: dict[str, list[Any]] = {
            "token_count": counts,
            "unknown_share": unknown,
            "letter_share": [letters for letters, _, _ in characters],
            "digit_share": [digits for _, digits, _ in characters],
            "script": [script for _, _, script in characters],
            "language": identified + [None] * (len(whole) - len(identified)),
            "is_short": [int(0 < count < self.short_tokens) for count in counts],
            "is_truncated": [int(count > self.longest) for count in counts],
        }
        top = Counter(token for row in tokens for token in set(row) if len(token) > 2 and token[0].isalnum())
        return Features(values, Counter(dict(top.most_common(10 * _TOP))))


def _language(text: str) -> str:
    language, probability = _language_identifier()(text)
    return str(language) if probability >= _CONFIDENT else "unsure"


@functools.cache
def _language_identifier() -> Callable[[str], tuple[str, float]]:
    from py3langid import langid

    # The name of the loader changed between 0.2, which runs with NumPy 1, and 0.4.
    load = getattr(langid.LanguageIdentifier, "from_pickled_model", None) or langid.LanguageIdentifier.from_model_file
    return load(langid.MODEL_FILE, norm_probs=True).classify


def _characters(text: str) -> tuple[float, float, str]:
    """Return the shares of letters and of digits among a text's visible characters, and its most frequent script."""
    letters = digits = visible = 0
    for character, number in Counter(text).items():
        if character.isspace():
            continue
        visible += number
        if character.isalpha():
            letters += number
        elif character.isdigit():
            digits += number
    share = max(visible, 1)
    return letters / share, digits / share, most_frequent_script(text)
