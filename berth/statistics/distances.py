"""Distances between the statistics of two datasets."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import anomalies_pb2, statistics_pb2

Statistics: TypeAlias = "statistics_pb2.DatasetFeatureStatisticsList"
"""TFDV's statistics of a split, or of several."""


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
    for found in statistics.datasets[0].features if statistics else ():
        if ".".join(found.path.step) == feature:
            return float(found.num_stats.mean)
    return 0.0


def distances(split: str, result: "anomalies_pb2.Anomalies") -> list[Distance]:
    """Return the distances that TFDV has measured of `split`, in the `result` of its validation."""
    measures = {1: "L-infinity", 2: "Jensen-Shannon", 3: "normalised difference"}
    return [
        Distance(kind, split, ".".join(info.path.step), measures.get(one.type, "?"), one.value, one.threshold)
        for info in result.drift_skew_info
        for kind, found in (("drift", info.drift_measurements), ("skew", info.skew_measurements))
        for one in found
    ]


def share_of(statistics: "Statistics | None", feature: str, value: str) -> float:
    """Return the share of a categorical feature's values that are `value`, 0 to 1; 0.0 without statistics of it."""
    for found in statistics.datasets[0].features if statistics else ():
        if ".".join(found.path.step) == feature:
            buckets = found.string_stats.rank_histogram.buckets
            total = sum(bucket.sample_count for bucket in buckets)
            return float(sum(one.sample_count for one in buckets if one.label == value) / max(total, 1))
    return 0.0
