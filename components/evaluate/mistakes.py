"""Mistakes: test texts that the model is surest of and wrong, and other texts whose label may be what is wrong."""

import csv
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

from berth.data.dataset import LABEL, PAIR, TEXT, Columns, read_columns
from berth.data.predictions import SplitPredictions, TrainingPredictions
from berth.errors import printable

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Mistake:
    """Row `row` of `split`, which is `true` and was called `predicted`, with that probability."""

    kind: str
    """`mistake` on the test split, `suspect` on the others: its label may be the mistake."""
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
    rows: Columns,
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
    dataset: str | Path, labels: Sequence[str], noted: TrainingPredictions, decide: "Callable[[np.ndarray], np.ndarray]"
) -> list[Mistake]:
    """Return the train and validation texts that the model calls other than their label, the highest loss first.

    It has learnt the train texts, and never those of validation, whose labels choose strength, epoch and threshold.

    Args:
        dataset: The dataset's folder.
        labels: The label vocabulary.
        noted: What train noted.
        decide: Turns probabilities, float32 [rows, labels], into bool [rows, labels].
    """
    splits = {"train": noted.train, "validation": noted.validation}
    found = [one for split, own in splits.items() for one in _suspects(dataset, split, labels, own, decide)]
    return sorted(found, key=lambda suspect: -suspect.loss)


def _suspects(
    dataset: str | Path,
    split: str,
    labels: Sequence[str],
    noted: SplitPredictions,
    decide: "Callable[[np.ndarray], np.ndarray]",
) -> list[Mistake]:
    from components.evaluate.indicators import indicator

    if not len(noted.rows):
        return []
    rows, decided = read_columns(dataset, split), decide(noted.probabilities)
    truth = indicator(labels, [rows[LABEL][row] for row in noted.rows])
    wrong = (decided != truth).any(axis=1).nonzero()[0]
    return [
        _mistake(
            "suspect",
            split,
            int(noted.rows[place]),
            rows,
            labels,
            decided[place],
            noted.probabilities[place],
            float(noted.losses[place]),
        )
        for place in wrong
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


def label_studio(suspects: Sequence[Mistake], task: str) -> list[dict[str, object]]:
    """Return `suspects` as tasks to import into Label Studio, with the model's labels as predictions.

    The labelling interface is a Choices named `label` for a Text named `text`.
    """
    made: list[dict[str, object]] = []
    for number, one in enumerate(suspects):
        named = one.predicted.split(", ") if task == "multi_label" else [one.predicted]
        choices = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": named}}
        data: dict[str, object] = {"text": one.text, "label": one.true, "split": one.split, "row": one.row}
        data |= {"rank": number + 1, "loss": round(one.loss, 4)}
        data |= {"text_pair": one.text_pair} if one.text_pair else {}
        made.append({"data": data, "predictions": [{"score": round(one.probability, 4), "result": [choices]}]})
    return made


def _mistake(
    kind: str,
    split: str,
    row: int,
    rows: Columns,
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
