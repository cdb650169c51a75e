"""Anomalies of the data in plain words: the feature, the expected value, the found value, and example rows."""

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from berth.data.dataset import LABEL, SPLITS, TEXT, Manifest
from berth.errors import printable
from berth.settings import Checks, Severity
from berth.statistics.distances import Distance, Statistics, distances, mean, share_of
from berth.statistics.schema import domain
from berth.statistics.tfdv import Scan, texts_of

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import anomalies_pb2, schema_pb2

_LONGEST_LINE = 300
_LONGEST_EXAMPLE = 48
_LISTED = 5


@dataclass(frozen=True)
class Anomaly:
    """One finding that does not match the schema, a baseline or a bound."""

    kind: str
    severity: Severity
    split: str
    feature: str
    expected: str
    found: str
    examples: list[str] = field(default_factory=list)
    """Texts of up to three rows."""

    def __str__(self) -> str:
        """Return it in one line, for a terminal, a log or an error message."""
        line = " ".join(f"{self.split}.{self.feature}: expected {self.expected}, found {self.found}".split())
        line = line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..."
        shown = [
            printable(text if len(text) <= _LONGEST_EXAMPLE else f"{text[: _LONGEST_EXAMPLE - 3]}...")
            for text in (" ".join(example.split()) for example in self.examples)
        ]
        return f"{line}; such as " + ", ".join(f'"{text}"' for text in shown) if shown else line


def add_to_tfdv(result: "anomalies_pb2.Anomalies", statistics: Statistics, checks: Checks) -> None:
    """Add an anomaly to TFDV's `result` for each derived feature whose mean exceeds its bound.

    They look like those of TFDV's custom validations, which TFDV removed in 1.17.
    """
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    for kind, (feature, bound) in _bounds(checks).items():
        if (found := mean(statistics, feature)) <= bound:
            continue
        info = result.anomaly_info[feature]
        if not info.path.step:
            info.path.step.append(feature)
        info.severity = anomalies_pb2.AnomalyInfo.ERROR  # for TFDV; the configuration sets the severity for the run
        info.reason.add(
            type=anomalies_pb2.AnomalyInfo.CUSTOM_VALIDATION,
            short_description=kind,
            description=f"The mean of {feature} is {found:g}, more than {bound:g}.",
        )


def _bounds(checks: Checks) -> dict[str, tuple[str, float]]:
    """Return the derived feature whose mean is bounded, and the bound, by kind."""
    return {
        "empty_texts": ("is_empty", checks.max_empty),
        "short_texts": ("is_short", checks.max_short),
        "truncated_texts": ("is_truncated", checks.max_truncated),
        "unknown_tokens": ("unknown_share", checks.max_unknown),
    }


def from_tfdv(
    split: str,
    result: "anomalies_pb2.Anomalies",
    statistics: Statistics,
    baseline: "Statistics | None",
    schema: "schema_pb2.Schema",
    manifest: Manifest,
    scan: Scan,
    checks: Checks,
) -> tuple[list[Anomaly], list[Distance]]:
    """Return TFDV's anomalies of `split` in words, and the distances from `baseline` that TFDV measured."""
    from tensorflow_metadata.proto.v0 import anomalies_pb2

    kinds = anomalies_pb2.AnomalyInfo.Type
    anomalies: list[Anomaly] = []
    infos = sorted(result.anomaly_info.items())
    if result.HasField("dataset_anomaly_info"):
        infos.append(("rows", result.dataset_anomaly_info))
    measured = distances(split, result)
    far = {(distance.feature, distance.kind): distance for distance in measured}
    for name, info in infos:
        feature = ".".join(info.path.step) or name
        for reason in info.reason or [info]:
            type = kinds.Name(reason.type) if hasattr(reason, "type") else ""
            if type == "CUSTOM_VALIDATION":
                kind = reason.short_description
                made = _about_texts(kind, split, feature, statistics, scan, checks, pairs=manifest.pairs)
            elif type.startswith("COMPARATOR_"):
                kind = "drift" if (feature, "drift") in far else "skew"
                difference = _difference(feature, reason.description, statistics, baseline)
                shown = scan.examples.get(difference.example, [])
                made = _about_distance(far.get((feature, kind)), split, feature, kind, difference.words, checks)
                made = dataclasses.replace(made, examples=[text for _, text in shown])
            elif feature == LABEL and "UNEXPECTED_STRING" in type:  # for a domain of strings, or of false and true
                made = _about_labels(split, schema, manifest, scan, checks)
            else:
                kind = "unexpected_value" if "UNEXPECTED_STRING" in type else "schema"
                words = " ".join(f"{reason.short_description}. {reason.description}".split())
                expected, found = _schema_words(type, feature, words)
                made = Anomaly(kind, checks.severity_of(kind), split, feature, expected, found)
            anomalies.append(made)
    return anomalies, measured


def _schema_words(type: str, feature: str, words: str) -> tuple[str, str]:
    if type == "SCHEMA_NEW_COLUMN":
        return "only the schema's columns", f"a column {feature!r} that it does not have"
    if type in ("SCHEMA_MISSING_COLUMN", "FEATURE_TYPE_NOT_PRESENT"):
        return f"a column {feature!r}, which the schema names", "none"
    return "what the schema says", words


def _about_labels(split: str, schema: "schema_pb2.Schema", manifest: Manifest, scan: Scan, checks: Checks) -> Anomaly:
    allowed = domain(schema, LABEL) or []
    counts = manifest.label_counts[split]
    strange = {label: number for label, number in counts.items() if label not in allowed}
    total = sum(counts.values())
    listed = [f"{label!r} in {number:,} of {total:,} rows" for label, number in strange.items()]
    examples = [text for label in strange for _, text in scan.examples.get(f"label:{label}", [])][:3]
    return Anomaly(
        "unexpected_label",
        checks.severity_of("unexpected_label"),
        split,
        LABEL,
        f"one of the schema's labels ({_several([repr(label) for label in allowed])})",
        _several(listed),
        examples,
    )


def _several(items: Sequence[str]) -> str:
    shown = ", ".join(items[:_LISTED])
    return f"{shown} and {len(items) - _LISTED} more" if len(items) > _LISTED else shown


OF_A_SAMPLE = ("short_texts", "truncated_texts", "unknown_tokens")
"""Kinds that a sample is enough for while they are warnings; as errors they are decided on all texts."""

_WINDOWS = " (long_texts: windows reads them whole)"
"""Advice for single texts: the configuration rejects it with pairs."""

_TEXT_WORDS = {
    "empty_texts": ("texts of at least one token, but for {bound:.1%}", "{value} empty"),
    "short_texts": ("at most {bound:.1%} very short texts", "{value}"),
    "truncated_texts": (
        "at most {bound:.1%} of the texts to be cut off by sequence_length{advice}",
        "{value}",
    ),
    "unknown_tokens": ("at most {bound:.1%} unknown tokens", "{value}"),
}


def _about_texts(
    kind: str, split: str, feature: str, statistics: Statistics, scan: Scan, checks: Checks, *, pairs: bool
) -> Anomaly:
    _, bound = _bounds(checks)[kind]
    expected, found = _TEXT_WORDS[kind]
    examples = [text for _, text in scan.examples.get(kind, [])]
    value = mean(statistics, feature)
    return Anomaly(
        kind,
        checks.severity_of(kind),
        split,
        TEXT,
        expected.format(bound=bound, advice="" if pairs else _WINDOWS),
        found.format(value=f"{value:.1%}" if value >= 0.0005 else "less than 0.1%"),
        examples,
    )


@dataclass(frozen=True)
class _Difference:
    """A difference in words, and the name under which the scan keeps texts that show it."""

    words: str
    example: str


def _difference(feature: str, description: str, statistics: Statistics, baseline: "Statistics | None") -> _Difference:
    if value := re.search(r"maximum difference is: (.*)$", description, re.DOTALL):
        now, then = (share_of(found, feature, value[1]) for found in (statistics, baseline))
        return _Difference(f"{value[1]!r} in {now:.1%} where it was {then:.1%}", f"{feature}:{value[1]}")
    now, then = (mean(found, feature) for found in (statistics, baseline))
    return _Difference(f"a mean of {now:.3g} where it was {then:.3g}", feature)


def _about_distance(
    distance: Distance | None, split: str, feature: str, kind: str, words: str, checks: Checks
) -> Anomaly:
    expected = f"values as in {'the champion' if kind == 'drift' else 'train'}"
    expected = f"{expected}'s train split" if kind == "drift" else expected
    if distance:
        expected += f" ({distance.measure} at most {distance.threshold:.2g})"
        words += f" ({distance.value:.3f})"
    return Anomaly(kind, checks.severity_of(kind), split, feature, expected, words)


def of_the_whole(dataset: str | Path, manifest: Manifest, scans: Mapping[str, Scan], checks: Checks) -> list[Anomaly]:
    """Return anomalies between the splits and of the labels, which the statistics of one split do not show."""
    found: list[Anomaly] = []

    def note(kind: str, *words: Any) -> None:
        found.append(Anomaly(kind, checks.severity_of(kind), *words))

    train = manifest.label_counts["train"]
    for split in SPLITS[1:]:
        if missing := [label for label in train if not manifest.label_counts[split].get(label)]:
            labels = _several([repr(label) for label in sorted(missing, key=lambda own: (-train[own], own))])
            note("missing_label", split, LABEL, "every label of the train split", f"none of {labels}")
    total = manifest.rows["train"]
    rare = sorted((number, label) for label, number in train.items() if number < checks.min_label_share * total)
    if rare:
        shown = [f"{label!r} in {number / total:.2%}" for number, label in rare]
        examples = [text for _, label in rare for _, text in scans["train"].examples.get(f"label:{label}", [])][:3]
        bound = f"each label in at least {checks.min_label_share:.1%} of the rows"
        note("label_balance", "train", LABEL, bound, _several(shown), examples)
    resembling = manifest.near_duplicates or 0
    kept = resembling if manifest.near_duplicates_kept else 0
    if kept > checks.max_near_duplicates * (manifest.rows["validation"] + manifest.rows["test"]):
        bound = f"at most {checks.max_near_duplicates:.1%} texts that resemble one of an earlier split"
        note("near_duplicates", "test", TEXT, bound, f"{kept:,} in validation and test")
    rejected = sum(manifest.rejected.values()) - (resembling - kept)
    if rejected > checks.max_rejected * manifest.rows_read:
        reasons = _several([f"{number:,} {reason}" for reason, number in manifest.rejected.items()])
        bound = f"ingest to reject at most {checks.max_rejected:.1%} of the rows"
        note("rejected_rows", "train", "rows", bound, f"{rejected / manifest.rows_read:.1%} ({reasons})")
    found += _copies(dataset, scans, checks)
    return found


def _copies(dataset: str | Path, scans: Mapping[str, Scan], checks: Checks) -> list[Anomaly]:
    """Return the texts that are in two splits, and those that carry two labels."""
    import numpy as np

    found: list[Anomaly] = []
    hashes = {
        split: np.concatenate(scan.hashes) if scan.hashes else np.array([], "uint64") for split, scan in scans.items()
    }
    labels = {
        split: np.concatenate(scan.labels) if scan.labels else np.array([], "uint64") for split, scan in scans.items()
    }
    earlier = np.array([], "uint64")
    for split in SPLITS:
        common = np.intersect1d(np.unique(hashes[split]), earlier)
        if len(common):
            words = ("texts that no earlier split has", f"{len(common):,} that one has")
            shown = texts_of(dataset, [split], common)
            found.append(Anomaly("duplicates", checks.severity_of("duplicates"), split, TEXT, *words, shown))
        earlier = np.union1d(earlier, hashes[split])
    texts = np.concatenate([hashes[split] for split in SPLITS])
    pairs = np.unique(np.stack([texts, np.concatenate([labels[split] for split in SPLITS])]), axis=1)[0]
    each, labels_of_each = np.unique(pairs, return_counts=True)
    several = each[labels_of_each > 1]
    if len(several):
        words = ("one label for a text", f"{len(several):,} texts that carry two or more")
        shown = texts_of(dataset, SPLITS, several)
        found.append(Anomaly("two_labels", checks.severity_of("two_labels"), "train", LABEL, *words, shown))
    return found
