"""A judgement as MLflow shows it: gates and scores in Markdown, on the step's run and on the pipeline run."""

from berth.interval import Interval
from berth.reports.markdown import escaped, table
from components.evaluate.judgement import BASELINE, CHALLENGER, CHAMPION, Judgement
from components.evaluate.scores import SCORES


def describe(judgement: Judgement, confidence: float) -> str:
    """Return the gates with what they found, and the scores next to the champion's and the baseline's, in Markdown."""
    lines = [f"- {escaped(finding)}" for finding in judgement.findings]
    lines += [""] * bool(lines)
    gates = [[gate.name, gate.outcome, gate.words] for gate in judgement.verdict.gates]
    lines += ["**Gates**", "", *table(["gate", "outcome", "found"], gates), ""]
    others = [name for name in (CHAMPION, BASELINE) if name in judgement.models]
    own = judgement.models[CHALLENGER]
    rows = []
    for score in (name for name in SCORES if name in own.evaluation.scores):
        cells = [score, _valued(own.intervals.get(score), own.evaluation.scores[score])]
        for other in others:
            value = judgement.models[other].evaluation.scores.get(score)
            cells.append("" if value is None else f"{value:.4f}")
        rows.append(cells)
    heads = {
        CHAMPION: f"champion, version {judgement.champion.version}" if judgement.champion else "",
        BASELINE: "TF-IDF",
    }
    about = f"ROC-AUC and PR-AUC are about the label {escaped(judgement.positive_label)}."
    lines += [
        "**Scores**",
        "",
        *([about, ""] if judgement.positive_label else []),
        *table(["score", f"this model ({confidence:.0%} interval)", *(heads[other] for other in others)], rows),
    ]
    return "\n".join(lines) + "\n"


def _valued(interval: Interval | None, value: float) -> str:
    return f"{value:.4f}" if interval is None else f"{value:.4f} ({interval.low:.4f} to {interval.high:.4f})"
