"""The verdict on a model: its gates with what came of each. No gates, no blessing."""

from dataclasses import asdict, dataclass
from typing import Literal

from berth.tracking.tags import TAG_LIMIT

Outcome = Literal["pass", "fail", "skipped"]

_WORDS = 500
"""Characters of a gate's words that other steps get: a slice's name is of the data, and may be long."""
SERVING_CHECK = "serving_check"
"""The one gate that nobody has to configure."""


@dataclass(frozen=True)
class Gate:
    """One bound, the value that was judged (none where there was nothing to judge), and what came of it."""

    name: str
    value: float | None
    bound: float
    outcome: Outcome
    words: str

    def __str__(self) -> str:
        return f"{self.name} {self.words}"

    @classmethod
    def serving_check(cls, problem: str) -> "Gate":
        """Return the gate that the exported model answers as it did in training; `problem` is empty where it does.

        Example:
            >>> gate = Gate.serving_check("")
            >>> gate.outcome, str(gate)
            ('pass', 'serving_check answers as it did in training')
        """
        words = problem or "answers as it did in training"
        return cls(SERVING_CHECK, None, 0.0, "fail" if problem else "pass", words)


@dataclass(frozen=True)
class Verdict:
    """Every gate with its outcome; its text is what a user reads.

    Example:
        >>> gate = Gate("min_accuracy", 0.88, 0.9, "fail", "is 0.880, below 0.9")
        >>> str(Verdict([gate]))
        'NOT BLESSED: min_accuracy is 0.880, below 0.9'
    """

    gates: list[Gate]

    @property
    def configured(self) -> bool:
        """Whether anybody asked for a bound.

        Example:
            >>> verdict = Verdict([Gate.serving_check("")])
            >>> verdict.configured, str(verdict)
            (False, 'NOT BLESSED: no gates are configured')
        """
        return any(gate.name != SERVING_CHECK for gate in self.gates)

    @property
    def blessed(self) -> bool:
        return self.configured and all(gate.outcome != "fail" for gate in self.gates)

    def __str__(self) -> str:
        failed = [str(gate) for gate in self.gates if gate.outcome == "fail"]
        if not self.configured:
            failed.insert(0, "no gates are configured")
        return f"NOT BLESSED: {'; '.join(failed)}"[:TAG_LIMIT] if failed else "BLESSED"

    def as_dicts(self) -> list[dict[str, object]]:
        """Return the gates as what JSON can hold."""
        return [asdict(gate) | {"words": gate.words[:_WORDS]} for gate in self.gates]
