"""Explanation of a prediction: the words' effects on a label's log odds. Does not need TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

RELATIVE, ABSOLUTE = 0.01, 0.01
"""What the sum of the words' weights may miss: a share of the difference, or log odds if that is more."""

Part = tuple[str, float | None]
"""A word or white space with its weight, in log odds; None: not one of the model's tokens, or cut off."""


@dataclass(frozen=True)
class Explanation:
    """The words that the model used for or against `label`; joined, the parts are the text as its author wrote it.

    Example:
        >>> own = Explanation("spam", 2.0, -1.0, [("You", 0.5), (" ", None), ("won", 2.5)], [])
        >>> own.difference, own.complete, own.words
        (3.0, True, [('won', 2.5), ('You', 0.5)])
    """

    label: str
    log_odds: float
    without_words: float
    """The log odds of the same text with every word blank."""
    parts: list[Part]
    pair_parts: list[Part]
    """Of the second text of a pair; else empty."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the explanation that `dataclasses.asdict` and JSON have made `values` of.

        Example:
            >>> import dataclasses, json
            >>> own = Explanation("spam", 2.0, -1.0, [("won", 3.0)], [])
            >>> Explanation.of(json.loads(json.dumps(dataclasses.asdict(own)))) == own
            True
        """
        parts, pair_parts = ([(word, weight) for word, weight in values[name]] for name in ("parts", "pair_parts"))
        return cls(values["label"], values["log_odds"], values["without_words"], parts, pair_parts)

    @property
    def difference(self) -> float:
        """What all words together did to the log odds."""
        return self.log_odds - self.without_words

    @property
    def missed(self) -> float:
        """What the sum of the weights has more than the difference."""
        return sum(weight or 0.0 for _, weight in [*self.parts, *self.pair_parts]) - self.difference

    @property
    def complete(self) -> bool:
        """Whether the sum of the weights is the difference, as nearly as is asked for."""
        return abs(self.missed) <= max(ABSOLUTE, RELATIVE * abs(self.difference))

    @property
    def words(self) -> list[tuple[str, float]]:
        """The words with their weights, the heaviest first, whichever way they pull."""
        weighed = [(word, weight) for word, weight in [*self.parts, *self.pair_parts] if weight]
        return sorted(weighed, key=lambda one: -abs(one[1]))
