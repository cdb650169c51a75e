"""Distances between the statistics of two datasets."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

Statistics: TypeAlias = "statistics_pb2.DatasetFeatureStatisticsList"
"""TFDV's statistics of a split, or of several."""

_CELLS = 21
"""Of two histograms that are compared, at most."""


@dataclass(frozen=True)
class Distance:
    """The distance of a feature's values from a baseline's."""

    kind: str
    """`drift` (train compared with the champion's train) or `skew` (a split compared with train)."""
    split: str
    feature: str
    measure: str
    value: float
    threshold: float


def mean(statistics: "Statistics | None", feature: str) -> float:
    """Return the mean of a numeric feature; 0.0 where there are no statistics, or not of it."""
    found = _found(statistics, feature)
    return float(found.num_stats.mean) if found else 0.0


def distances(split: str, result: "anomalies_pb2.Anomalies") -> list[Distance]:
    """Return the distances that TFDV has measured of `split`, in the `result` of its validation."""
    measures = {1: "L-infinity", 2: "Jensen-Shannon", 3: "normalised difference"}
    return [
        Distance(kind, split, ".".join(info.path.step), measures.get(one.type, "?"), one.value, one.threshold)
        for info in result.drift_skew_info
        for kind, found in (("drift", info.drift_measurements), ("skew", info.skew_measurements))
        for one in found
    ]


def sampling_noise(kind: str, values: int, others: int) -> float:
    """Return the distance that two samples of one distribution rarely exceed, three standard deviations, at most 1.

    L-infinity is the difference of a share, whose standard deviation is at most 1/2 sqrt(1/n + 1/m). Of two histograms
    the Jensen-Shannon divergence, in bits, times 8 ln 2 / (1/n + 1/m) is chi-squared with a degree of freedom less than
    they have cells. TFDV (anomalies/metrics.cc) cuts each of two histograms of 10 buckets at the other's boundaries.

    Args:
        kind: `infinity_norm` or `jensen_shannon_divergence`, as TFDV's comparators name them.
        values: How many values one sample has.
        others: How many the other has.

    Example:
        >>> round(sampling_noise("infinity_norm", 10_000, 10_000), 3)
        0.021
        >>> sampling_noise("infinity_norm", 14, 2)
        1.0
    """
    both = 1 / max(values, 1) + 1 / max(others, 1)
    if kind == "infinity_norm":
        return min(1.0, 1.5 * math.sqrt(both))
    return min(1.0, (_CELLS - 1 + 3 * math.sqrt(2 * (_CELLS - 1))) / (8 * math.log(2)) * both)


def values_of(statistics: Statistics, feature: str) -> int:
    """Return how many rows have a value of `feature`; 0 where there are no statistics of it."""
    found = _found(statistics, feature)
    return int(getattr(found, found.WhichOneof("stats")).common_stats.num_non_missing) if found else 0


def share_of(statistics: "Statistics | None", feature: str, value: str) -> float:
    """Return the share of a categorical feature's values that are `value`, 0 to 1; 0.0 without statistics of it."""
    found = _found(statistics, feature)
    buckets = found.string_stats.rank_histogram.buckets if found else ()
    total = sum(bucket.sample_count for bucket in buckets)
    return float(sum(one.sample_count for one in buckets if one.label == value) / max(total, 1))


def _found(statistics: "Statistics | None", feature: str) -> "statistics_pb2.FeatureNameStatistics | None":
    features = statistics.datasets[0].features if statistics else ()
    return next((own for own in features if ".".join(own.path.step) == feature), None)
