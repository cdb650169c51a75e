"""The validate step: dataset in; statistics, anomalies and a report out."""

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from berth.data.dataset import SPLITS, Manifest
from berth.encoders.wordpiece import Vocabulary
from berth.settings import Checks
from berth.statistics import schema as schemas
from berth.statistics.distances import Distance, Statistics, sampling_noise, values_of
from berth.statistics.text_features import SAMPLED, TextFeatures
from berth.statistics.tfdv import Scan, in_memory, scan_only, with_beam
from components.validate import report as reports
from components.validate.checks import OF_A_SAMPLE, Anomaly, add_to_tfdv, from_tfdv, of_the_whole

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2


@dataclass(frozen=True)
class Baseline:
    """Output of the champion's validation: its schema, and the statistics of its train split."""

    schema: str
    statistics: bytes
    vocabulary: str = ""
    """What its tokens are of, as `tokens_of` has it; empty: not known."""

    @classmethod
    def read(cls, folder: Path | None, schema: Path | None, vocabulary: str = "") -> "Baseline | None":
        """Return the baseline in the fetched artifacts; None if the champion has none."""
        file = folder / "train.pb" if folder else None
        if file is None or schema is None or not file.is_file():
            return None
        return cls(schema.read_text(encoding="utf-8"), file.read_bytes(), vocabulary)

    def has_other_tokens(self, vocabulary: Vocabulary | None) -> bool:
        """Return whether its texts were counted in tokens of another vocabulary, so that counts cannot be compared."""
        return self.vocabulary not in ("", tokens_of(vocabulary))


def tokens_of(vocabulary: Vocabulary | None) -> str:
    """Return what identifies the tokens of `vocabulary`; None: they are words."""
    return vocabulary.digest if vocabulary else "words"


@dataclass(frozen=True)
class Outputs:
    """Output paths of the step: folders for <split>.pb and <split>.pbtxt, and two files."""

    statistics: Path
    schema: Path
    anomalies: Path
    report: Path


@dataclass(frozen=True)
class Validation:
    """The result of validation; anomalies of severity `ignore` are left out."""

    anomalies: list[Anomaly]
    distances: list[Distance]
    schema_source: str

    @property
    def errors(self) -> list[Anomaly]:
        return [anomaly for anomaly in self.anomalies if anomaly.severity == "error"]


def validate_dataset(
    dataset: str | Path,
    schema_text: str,
    outputs: Outputs,
    *,
    checks: Checks,
    vocabulary: Vocabulary | None,
    sequence_length: int,
    baseline: Baseline | None = None,
    beam_args: Sequence[str] = (),
) -> Validation:
    """Validate the dataset's splits, and write the statistics, the schema, TFDV's anomalies and the report.

    The schema is `schema_text`, else the baseline's, else inferred from the train split. With `beam_args` Apache Beam
    computes the statistics. Where an error could rest on a sample of the texts, or be hidden by it, all are looked at.

    Raises:
        BerthError: `schema_text` is not a TFDV schema, or the Beam pipeline fails.
    """
    # Parsed before anything is written: the user has to fix an invalid schema.
    given = schemas.parse(schema_text) if schema_text else None
    manifest = Manifest.read(dataset)
    features = TextFeatures(vocabulary, sequence_length, checks, manifest.pairs)

    def validate(sample: int) -> Validation:
        for folder in (outputs.statistics, outputs.anomalies):
            shutil.rmtree(folder, ignore_errors=True)
        statistics, scans = _statistics(dataset, features, sample, list(beam_args))
        return _validated(dataset, given, outputs, checks, baseline, features, statistics, scans, vocabulary)

    sample = 0 if _bounds_each_text(given, checks) else checks.sample
    found = validate(sample)
    if 0 < sample < max(manifest.rows.values()):
        if any(error.feature in SAMPLED for error in found.errors):
            print("an error rests on a sample of the texts: all of them are looked at", flush=True)
            found = validate(0)
        elif any(_is_in_doubt(distance, sample, checks) for distance in found.distances):
            print("a distance of a sample of the texts is near its bound: all of them are looked at", flush=True)
            found = validate(0)
    return found


def _bounds_each_text(schema: "schema_pb2.Schema | None", checks: Checks) -> bool:
    """Return whether an error may be about a few texts, which a sample can lack."""
    if any(checks.severity_of(kind) == "error" for kind in OF_A_SAMPLE):
        return True
    strict = any(checks.severity_of(kind) == "error" for kind in ("schema", "unexpected_value"))
    features = schema.feature if schema is not None and strict else ()
    return any(feature.name in SAMPLED and feature.WhichOneof("domain_info") for feature in features)


def _is_in_doubt(distance: Distance, sample: int, checks: Checks) -> bool:
    """Return whether all texts could be further from the baseline than its bound, though the sample is not.

    The difference of two shares in samples has a standard deviation of at most sqrt(0.5 / sample); four of them.
    """
    if distance.feature not in SAMPLED or checks.severity_of(distance.kind) != "error":
        return False
    return distance.value + 4 * math.sqrt(0.5 / sample) > distance.threshold


def _statistics(
    dataset: str | Path, features: TextFeatures, sample: int, beam_args: list[str]
) -> tuple[dict[str, Statistics], dict[str, Scan]]:
    statistics: dict[str, Statistics] = {}
    scans: dict[str, Scan] = {}
    for split in SPLITS:
        if beam_args:
            statistics[split] = with_beam(dataset, split, features, sample, beam_args)
            scans[split] = scan_only(dataset, split, features, sample)
        else:
            statistics[split], scans[split] = in_memory(dataset, split, features, sample)
    return statistics, scans


def _validated(
    dataset: str | Path,
    given: "schema_pb2.Schema | None",
    outputs: Outputs,
    checks: Checks,
    baseline: Baseline | None,
    features: TextFeatures,
    statistics: dict[str, Statistics],
    scans: dict[str, Scan],
    vocabulary: Vocabulary | None,
) -> Validation:
    import tensorflow_data_validation as tfdv

    manifest = Manifest.read(dataset)
    outputs.statistics.mkdir(parents=True)
    for split, values in statistics.items():
        (outputs.statistics / f"{split}.pb").write_bytes(values.SerializeToString())

    if given is not None:
        schema, source = given, "the configuration's"
    elif baseline:
        schema, source = schemas.parse(baseline.schema), "the champion's"
    else:
        schema, source = schemas.infer(statistics["train"]), "inferred from the train split"
    outputs.schema.parent.mkdir(parents=True, exist_ok=True)
    tfdv.write_schema_text(schema, str(outputs.schema))

    completed = schemas.completed(schema, checks)
    if baseline and baseline.has_other_tokens(vocabulary):
        completed = _without(completed, ["drift_comparator"], only="token_count")
    found, distances = _judge(dataset, completed, statistics, scans, manifest, checks, baseline, outputs)
    anomalies = [anomaly for anomaly in found if anomaly.severity != "ignore"]
    outputs.report.parent.mkdir(parents=True, exist_ok=True)
    page = reports.render(
        manifest,
        statistics,
        scans,
        anomalies,
        distances,
        schema_source=source,
        vocabulary=f"tokens of {vocabulary.source}" if vocabulary else "words, as there is no vocabulary",
        longest=features.longest,
        has_baseline=baseline is not None,
    )
    outputs.report.write_text(page, encoding="utf-8")
    return Validation(anomalies, distances, source)


def _judge(
    dataset: str | Path,
    schema: "schema_pb2.Schema",
    statistics: dict[str, Statistics],
    scans: dict[str, Scan],
    manifest: Manifest,
    checks: Checks,
    baseline: Baseline | None,
    outputs: Outputs,
) -> tuple[list[Anomaly], list[Distance]]:
    """Compare every split with the schema and its baselines, and write TFDV's anomalies."""
    import tensorflow_data_validation as tfdv
    from tensorflow_metadata.proto.v0 import statistics_pb2

    champion = statistics_pb2.DatasetFeatureStatisticsList.FromString(baseline.statistics) if baseline else None
    outputs.anomalies.mkdir(parents=True)
    anomalies: list[Anomaly] = []
    distances: list[Distance] = []
    for split in SPLITS:
        # Compare only features with a baseline: TFDV reports a missing one as an anomaly.
        own = _without(
            schema,
            (["skew_comparator"] if split == "train" else [])
            + ([] if champion and split == "train" else ["drift_comparator"]),
        )
        reference = champion if split == "train" else statistics["train"]
        if reference:
            _raise_thresholds(own, statistics[split], reference)
        result = tfdv.validate_statistics(
            statistics[split],
            own,
            previous_statistics=reference if split == "train" else None,
            serving_statistics=reference if split != "train" else None,
        )
        add_to_tfdv(result, statistics[split], checks)
        tfdv.write_anomalies_text(result, str(outputs.anomalies / f"{split}.pbtxt"))
        listed, measured = from_tfdv(
            split, result, statistics[split], reference, schema, manifest, scans[split], checks
        )
        anomalies += listed
        distances += measured
    return anomalies + of_the_whole(dataset, manifest, scans, checks), distances


def _raise_thresholds(schema: "schema_pb2.Schema", statistics: Statistics, reference: Statistics) -> None:
    """Raise the thresholds of `schema` to what samples as small as these differ by if nothing has changed."""
    for feature in schema.feature:
        sizes = values_of(statistics, feature.name), values_of(reference, feature.name)
        for comparator in (feature.skew_comparator, feature.drift_comparator):
            for kind in ("infinity_norm", "jensen_shannon_divergence"):
                if comparator.HasField(kind):
                    own = getattr(comparator, kind)
                    own.threshold = max(own.threshold, sampling_noise(kind, *sizes))


def _without(schema: "schema_pb2.Schema", comparators: Sequence[str], only: str = "") -> "schema_pb2.Schema":
    """Return `schema` without the `comparators` of its features, or of the feature `only`."""
    copy = type(schema)()
    copy.CopyFrom(schema)
    for feature in copy.feature:
        for comparator in comparators if only in ("", feature.name) else ():
            feature.ClearField(comparator)
    return copy
