"""The gates: bounds that a model has to hold to be blessed. No gates, no blessing."""

from collections.abc import Mapping
from dataclasses import dataclass

from components.common.errors import BerthError, nearest

MINIMA = {"min_accuracy": "accuracy", "min_macro_f1": "macro_f1"}
"""Each gate that is a lower bound, and the score that it bounds."""


@dataclass(frozen=True)
class Gate:
    """One bound, the value that was judged, and whether it holds."""

    name: str
    value: float
    bound: float

    @property
    def holds(self) -> bool:
        return self.value >= self.bound

    def __str__(self) -> str:
        return f"{self.name} {self.value:.4f} {'>=' if self.holds else '<'} {self.bound:g}"


@dataclass(frozen=True)
class Verdict:
    """Every gate with its outcome."""

    gates: list[Gate]

    @property
    def blessed(self) -> bool:
        return bool(self.gates) and all(gate.holds for gate in self.gates)

    def __str__(self) -> str:
        if not self.gates:
            return "NOT BLESSED: no gates are configured"
        failed = [str(gate) for gate in self.gates if not gate.holds]
        return f"NOT BLESSED: {', '.join(failed)}" if failed else "BLESSED"


def judge(gates: Mapping[str, float], scores: Mapping[str, float]) -> Verdict:
    """Return the verdict of `gates`, bounds by name, on `scores`, values by name.

    Raises:
        BerthError: there is no such gate.
    """
    for name in gates:
        if name not in MINIMA:
            raise BerthError(f"gates: there is no gate {name!r}.{nearest(name, list(MINIMA))}")
    return Verdict([Gate(name, scores[MINIMA[name]], bound) for name, bound in gates.items()])
