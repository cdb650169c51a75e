"""The evaluation report: one HTML file with everything in it, every piece of data escaped."""

from dataclasses import dataclass
from typing import Any

from components.common import reports
from components.common.dataset import SPLITS, Manifest
from components.evaluate.gates import Verdict
from components.evaluate.metrics import Evaluation

_TEMPLATE = "report.html.j2"
_PLOT = 240
"""Side of the ROC plot, in SVG units."""


@dataclass(frozen=True)
class Mistake:
    """A text that was called `predicted`, with that probability, and is `true`."""

    text: str
    true: str
    predicted: str
    probability: float


def render(
    evaluation: Evaluation, verdict: Verdict, manifest: Manifest, mistakes: list[Mistake], mistake_count: int
) -> str:
    """Return the report as HTML; it loads nothing and runs no script."""
    return reports.template(__file__, _TEMPLATE).render(
        evaluation=evaluation,
        verdict=verdict,
        manifest=manifest,
        mistakes=mistakes,
        mistake_count=mistake_count,
        splits=SPLITS,
        shades=_shades(evaluation.confusion),
        curves=[(curve.label, _polyline(curve)) for curve in evaluation.curves],
        side=_PLOT,
    )


def _shades(confusion: list[list[int]]) -> list[list[float]]:
    """Return each cell's share of its row, the opacity that it is drawn with."""
    return [[cell / max(1, sum(row)) for cell in row] for row in confusion]


def _polyline(curve: Any) -> str:
    """Return the points of a ROC curve in SVG's coordinates, y downwards."""
    points = zip(curve.false_positive_rate, curve.true_positive_rate, strict=True)
    return " ".join(f"{x * _PLOT:.1f},{(1 - y) * _PLOT:.1f}" for x, y in points)
