"""The validate step: statistics per split, a schema, and what in the splits is against the schema."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from components.common.dataset import LABEL, SPLITS, TEXT, Manifest, read_split
from components.common.errors import BerthError

_DOMAIN_LIMIT = 10_000
"""Distinct values up to which TFDV may take a feature for a closed vocabulary; the label always is one."""
_LONGEST_LINE = 300
"""Characters of an anomaly's line; TFDV lists every unexpected value, and its own words are whole in the artifact."""


@dataclass(frozen=True)
class Anomaly:
    """One thing that TFDV found: in which split, at which feature, and its own words for it."""

    split: str
    feature: str
    what: str

    def __str__(self) -> str:
        return f"{self.split}.{self.feature}: {self.what}"


def validate_dataset(
    dataset: str | Path, schema_text: str, statistics: str | Path, used_schema: str | Path, anomalies: str | Path
) -> list[Anomaly]:
    """Return the anomalies of the dataset's splits against a schema, and write all three artifacts.

    Args:
        dataset: Folder of the dataset.
        schema_text: A TFDV schema in text form, or empty: it is inferred from the train split.
        statistics: Folder for <split>.pb, TFDV's statistics in binary form.
        used_schema: File for the schema that was used, in text form.
        anomalies: Folder for <split>.pbtxt, TFDV's anomalies in text form.

    Raises:
        BerthError: `schema_text` is no TFDV schema.
    """
    import tensorflow_data_validation as tfdv

    # Before anything is written: a schema that cannot be read is the user's to mend.
    schema = _parse(schema_text) if schema_text else None
    labels = len(Manifest.read(dataset).labels)
    found = {split: _statistics(dataset, split, labels) for split in SPLITS}
    Path(statistics).mkdir(parents=True)
    for split, values in found.items():
        (Path(statistics) / f"{split}.pb").write_bytes(values.SerializeToString())

    if schema is None:
        schema = _infer(found["train"])
    Path(used_schema).parent.mkdir(parents=True, exist_ok=True)
    tfdv.write_schema_text(schema, str(used_schema))

    Path(anomalies).mkdir(parents=True)
    listed: list[Anomaly] = []
    for split, values in found.items():
        result = tfdv.validate_statistics(values, schema)
        tfdv.write_anomalies_text(result, str(Path(anomalies) / f"{split}.pbtxt"))
        listed += _list(split, result)
    return listed


def _statistics(dataset: str | Path, split: str, number_of_labels: int) -> Any:
    """Return the TFDV statistics of `split`."""
    import pandas as pd
    import tensorflow_data_validation as tfdv

    # What a domain is inferred from and judged by; TFDV keeps 1,000 values if it is not told.
    options = tfdv.StatsOptions(num_rank_histogram_buckets=max(1_000, number_of_labels))
    texts, labels = read_split(dataset, split)
    return tfdv.generate_statistics_from_dataframe(pd.DataFrame({TEXT: texts, LABEL: labels}), options, n_jobs=1)


def _infer(statistics: Any) -> Any:
    """Return the schema of the train split: every row has one text and one label of the labels there are."""
    import tensorflow_data_validation as tfdv

    schema = tfdv.infer_schema(statistics, infer_feature_shape=True, max_string_domain_size=_DOMAIN_LIMIT)
    text = tfdv.get_feature(schema, TEXT)
    if text.WhichOneof("domain_info") == "domain":  # free text is no vocabulary, however few texts there are
        domain = next(found for found in schema.string_domain if found.name == text.domain)
        schema.string_domain.remove(domain)
        text.ClearField("domain")
    text.ClearField("distribution_constraints")
    return schema


def _parse(text: str) -> Any:
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        return text_format.Parse(text, schema_pb2.Schema())
    except text_format.ParseError as error:
        raise BerthError(f"schema: not a TFDV schema ({error}). Start from the one that a run writes.") from None


def _list(split: str, result: Any) -> list[Anomaly]:
    """Return TFDV's anomalies, of the dataset as a whole and of its features."""
    listed = []
    if result.HasField("dataset_anomaly_info"):
        listed.append(Anomaly(split, "rows", _one_line(result.dataset_anomaly_info)))
    for name, info in sorted(result.anomaly_info.items()):
        listed.append(Anomaly(split, name, _one_line(info)))
    return listed


def _one_line(info: Any) -> str:
    """Return TFDV's words for an anomaly: its kind, then what was expected and what was found."""
    kind, words = info.short_description.rstrip(". "), info.description
    line = " ".join((words if words.startswith(kind) else f"{kind}. {words}").split())
    return line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..."
