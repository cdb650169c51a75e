"""The report on a pre-trained encoder: one HTML file, and the same in short for MLflow."""

from collections.abc import Iterable

from berth.reports import html
from berth.reports.markdown import table
from components.evaluate_encoder.step import EncoderJudgement

_TEMPLATE = "report.html.j2"
_WIDTH, _HEIGHT = 420, 200
"""Of a plot, in SVG units."""
NAMES = {
    "mlm_loss": "loss of a masked token (nats)",
    "pseudo_perplexity": "pseudo-perplexity",
    "mlm_accuracy": "masked tokens that are predicted",
    "nsp_accuracy": "pairs whose relation is predicted",
}


def render(judgement: EncoderJudgement, confidence: float) -> str:
    """Return the report as HTML; it loads nothing and runs no script."""
    before = (0.0, judgement.before["mlm_loss"])
    pairs = " and pairs" if judgement.facts["settings"]["nsp"] else ""
    curves = {
        f"train, masked tokens{pairs}": [(own["round"], own["train_loss"]) for own in judgement.curve],
        "held out, masked tokens": [before, *((own["round"], own["val_mlm_loss"]) for own in judgement.curve)],
    }
    values = [value for points in curves.values() for _, value in points]
    return html.template(__file__, _TEMPLATE).render(
        judgement=judgement,
        names=NAMES,
        confidence=f"{confidence:.0%}",
        lines={name: _line(points, values) for name, points in curves.items()},
        highest=max(values, default=1.0),
        rounds=f"{judgement.curve[-1]['round']:.0f}" if judgement.curve else "",
        width=_WIDTH,
        height=_HEIGHT,
    )


def describe(judgement: EncoderJudgement, confidence: float) -> str:
    """Return the gates with what they found, and the numbers before and after, in Markdown."""
    gates = [[gate.name, gate.outcome, gate.words] for gate in judgement.verdict.gates]
    scores = [
        [NAMES[name], f"{judgement.before[name]:.4f}" if name in judgement.before else "", f"{value:.4f}"]
        for name, value in judgement.after.items()
    ]
    change = judgement.change
    lines = [
        *("**Gates**", "", *table(["gate", "outcome", "found"], gates), ""),
        *("**Held-out documents**", "", *table(["", "before", "after"], scores), ""),
        f"The loss changed by {change.value:+.4f} ({confidence:.0%}: {change.low:+.4f} to {change.high:+.4f}).",
    ]
    return "\n".join(lines) + "\n"


def _line(points: Iterable[tuple[float, float]], values: list[float]) -> str:
    """Return points in SVG's coordinates, from 0 at the bottom to the highest of all `values`."""
    own = list(points)
    last, highest = max((x for x, _ in own), default=1.0), max(values, default=1.0)
    return " ".join(f"{x / last * _WIDTH:.1f},{(1 - y / highest) * _HEIGHT:.1f}" for x, y in own)
