"""The evaluate step: a model and a dataset in; a verdict, scores and a report out."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from components.common.dataset import Manifest, read_split
from components.common.saved_model import load
from components.evaluate.gates import Verdict, judge
from components.evaluate.metrics import Evaluation, evaluate
from components.evaluate.report import Mistake, render

_MISTAKES = 20


@dataclass(frozen=True)
class Judgement:
    """What the model scored, and whether it may go to users."""

    evaluation: Evaluation
    verdict: Verdict


def evaluate_model(model: str | Path, dataset: str | Path, gates: Mapping[str, float], report: str | Path) -> Judgement:
    """Judge `model` on the test split of `dataset` and write the report, one self-contained HTML file.

    Raises:
        BerthError: the model cannot be loaded, its labels are not the dataset's, or a gate does not exist.
    """
    classifier = load(model)
    manifest = Manifest.read(dataset)
    texts, truth = read_split(dataset, "test")
    predicted, probabilities = classifier.predict(texts)
    evaluation = evaluate(classifier.labels, truth, probabilities)
    verdict = judge(gates, evaluation.numbers())
    mistakes = [
        Mistake(text, true, label, float(row.max()))
        for text, true, label, row in zip(texts, truth, predicted, probabilities, strict=True)
        if true != label
    ]
    mistakes.sort(key=lambda mistake: -mistake.probability)
    Path(report).parent.mkdir(parents=True, exist_ok=True)
    Path(report).write_text(
        render(evaluation, verdict, manifest, mistakes[:_MISTAKES], len(mistakes)), encoding="utf-8"
    )
    return Judgement(evaluation, verdict)
