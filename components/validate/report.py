"""The validation report: one HTML file for people."""

from collections import Counter
from collections.abc import Mapping, Sequence

from berth.data.dataset import SPLITS, Manifest
from berth.reports import html
from berth.statistics.distances import Distance, Statistics, mean
from berth.statistics.text_features import FLAGS, NUMBERS
from berth.statistics.tfdv import Scan
from components.validate.checks import Anomaly

_LABELS = 40
_TOKENS = 40
_BARS, _WIDTH, _HEIGHT = 28, 280, 110


def render(
    manifest: Manifest,
    statistics: Mapping[str, Statistics],
    scans: Mapping[str, Scan],
    anomalies: Sequence[Anomaly],
    distances: Sequence[Distance],
    *,
    schema_source: str,
    vocabulary: str,
    longest: int,
    has_baseline: bool,
) -> str:
    """Return the report as HTML; `longest` is the number of tokens of a text that fit sequence_length."""
    shown = [anomaly for anomaly in anomalies if anomaly.severity != "ignore"]
    errors = sum(anomaly.severity == "error" for anomaly in shown)
    sampled = sum(scan.sampled for scan in scans.values())
    totals = Counter[str]()
    for counts in manifest.label_counts.values():
        totals.update(counts)
    balance = [
        (
            label,
            [
                (
                    manifest.label_counts[split].get(label, 0),
                    manifest.label_counts[split].get(label, 0) / max(1, manifest.rows[split]),
                )
                for split in SPLITS
            ],
        )
        for label, _ in totals.most_common(_LABELS)
    ]
    train = scans["train"]
    return str(
        html.template(__file__, "report.html.j2").render(
            headline=headline(anomalies),
            manifest=manifest,
            splits=SPLITS,
            anomalies=sorted(shown, key=lambda anomaly: anomaly.severity != "error"),
            errors=errors,
            warnings=len(shown) - errors,
            schema_source=schema_source,
            vocabulary=vocabulary,
            sampled=sampled,
            overview=_overview(statistics, scans) if sampled else [],
            balance=balance,
            more_labels=max(0, len(totals) - _LABELS),
            histograms=_histograms(scans, longest),
            distances=sorted(distances, key=lambda one: -one.value / max(one.threshold, 1e-9)),
            has_baseline=has_baseline,
            tokens=[(token, number / train.sampled) for token, number in train.tokens.most_common(_TOKENS)],
        )
    )


def headline(anomalies: Sequence[Anomaly]) -> str:
    """Return the result of validation in a few words: "2 errors, 1 warning"."""
    parts = []
    for severity, word in (("error", "error"), ("warn", "warning")):
        if number := sum(anomaly.severity == severity for anomaly in anomalies):
            parts.append(f"{number} {word}{'s' * (number > 1)}")
    return ", ".join(parts) or "no anomalies"


def _overview(statistics: Mapping[str, Statistics], scans: Mapping[str, Scan]) -> list[tuple[str, list[str]]]:
    names = {"token_count": "tokens a text", "letter_share": "letters", "digit_share": "digits"}
    names |= {
        "unknown_share": "unknown tokens",
        "is_empty": "empty",
        "is_short": "very short",
        "is_truncated": "cut off",
    }
    rows = []
    for feature in (*NUMBERS, *FLAGS):
        means = [mean(statistics[split], feature) for split in SPLITS]
        cells = [f"{value:.1f}" if feature == "token_count" else f"{value:.1%}" for value in means]
        rows.append((names[feature], cells))
    for feature in ("script", "language"):
        rows.append((feature + "s", [_top_values(statistics[split], feature) for split in SPLITS]))
    return rows


def _top_values(statistics: Statistics, feature: str) -> str:
    for found in statistics.datasets[0].features:
        if ".".join(found.path.step) == feature:
            total = max(1, sum(bucket.sample_count for bucket in found.string_stats.rank_histogram.buckets))
            buckets = found.string_stats.rank_histogram.buckets[:3]
            return ", ".join(f"{bucket.label} {bucket.sample_count / total:.0%}" for bucket in buckets)
    return ""


def _histograms(scans: Mapping[str, Scan], longest: int) -> list[dict[str, object]]:
    """Return the bars of each split's token counts, on one scale."""
    import numpy as np

    high = max((max(scan.lengths, default=0) for scan in scans.values()), default=0)
    if not high:
        return []
    made: list[dict[str, object]] = []
    edges = np.linspace(0, high + 1, _BARS + 1)
    for split in SPLITS:
        lengths = scans[split].lengths
        if not lengths:
            continue
        counts, _ = np.histogram(lengths, edges)
        top = counts.max()
        bars = [
            {
                "x": f"{number * _WIDTH / _BARS:.1f}",
                "width": f"{_WIDTH / _BARS - 1:.1f}",
                "y": f"{_HEIGHT * (1 - count / top):.1f}",
                "height": f"{_HEIGHT * count / top:.1f}",
                "title": f"{edges[number]:.0f} to {edges[number + 1]:.0f} tokens: {count:,} texts",
            }
            for number, count in enumerate(counts)
        ]
        limit = f"{_WIDTH * (longest + 1) / (high + 1):.1f}" if longest <= high else None
        made.append(
            {
                "split": split,
                "bars": bars,
                "limit": limit,
                "low": 0,
                "high": f"{high:,}",
                "median": int(np.median(lengths)),
                "longest": f"{max(lengths):,}",
            }
        )
    return made
