"""The evaluate step: a model, its champion and a dataset in; a verdict, scores and a report out."""

import importlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from berth.behaviour import Behaviour
from berth.data.dataset import LABEL, TEXT, Manifest, read_columns
from berth.data.predictions import TrainingPredictions
from berth.errors import BerthError
from berth.interval import Interval
from berth.models.decision_rule import decisions
from berth.settings import Evaluation
from components.evaluate import (
    baseline,
    behaviour,
    bootstrap,
    champion,
    gates,
    indicators,
    intervals,
    mistakes,
    scores,
    serving_check,
    slices,
)
from components.evaluate.bootstrap import Draws
from components.evaluate.champion import Champion
from components.evaluate.gates import Findings, SliceResult
from components.evaluate.indicators import ModelOutputs
from components.evaluate.judgement import BASELINE, CHALLENGER, CHAMPION, Judgement, Scored
from components.evaluate.scores import SplitScores
from components.evaluate.serving_check import Served

if TYPE_CHECKING:
    import numpy as np


_NOTHING = Interval(0.0, 0.0, 0.0)
"""What a model differs from itself by."""


def evaluate_model(
    model: str | Path,
    dataset: str | Path,
    predictions: str | Path,
    *,
    model_name: str,
    bounds: Mapping[str, object],
    settings: Evaluation,
    positive_label: str = "",
    cases: str = "",
) -> Judgement:
    """Judge `model` on the test split of `dataset`, next to the champion of `model_name` and the baseline.

    `predictions` is the file that train wrote, `bounds` the run's gates, `positive_label` the positive one of two
    labels; empty: the rarer one in train; `cases` the JSON of a behaviour file, or empty.

    Raises:
        BerthError: the model cannot be loaded, its labels are not the dataset's, or a gate does not exist.
    """
    import numpy as np

    asked = gates.parse(bounds)
    manifest = Manifest.read(dataset)
    positive_label = manifest.positive_label(positive_label)
    rows = read_columns(dataset, "test")
    extra, required = _required(cases, manifest, rows[TEXT])
    asked_of = model, dataset, predictions, settings.tensorflow_serving, extra, settings.explain
    with serving_check.checked(*asked_of, meanwhile=_import_what_comes_later) as (served, explained):
        truth = indicators.indicator(served.labels, rows[LABEL])
        positive = served.labels.index(positive_label) if positive_label else 1

        answers = {CHALLENGER: _answers(served)}
        registered = champion.ask(model_name, dataset, model, served, extra)
        if registered and registered.answers:
            answers[CHAMPION] = registered.answers
        learnt = None
        if settings.baseline_rows:
            learnt = baseline.answers(dataset, served.labels, served.task, settings.baseline_rows, settings.seed)
        if learnt:
            answers[BASELINE] = learnt

        compare = partial(_compare, served=served, positive=positive, settings=settings, confidence=asked.confidence)
        models = compare(truth, answers)
        unseen = np.ones(len(truth), bool)
        if registered and registered.same:
            models[CHAMPION] = replace(models[CHAMPION], change=dict.fromkeys(models[CHAMPION].change, _NOTHING))
        elif registered and registered.seen is not None:
            unseen = ~registered.seen
            both = {name: answers[name].rows(unseen) for name in (CHALLENGER, CHAMPION)}
            models[CHAMPION] = compare(truth[unseen], both)[CHAMPION]
        parts = slices.slices(rows, truth, served.labels, manifest.slice_columns, settings.min_slice_size)
        right = {name: (own.decided == truth).all(axis=1) for name, own in answers.items()}
        sliced = _sliced(parts, right, unseen, settings.min_slice_size, asked.confidence)
        shown = behaviour.judge(required, served.behaviour, registered.behaviour if registered else None)
        verdict = gates.judge(
            asked, replace(_findings(models, registered, sliced, served, positive_label), behaviour=shown)
        )
        losses = indicators.losses(truth, served.probabilities, served.task == "single_label")
        return Judgement(
            verdict,
            models,
            registered,
            sliced,
            explained(),
            positive_label,
            shown,
            settings.resamples,
            mistakes.test_mistakes(
                rows, served.labels, truth, answers[CHALLENGER].decided, served.probabilities, losses
            ),
            mistakes.suspects(
                dataset,
                served.labels,
                TrainingPredictions.read(predictions),
                partial(decisions, task=served.task, threshold=served.threshold),
            ),
        )


def _import_what_comes_later() -> None:
    """Import what the baseline and the figures need, which takes two seconds."""
    for name in ("sklearn.linear_model", "sklearn.feature_extraction.text", "matplotlib.figure"):
        importlib.import_module(name)


def _required(cases: str, manifest: Manifest, test: Sequence[str]) -> tuple[list[str], list[behaviour.Case]]:
    """Return the texts of the behaviour file and what is required of them."""
    if not cases:
        return [], []
    if manifest.pairs:
        raise BerthError("behaviour: is for single texts, and the data are pairs. Remove it.")
    return behaviour.plan(Behaviour.parse(json.loads(cases), "behaviour"), test, manifest.labels)


def _answers(served: Served) -> ModelOutputs:
    return ModelOutputs(served.probabilities, served.decided)


def _compare(
    truth: "np.ndarray",
    answers: Mapping[str, ModelOutputs],
    served: Served,
    positive: int,
    settings: Evaluation,
    confidence: float,
) -> dict[str, Scored]:
    """Return each model's scores on the texts of `truth`, bool [texts, labels], and what the challenger gains on it."""
    drawn = bootstrap.resample(
        truth,
        answers,
        single=served.task == "single_label",
        resamples=settings.resamples,
        seed=settings.seed,
        positive=positive,
    )
    evaluations = {
        name: scores.evaluate(served.labels, truth, own, served.task, positive) for name, own in answers.items()
    }
    right = {name: (own.decided == truth).all(axis=1) for name, own in answers.items()}
    return {name: _scored(name, evaluations, right, drawn, confidence) for name in answers}


def _scored(
    name: str,
    evaluations: Mapping[str, SplitScores],
    right: "Mapping[str, np.ndarray]",
    drawn: Mapping[str, Draws],
    confidence: float,
) -> Scored:
    own, first = evaluations[name], evaluations[CHALLENGER]
    found = {
        score: bootstrap.interval(own.scores[score], drawn[name][score], confidence)
        for score in own.scores
        if score in drawn[name]
    }
    found["accuracy"] = intervals.share(right[name], confidence)
    change = {}
    if name != CHALLENGER:
        for score in found.keys() & first.scores.keys():
            gain = first.scores[score] - own.scores[score]
            change[score] = bootstrap.interval(gain, drawn[CHALLENGER][score] - drawn[name][score], confidence)
        change["accuracy"] = intervals.difference(right[CHALLENGER], right[name], confidence)
    return Scored(own, found, change, intervals.mcnemar(right[CHALLENGER], right[name]))


def _sliced(
    parts: "Mapping[str, np.ndarray]",
    right: "Mapping[str, np.ndarray]",
    unseen: "np.ndarray",
    min_size: int,
    confidence: float,
) -> list[SliceResult]:
    """Return the slices, the worst first; gains on the champion are those on the texts that it has not learnt from.

    Their intervals hold together, all with `confidence`: each is Bonferroni's of their number, which for the first one
    to be certain is Holm's too.
    """
    compared = {name: members & unseen for name, members in parts.items() if (members & unseen).sum() >= min_size}
    together = 1 - (1 - confidence) / max(1, len(compared))
    found = []
    for name, members in parts.items():
        own = intervals.share(right[CHALLENGER][members], confidence)
        before, change = None, None
        if CHAMPION in right and name in compared:
            first, second = (right[model][compared[name]] for model in (CHALLENGER, CHAMPION))
            before, change = float(second.mean()), intervals.difference(first, second, together)
        found.append(SliceResult(name, int(members.sum()), own, before, change))
    return sorted(found, key=lambda one: one.accuracy.value)


def _findings(
    models: Mapping[str, Scored],
    registered: Champion | None,
    sliced: list[SliceResult],
    served: Served,
    positive_label: str,
) -> Findings:
    return Findings(
        scores=models[CHALLENGER].evaluation.scores,
        classes=models[CHALLENGER].evaluation.classes,
        change=models[CHAMPION].change if CHAMPION in models else {},
        no_champion=registered.problem if registered else "there is no champion yet",
        champion_broken=bool(registered and not registered.answers),
        baseline=models[BASELINE].evaluation.scores if BASELINE in models else {},
        slices=sliced,
        p95_ms=served.p95_ms,
        size_mb=served.size_mb,
        serving_problem="; ".join(served.problems),
        positive_label=positive_label,
        coverage=served.coverage,
        texts=models[CHAMPION if CHAMPION in models else CHALLENGER].evaluation.texts,
    )
