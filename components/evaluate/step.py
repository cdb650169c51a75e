"""The evaluate step: a model, its champion and a dataset in; a verdict, scores and a report out."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from berth.data.dataset import LABEL, Manifest, read_columns
from berth.data.predictions import TrainingPredictions
from berth.interval import interval
from berth.models.decision_rule import decisions
from berth.settings import Evaluation as Settings
from components.evaluate import (
    baseline,
    bootstrap,
    champion,
    gates,
    indicators,
    mistakes,
    scores,
    serving_check,
    slices,
)
from components.evaluate.bootstrap import Bootstrap
from components.evaluate.champion import Champion
from components.evaluate.gates import Findings, SliceResult
from components.evaluate.indicators import ModelOutputs
from components.evaluate.judgement import BASELINE, CHALLENGER, CHAMPION, Judgement, Scored
from components.evaluate.scores import Evaluation
from components.evaluate.serving_check import Served

if TYPE_CHECKING:
    import numpy as np


_MOST_DRAWS, _FEWEST_RESAMPLES = 1_000_000_000, 1_000
"""Beyond 100,000 test texts there are fewer resamples, to stay within minutes."""


def evaluate_model(
    model: str | Path,
    dataset: str | Path,
    predictions: str | Path,
    *,
    model_name: str,
    bounds: Mapping[str, Any],
    settings: Settings,
) -> Judgement:
    """Judge `model` on the test split of `dataset`, next to the champion of `model_name` and the baseline.

    `predictions` is the file that train wrote, `bounds` the run's gates.

    Raises:
        BerthError: the model cannot be loaded, its labels are not the dataset's, or a gate does not exist.
    """
    asked = gates.parse(bounds)
    manifest = Manifest.read(dataset)
    served = serving_check.check(model, dataset, predictions, settings.tensorflow_serving)
    single = served.task == "single_label"
    rows = read_columns(dataset, "test")
    truth = indicators.indicator(served.labels, rows[LABEL])

    answers = {CHALLENGER: _answers(served)}
    registered = champion.ask(model_name, dataset, model, served)
    if registered and registered.answers:
        answers[CHAMPION] = registered.answers
    learnt = None
    if settings.baseline_rows:
        learnt = baseline.answers(dataset, served.labels, served.task, settings.baseline_rows, settings.seed)
    if learnt:
        answers[BASELINE] = learnt

    resamples = min(settings.resamples, max(_FEWEST_RESAMPLES, _MOST_DRAWS // len(truth)))
    parts = slices.slices(rows, truth, served.labels, manifest.slice_columns, settings.min_slice_size)
    resampled = bootstrap.resample(
        truth,
        answers,
        single=single,
        slices=_stacked(list(parts.values()), len(truth)),
        resamples=resamples,
        seed=settings.seed,
    )
    evaluations = {name: scores.evaluate(served.labels, truth, own, served.task) for name, own in answers.items()}
    models = {name: _scored(name, evaluations, answers, truth, resampled, asked.confidence) for name in answers}
    sliced = _sliced(parts, truth, answers, resampled, asked.confidence)
    verdict = gates.judge(asked, _findings(models, registered, sliced, served))
    training = TrainingPredictions.read(predictions).train
    losses = indicators.losses(truth, served.probabilities, single)
    return Judgement(
        verdict,
        models,
        registered,
        sliced,
        served,
        resamples,
        mistakes.test_mistakes(rows, served.labels, truth, answers[CHALLENGER].decided, served.probabilities, losses),
        mistakes.suspects(
            dataset, served.labels, training, decisions(training.probabilities, served.task, served.threshold)
        ),
    )


def _answers(served: Served) -> ModelOutputs:
    return ModelOutputs(served.probabilities, decisions(served.probabilities, served.task, served.threshold))


def _stacked(members: "list[np.ndarray]", texts: int) -> "np.ndarray":
    import numpy as np

    return np.stack(members, axis=1) if members else np.zeros((texts, 0), bool)


def _scored(
    name: str,
    evaluations: Mapping[str, Evaluation],
    answers: Mapping[str, ModelOutputs],
    truth: "np.ndarray",
    resampled: Bootstrap,
    confidence: float,
) -> Scored:
    own, drawn = evaluations[name], resampled.scores
    shared = [score for score in own.scores if score in drawn[name]]
    intervals = {score: interval(own.scores[score], drawn[name][score], confidence) for score in shared}
    change = {}
    if name != CHALLENGER:
        first = evaluations[CHALLENGER].scores
        change = {
            score: interval(first[score] - own.scores[score], drawn[CHALLENGER][score] - drawn[name][score], confidence)
            for score in shared
            if score in first
        }
    right = [(answers[one].decided == truth).all(axis=1) for one in (CHALLENGER, name)]
    return Scored(own, intervals, change, bootstrap.mcnemar(*right))


def _sliced(
    parts: "Mapping[str, np.ndarray]",
    truth: "np.ndarray",
    answers: Mapping[str, ModelOutputs],
    resampled: Bootstrap,
    confidence: float,
) -> list[SliceResult]:
    """Return the slices, the worst first."""
    right = {name: (own.decided == truth).all(axis=1) for name, own in answers.items()}
    found = []
    for place, (name, members) in enumerate(parts.items()):
        own = float(right[CHALLENGER][members].mean())
        before, change = None, None
        if CHAMPION in answers:
            before = float(right[CHAMPION][members].mean())
            drawn = resampled.slices[CHALLENGER][:, place] - resampled.slices[CHAMPION][:, place]
            change = interval(own - before, drawn, confidence)
        found.append(SliceResult(name, int(members.sum()), own, before, change))
    return sorted(found, key=lambda one: one.accuracy)


def _findings(
    models: Mapping[str, Scored], registered: Champion | None, sliced: list[SliceResult], served: Served
) -> Findings:
    return Findings(
        scores=models[CHALLENGER].evaluation.scores,
        change=models[CHAMPION].change if CHAMPION in models else {},
        no_champion=registered.problem if registered else "there is no champion yet",
        champion_broken=bool(registered and not registered.answers),
        baseline=models[BASELINE].evaluation.scores if BASELINE in models else {},
        slices=sliced,
        p95_ms=served.p95_ms,
        size_mb=served.size_mb,
        serving_problem="; ".join(served.problems),
    )
