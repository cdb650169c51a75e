"""The judgement of a model: scores, findings and the verdict."""

from collections.abc import Sequence
from dataclasses import dataclass

from berth.interval import Interval
from berth.verdict import Verdict
from components.evaluate import baseline
from components.evaluate.behaviour import CaseResult
from components.evaluate.champion import Champion
from components.evaluate.gates import SliceResult
from components.evaluate.mistakes import Mistake
from components.evaluate.scores import ClassScores, SplitScores
from components.evaluate.serving_check import Served

CHALLENGER, CHAMPION, BASELINE = "challenger", "champion", "baseline"
_SLASH = "\u2215"
"""For a label's slash: in a metric's name that would make a group, and another character might make another label."""
_MOST_CHARTED = 50
"""Labels with metrics of their own; the report has all of them."""


@dataclass(frozen=True)
class Scored:
    """One model's scores on the test split, with their intervals."""

    evaluation: SplitScores
    intervals: dict[str, Interval]
    change: dict[str, Interval]
    """What the challenger's scores gain on this model's; empty of the challenger itself."""
    mcnemar: float
    """P-value of McNemar's test against the challenger; 1 of the challenger itself."""


@dataclass(frozen=True)
class Judgement:
    """All that is known of a model, and whether it may go to users."""

    verdict: Verdict
    models: dict[str, Scored]
    """By CHALLENGER, and CHAMPION and BASELINE where there is one."""
    champion: Champion | None
    slices: list[SliceResult]
    served: Served
    positive_label: str
    """Of two labels the one that ROC-AUC, PR-AUC and the curves are about; empty beyond."""
    behaviour: list[CaseResult]
    """What became of the cases of the behaviour file."""
    resamples: int
    mistakes: list[Mistake]
    suspects: list[Mistake]

    @property
    def challenger(self) -> Scored:
        return self.models[CHALLENGER]

    def numbers(self) -> dict[str, float]:
        """Return every number that is worth a chart, by name: scores, their intervals, classes, gains, serving."""
        own = self.challenger
        found = dict(own.evaluation.scores)
        for score in ("accuracy", "macro_f1"):
            found[f"{score}/low"], found[f"{score}/high"] = own.intervals[score].low, own.intervals[score].high
        for scores in charted(own.evaluation.classes):
            label = scores.label.replace("/", _SLASH)
            found |= {f"{name}_{label}": getattr(scores, name) for name in ("precision", "recall", "f1")}
        for name, scored in self.models.items():
            if name != CHALLENGER:
                found |= {f"{name}/{score}": value for score, value in scored.evaluation.scores.items()}
        served = self.served
        found |= {"serving/p50_ms": served.p50_ms, "serving/p95_ms": served.p95_ms}
        if served.abstain_below:
            found["coverage"] = served.coverage
        return found | {"serving/texts_per_second": served.texts_per_second, "serving/size_mb": served.size_mb}

    @property
    def findings(self) -> list[str]:
        """What a reader should not miss, a sentence each."""
        found = list(self.champion.remarks) if self.champion else []
        if self.champion and self.champion.problem:
            found.append(f"{self.champion.problem[0].upper()}{self.champion.problem[1:]}.")
        own = self.challenger.evaluation.scores
        if (other := self.models.get(BASELINE)) and own["macro_f1"] <= other.evaluation.scores["macro_f1"]:
            found.append(
                f"The model does not beat {baseline.NAME}: macro F1 {own['macro_f1']:.4f} against "
                f"{other.evaluation.scores['macro_f1']:.4f}."
            )
        return found


def charted(classes: Sequence[ClassScores]) -> list[ClassScores]:
    """Return the classes that texts have, at most 50: with more, those of the lowest F1, the frequent ones first."""
    found = [scores for scores in classes if scores.support]
    return sorted(found, key=lambda scores: (scores.f1, -scores.support))[:_MOST_CHARTED]
