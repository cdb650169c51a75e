"""The gates: bounds that a model must meet to be blessed. Without gates, no model is blessed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from berth.errors import BerthError, nearest
from berth.interval import Interval
from berth.settings import Gates
from berth.verdict import Gate, Outcome, Verdict
from components.evaluate.behaviour import CaseResult
from components.evaluate.intervals import exact, texts_for_share, texts_to_show
from components.evaluate.scores import ClassScores

_AREAS = ("roc_auc", "pr_auc")
_NO_BOUNDS = ("metric", "confidence")
"""Fields of Gates that say how to judge, and are not gates themselves."""

_MEASURED = {
    "min_coverage": ("coverage", "{:.4f}"),
    "max_p95_ms": ("p95_ms", "{:.1f} ms"),
    "max_size_mb": ("size_mb", "{:.1f} MB"),
}
"""Gates on findings other than scores: the field of Findings, and how it is written."""


@dataclass(frozen=True)
class SliceResult:
    """A slice's accuracy, and what it gained on the champion's, if there is one, in an interval that all share."""

    name: str
    texts: int
    accuracy: Interval
    champion_accuracy: float | None = None
    change: Interval | None = None


@dataclass(frozen=True)
class Findings:
    """What the gates are judged on."""

    scores: Mapping[str, float]
    classes: Sequence[ClassScores] = ()
    change: Mapping[str, Interval] = field(default_factory=dict)
    """What each score gained on the champion's; empty without a champion that can be judged."""
    no_champion: str = "there is no champion"
    """Why there is no change."""
    champion_broken: bool = False
    baseline: Mapping[str, float] = field(default_factory=dict)
    """The baseline's scores; empty without one."""
    slices: list[SliceResult] = field(default_factory=list)
    p95_ms: float = 0.0
    size_mb: float = 0.0
    coverage: float = 1.0
    """The share of the test split's texts on which the model does not abstain."""
    texts: int = 0
    """Of the test split that the champion has not learnt from."""
    serving_problem: str = ""
    """What the serving check found; empty: nothing."""
    behaviour: Sequence[CaseResult] = ()
    """What became of the cases of the behaviour file."""
    positive_label: str = ""
    """Of two labels the one that areas under curves are about."""


def parse(gates: Mapping[str, object]) -> Gates:
    """Return the gates of a run's parameters.

    Raises:
        BerthError: there is no such gate, or its bound is not a number that it can have.
    """
    import pydantic

    names = list(Gates.model_fields)
    for name in gates:
        if name not in names:
            raise BerthError(f"gates: there is no gate {name!r}.{nearest(name, names)}")
    try:
        return Gates.model_validate(gates)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise BerthError(f"gates.{field}: {first['msg']}, not {first['input']!r}.") from None


def judge(gates: Gates, findings: Findings) -> Verdict:
    """Return the verdict of `gates` on `findings`, in the order in which the configuration documents them."""
    judged = [_judge(name, bound, gates, findings) for name, bound in configured(gates).items()]
    if findings.behaviour:
        judged.append(_behaviour(findings.behaviour))
    return Verdict([*judged, Gate.serving_check(findings.serving_problem)])


def _behaviour(results: Sequence[CaseResult]) -> Gate:
    """The gate of the behaviour file: every case has to hold. Its value is the share of cases that do."""
    failed = [one for one in results if not one.holds]
    held = len(results) - len(failed)
    words = f"{held:,} of {len(results):,} cases hold"
    if failed:
        words += f"; {'; '.join(map(str, failed))}"
    return Gate("behaviour", held / len(results), 1.0, "fail" if failed else "pass", words)


def configured(gates: Gates) -> dict[str, Any]:
    """Return the bounds that somebody asked for, by the gate's name."""
    asked = {name: bound for name, bound in gates if name not in _NO_BOUNDS}
    return {name: bound for name, bound in asked.items() if bound not in (None, {}) and bound is not False}


def _judge(name: str, bound: Any, gates: Gates, findings: Findings) -> Gate:
    match name:
        case "min_precision" | "min_recall" | "min_f1":
            return _of_labels(name, bound, findings)
        case "max_drop":
            return _max_drop(bound, gates, findings)
        case "min_slice_accuracy":
            return _min_slice_accuracy(bound, gates, findings)
        case "max_slice_drop":
            return _max_slice_drop(bound, gates, findings)
        case "must_beat_baseline":
            return _must_beat_baseline(gates, findings)
        case "min_coverage" | "max_p95_ms" | "max_size_mb":
            score, form = _MEASURED[name]
            return _compared(name, getattr(findings, score), bound, form)
    score = name.removeprefix("min_").removeprefix("max_")
    if score not in findings.scores:
        return _not_judged(name, bound, f"the test split or the task does not define {score}")
    gate = _compared(name, findings.scores[score], bound, "{:.4f}")
    if score in _AREAS and findings.positive_label:
        return replace(gate, words=f"{gate.words} for label {findings.positive_label}")
    return gate


def _of_labels(name: str, bounds: Mapping[str, float], findings: Findings) -> Gate:
    """One gate for all labels of `bounds`; its value is that of the label that is furthest below its bound."""
    score = name.removeprefix("min_")
    found = {own.label: own for own in findings.classes}
    for label, bound in bounds.items():
        if label not in found:
            return _not_judged(name, bound, f"there is no label {label!r}.{nearest(label, list(found))}")
        if not found[label].support:
            return _not_judged(name, bound, f"the test split has no text of the label {label}")
    values = {label: float(getattr(found[label], score)) for label in bounds}
    words = [
        f"{values[label]:.4f} {'>=' if values[label] >= bound else '<'} {bound:g} for label {label} "
        f"({found[label].support:,} texts)"
        for label, bound in bounds.items()
    ]
    worst = min(bounds, key=lambda label: values[label] - bounds[label])
    outcome: Outcome = "pass" if values[worst] >= bounds[worst] else "fail"
    return Gate(name, values[worst], bounds[worst], outcome, ", ".join(words))


def _compared(name: str, value: float, bound: float, form: str) -> Gate:
    lowest = name.startswith("min_")
    holds = value >= bound if lowest else value <= bound
    sign = (">=" if lowest else "<=") if holds else ("<" if lowest else ">")
    return Gate(name, value, bound, "pass" if holds else "fail", f"{form.format(value)} {sign} {bound:g}")


def _not_judged(name: str, bound: float, why: str) -> Gate:
    return Gate(name, None, bound, "fail", f"cannot be judged: {why}")


def _skipped(name: str, bound: float, why: str) -> Gate:
    return Gate(name, None, bound, "skipped", f"skipped: {why}")


def _without_champion(name: str, bound: float, findings: Findings) -> Gate:
    """A first model has nothing to lose; with a champion that cannot be asked, anything might be lost."""
    return (_not_judged if findings.champion_broken else _skipped)(name, bound, findings.no_champion)


def _max_drop(bound: float, gates: Gates, findings: Findings) -> Gate:
    if not findings.change:
        return _without_champion("max_drop", bound, findings)
    change = findings.change.get(gates.metric)
    if change is None:
        why = "has no interval for so many labels" if gates.metric in findings.scores else "is not defined here"
        return _not_judged("max_drop", bound, f"{gates.metric} {why}")
    holds = change.low >= -bound
    words = (
        f"{gates.metric} {_between(change, gates)}, {'so no' if holds else 'so perhaps a'} drop of more than {bound:g}"
    )
    if not holds and (shown := change.value - change.low) > bound:
        takes = _takes(change, bound, findings)
        words += f"; {findings.texts:,} texts show drops of {100 * shown:.2g} points or more, {takes}"
    return Gate("max_drop", change.value, bound, "pass" if holds else "fail", words)


def _takes(change: Interval, bound: float, findings: Findings) -> str:
    if not bound:
        return "and no number of texts shows that of an equally good model"
    return f"{100 * bound:g} take about {texts_to_show(findings.texts, change, bound):,} texts"


def _min_slice_accuracy(bound: float, gates: Gates, findings: Findings) -> Gate:
    """Every slice has to be above the bound with confidence: few texts that happen to be right show little."""
    if not findings.slices:
        return _not_judged("min_slice_accuracy", bound, "no slice has enough texts")
    worst = min(findings.slices, key=lambda one: one.accuracy.low)
    own = worst.accuracy
    holds = own.low >= bound
    words = (
        f"at least {own.low:.4f} {'>=' if holds else '<'} {bound:g} in the worst slice, {worst.name}: {own.value:.4f} "
        f"of {worst.texts:,} texts ({gates.confidence:.0%}: {own.low:.4f} to {own.high:.4f})"
    )
    possible = float(exact(worst.texts, worst.texts, gates.confidence)[0])
    if possible < bound:
        takes = f"{bound:g} takes {texts_for_share(bound, gates.confidence):,}" if bound < 1 else "no number shows 1"
        words += f"; {worst.texts:,} texts show {possible:.2f} at most, {takes}"
    return Gate("min_slice_accuracy", own.low, bound, "pass" if holds else "fail", words)


def _max_slice_drop(bound: float, gates: Gates, findings: Findings) -> Gate:
    if not findings.change:
        return _without_champion("max_slice_drop", bound, findings)
    changes = [(one.change, one.name) for one in findings.slices if one.change]
    if not changes:
        return _not_judged("max_slice_drop", bound, "no slice has enough texts")
    worst, name = min(changes, key=lambda pair: (pair[0].high, pair[0].value))
    holds = worst.high >= -bound
    all_of = f" over {len(changes)} slices" if len(changes) > 1 else ""
    words = (
        f"accuracy {_between(worst, gates, all_of)} in {name}, {'no certain' if holds else 'a certain'} drop of more "
        f"than {bound:g}"
    )
    return Gate("max_slice_drop", worst.value, bound, "pass" if holds else "fail", words)


def _must_beat_baseline(gates: Gates, findings: Findings) -> Gate:
    name = "must_beat_baseline"
    if not findings.baseline:
        return _not_judged(name, 0.0, "there is no baseline")
    if gates.metric not in findings.baseline or gates.metric not in findings.scores:
        return _not_judged(name, 0.0, f"{gates.metric} is not defined here")
    value, bound = findings.scores[gates.metric], findings.baseline[gates.metric]
    holds = value > bound
    words = f"{gates.metric} {value:.4f} {'>' if holds else '<='} {bound:.4f} of TF-IDF + logistic regression"
    return Gate(name, value, bound, "pass" if holds else "fail", words)


def _between(change: Interval, gates: Gates, all_of: str = "") -> str:
    return f"{change.value:+.4f} ({gates.confidence:.0%}{all_of}: {change.low:+.4f} to {change.high:+.4f})"
