"""Mistakes: the test texts that the model is surest of and wrong, and training texts whose label looks wrong."""

import csv
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from berth.data.dataset import LABEL, PAIR, TEXT, read_columns
from berth.data.predictions import SplitPredictions
from berth.errors import printable

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Mistake:
    """Row `row` of `split`, which is `true` and was called `predicted`, with that probability."""

    kind: str
    """`mistake` on the test split, `suspect` in train: its label may be the mistake."""
    split: str
    row: int
    text: str
    text_pair: str
    true: str
    predicted: str
    probability: float
    loss: float
    """Cross-entropy of the true label, in nats."""


def test_mistakes(
    rows: dict[str, list[Any]],
    labels: Sequence[str],
    truth: "np.ndarray",
    decided: "np.ndarray",
    probabilities: "np.ndarray",
    losses: "np.ndarray",
) -> list[Mistake]:
    """Return every test text that was called wrong, the surest first; the arrays are those of `metrics`."""
    wrong = (decided != truth).any(axis=1).nonzero()[0]
    found = [
        _mistake("mistake", "test", int(row), rows, labels, decided[row], probabilities[row], float(losses[row]))
        for row in wrong
    ]
    return sorted(found, key=lambda mistake: -mistake.loss)


def suspects(
    dataset: str | Path, labels: Sequence[str], noted: SplitPredictions, decided: "np.ndarray"
) -> list[Mistake]:
    """Return the training texts that the model, having learnt them, still calls wrong: the highest loss first.

    `noted` is what train noted of the train split, `decided` what that amounts to, bool [rows, labels].
    """
    from components.evaluate.indicators import indicator

    if not len(noted.rows):
        return []
    rows = read_columns(dataset, "train")
    truth = indicator(labels, [rows[LABEL][row] for row in noted.rows])
    wrong = (decided != truth).any(axis=1).nonzero()[0]
    worst = sorted(wrong, key=lambda place: -noted.losses[place])
    return [
        _mistake(
            "suspect",
            "train",
            int(noted.rows[place]),
            rows,
            labels,
            decided[place],
            noted.probabilities[place],
            float(noted.losses[place]),
        )
        for place in worst
    ]


def confusions(mistakes: Sequence[Mistake]) -> list[tuple[str, str, int]]:
    """Return (true, predicted, how often) of the mistakes, the most frequent first."""
    counts = Counter((mistake.true, mistake.predicted) for mistake in mistakes)
    return [(true, predicted, count) for (true, predicted), count in counts.most_common()]


def write_csv(mistakes: Sequence[Mistake], path: str | Path) -> None:
    """Write `mistakes` to the CSV file `path`.

    A cell that a spreadsheet would take for a formula begins with an apostrophe; control characters are spelled out.
    """
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with Path(path).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow([column.name for column in fields(Mistake)])
        for mistake in mistakes:
            values = (getattr(mistake, column.name) for column in fields(Mistake))
            writer.writerow([f"{value:.6g}" if isinstance(value, float) else _cell(str(value)) for value in values])


def label_studio(suspects: Sequence[Mistake], task: str) -> list[dict[str, Any]]:
    """Return `suspects` as tasks to import into Label Studio, with the model's labels as predictions.

    The labelling interface is a Choices named `label` for a Text named `text`.
    """
    made = []
    for number, one in enumerate(suspects):
        named = one.predicted.split(", ") if task == "multi_label" else [one.predicted]
        choices = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": named}}
        data = {"text": one.text, "label": one.true, "row": one.row, "rank": number + 1, "loss": round(one.loss, 4)}
        data |= {"text_pair": one.text_pair} if one.text_pair else {}
        made.append({"data": data, "predictions": [{"score": round(one.probability, 4), "result": [choices]}]})
    return made


def _mistake(
    kind: str,
    split: str,
    row: int,
    rows: dict[str, list[Any]],
    labels: Sequence[str],
    decided: "np.ndarray",
    probabilities: "np.ndarray",
    loss: float,
) -> Mistake:
    true = rows[LABEL][row]
    named = [labels[column] for column in decided.nonzero()[0].tolist()]
    return Mistake(
        kind,
        split,
        row,
        rows[TEXT][row],
        rows[PAIR][row] if PAIR in rows else "",
        true if isinstance(true, str) else _joined(true),
        _joined(named),
        float(probabilities[decided].min(initial=1.0)) if named else float(1 - probabilities.max()),
        loss,
    )


def _joined(labels: Sequence[str]) -> str:
    return ", ".join(labels) or "(none)"


def _cell(text: str) -> str:
    shown = printable(text)
    return f"'{shown}" if shown[:1] in ("=", "+", "-", "@") else shown
