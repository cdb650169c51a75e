"""The evaluation report: one HTML file with everything in it, every piece of data escaped."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from berth.data.dataset import SPLITS, Manifest
from berth.explaining.explanation import Explanation
from berth.reports import html
from components.evaluate import baseline, mistakes
from components.evaluate.judgement import BASELINE, CHALLENGER, CHAMPION, Judgement
from components.evaluate.scores import SCORES, Curve, SplitScores

_TEMPLATE = "report.html.j2"
_SIDE = 240
"""Side of a plot, in SVG units."""
_MOST_LINES = 8
MOST_LABELS = 30
"""Beyond so many a confusion matrix is no longer read."""
_ROWS = 20
_SLICES = 40
NAMES = {CHALLENGER: "this model", CHAMPION: "champion", BASELINE: "baseline"}


@dataclass(frozen=True)
class Line:
    """A line of a plot, its points in SVG's coordinates."""

    name: str
    points: str


def render(judgement: Judgement, manifest: Manifest, confidence: float) -> str:
    """Return the report as HTML; it loads nothing and runs no script."""
    evaluation = judgement.challenger.evaluation
    names = dict(NAMES)
    if judgement.champion:
        names[CHAMPION] = f"champion, version {judgement.champion.version}"
    return html.template(__file__, _TEMPLATE).render(
        judgement=judgement,
        evaluation=evaluation,
        manifest=manifest,
        confidence=f"{confidence:.0%}",
        names=names,
        baseline=baseline.NAME,
        others=[name for name in judgement.models if name != CHALLENGER],
        scores=[name for name in SCORES if name in evaluation.scores],
        splits=SPLITS,
        shades=[[cell / max(1, sum(row)) for cell in row] for row in evaluation.confusion],
        confusion=len(evaluation.labels) <= MOST_LABELS and evaluation.confusion,
        explanations={int(row): Explanation.of(own) for row, own in judgement.served.explained.items()},
        shade=_shade,
        confusions=mistakes.confusions(judgement.mistakes)[:_ROWS],
        roc=_lines(judgement, names, lambda one: one.roc),
        pr=_lines(judgement, names, lambda one: one.pr),
        reliability=[
            Line(names[name], _points((one.confidence, one.accuracy) for one in scored.evaluation.reliability))
            for name, scored in judgement.models.items()
        ],
        slices=judgement.slices[:_SLICES],
        rows=_ROWS,
        side=_SIDE,
    )


def _shade(explanation: Explanation, weight: float | None) -> float:
    """Return how dark a word is, 0 to 1: the heaviest one of its text is the darkest."""
    heaviest = abs(explanation.words[0][1]) if explanation.words else 1.0
    return abs(weight or 0.0) / heaviest


def _lines(judgement: Judgement, names: dict[str, str], curves: Callable[[SplitScores], list[Curve]]) -> list[Line]:
    """Return the models' curves where each has one, else those of this model's classes."""
    own = curves(judgement.challenger.evaluation)
    if len(own) != 1:
        return [Line(curve.label, _of(curve)) for curve in own[:_MOST_LINES]]
    found = ((names[name], curves(scored.evaluation)) for name, scored in judgement.models.items())
    return [Line(name, _of(curve)) for name, (curve, *_) in found]


def _of(curve: Curve) -> str:
    return _points(zip(curve.x, curve.y, strict=True))


def _points(points: Iterable[tuple[float, float]]) -> str:
    """Return points of the unit square in SVG's coordinates, y downwards."""
    return " ".join(f"{x * _SIDE:.1f},{(1 - y) * _SIDE:.1f}" for x, y in points)
