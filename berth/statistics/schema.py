"""TFDV schemas: read them, infer them, complete them with the derived features, and compare them in words."""

from typing import TYPE_CHECKING

from berth.data.dataset import LABEL, PAIR, TEXT
from berth.errors import BerthError
from berth.settings import Checks
from berth.statistics.text_features import CATEGORIES, COMPARED, DERIVED

if TYPE_CHECKING:
    from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

_DOMAIN_LIMIT = 10_000
"""Most distinct values of a feature that TFDV may treat as a closed vocabulary; the label always is one."""
_LISTED = 8


def parse(text: str) -> "schema_pb2.Schema":
    """Return the schema in `text`.

    Raises:
        BerthError: it is not a TFDV schema in text form, or it does not have a feature.
    """
    from google.protobuf import text_format
    from tensorflow_metadata.proto.v0 import schema_pb2

    try:
        schema = text_format.Parse(text, schema_pb2.Schema())
    except text_format.ParseError as error:
        raise BerthError(f"schema: not a TFDV schema ({error}). Start from 'berth schema infer CONFIG'.") from None
    if not schema.feature:
        raise BerthError("schema: has no feature. Start from 'berth schema infer CONFIG'.")
    return schema


def infer(statistics: "statistics_pb2.DatasetFeatureStatisticsList") -> "schema_pb2.Schema":
    """Return the schema of the train split: its columns and its labels."""
    import tensorflow_data_validation as tfdv

    schema = tfdv.infer_schema(statistics, infer_feature_shape=False, max_string_domain_size=_DOMAIN_LIMIT)
    for feature in list(schema.feature):
        if feature.name in DERIVED:
            _forget_domain(schema, feature)
            schema.feature.remove(feature)
    for name in (TEXT, PAIR):
        for feature in schema.feature:
            if feature.name == name:  # free text is not a vocabulary, however few texts there are
                _forget_domain(schema, feature)
                feature.ClearField("distribution_constraints")
    return schema


def _forget_domain(schema: "schema_pb2.Schema", feature: "schema_pb2.Feature") -> None:
    if feature.WhichOneof("domain_info") == "domain":
        for domain in [found for found in schema.string_domain if found.name == feature.domain]:
            schema.string_domain.remove(domain)
        feature.ClearField("domain")


def completed(schema: "schema_pb2.Schema", checks: Checks) -> "schema_pb2.Schema":
    """Return `schema` with the derived features, and with drift and skew thresholds where it does not set them."""
    from tensorflow_metadata.proto.v0 import schema_pb2

    whole = schema_pb2.Schema()
    whole.CopyFrom(schema)
    known = {feature.name for feature in whole.feature}
    for name in DERIVED:
        if name not in known:
            kind = schema_pb2.BYTES if name in CATEGORIES else schema_pb2.FLOAT if "share" in name else schema_pb2.INT
            whole.feature.add(name=name, type=kind)
    for feature in whole.feature:
        for comparator, categories, numbers in (
            ("drift_comparator", checks.drift_categories, checks.drift_numbers),
            ("skew_comparator", checks.skew_categories, checks.skew_numbers),
        ):
            if feature.HasField(comparator):
                continue
            if feature.name in (LABEL, *CATEGORIES):
                getattr(feature, comparator).infinity_norm.threshold = categories
            elif feature.name in COMPARED:
                getattr(feature, comparator).jensen_shannon_divergence.threshold = numbers
    return whole


def domain(schema: "schema_pb2.Schema", name: str) -> list[str] | None:
    """Return the values that the schema allows the feature `name`; None: any."""
    for feature in schema.feature:
        if feature.name != name:
            continue
        kind = feature.WhichOneof("domain_info")
        if kind == "string_domain":
            return list(feature.string_domain.value)
        if kind == "domain":
            return next((list(found.value) for found in schema.string_domain if found.name == feature.domain), None)
        if kind == "bool_domain":
            return [feature.bool_domain.false_value or "false", feature.bool_domain.true_value or "true"]
        if kind == "int_domain" and feature.int_domain.HasField("min") and feature.int_domain.HasField("max"):
            return [str(value) for value in range(feature.int_domain.min, feature.int_domain.max + 1)]
    return None


def explain_difference(old: "schema_pb2.Schema", new: "schema_pb2.Schema") -> list[str]:
    """Describe what changed from `old` to `new`, one line per change; empty if they mean the same."""
    before = {feature.name: feature for feature in old.feature}
    after = {feature.name: feature for feature in new.feature}
    lines = [f"{name}: the column is gone" for name in before if name not in after]
    lines += [f"{name}: a new column of {_kind(feature)}" for name, feature in after.items() if name not in before]
    for name in before.keys() & after.keys():
        lines += [f"{name}: {change}" for change in _changes(old, new, before[name], after[name])]
    return sorted(lines)


def _changes(
    old: "schema_pb2.Schema", new: "schema_pb2.Schema", before: "schema_pb2.Feature", after: "schema_pb2.Feature"
) -> list[str]:
    changes = []
    if before.type != after.type:
        changes.append(f"held {_kind(before)}, and holds {_kind(after)} now")
    changes += _changes_of_domain(domain(old, before.name), domain(new, after.name))
    for field, words in (("min_fraction", "share of rows that have it"), ("min_count", "number of rows that have it")):
        if getattr(before.presence, field) != getattr(after.presence, field):
            changes.append(
                f"least {words} was {getattr(before.presence, field):g}, and is {getattr(after.presence, field):g} now"
            )
    if (before.value_count.min, before.value_count.max) != (after.value_count.min, after.value_count.max):
        changes.append(f"held {_count(before)} a row, and holds {_count(after)} now")
    for comparator in ("drift_comparator", "skew_comparator"):
        if getattr(before, comparator) != getattr(after, comparator):
            changes.append(f"another threshold of {comparator.removesuffix('_comparator')}")
    return changes


def _changes_of_domain(was: list[str] | None, is_now: list[str] | None) -> list[str]:
    changes = []
    if was is None and is_now is not None:
        changes.append(f"took any value, and takes only {_listed(is_now)} now")
    elif was is not None and is_now is None:
        changes.append(f"took only {_listed(was)}, and takes any value now")
    elif was is not None and is_now is not None:
        if added := [value for value in is_now if value not in was]:
            changes.append(f"new value{'s' * (len(added) > 1)} {_listed(added)}")
        if removed := [value for value in was if value not in is_now]:
            changes.append(f"no longer {_listed(removed)}")
    return changes


def _kind(feature: "schema_pb2.Feature") -> str:
    return {1: "text", 2: "whole numbers", 3: "numbers"}.get(feature.type, "values of no stated type")


def _count(feature: "schema_pb2.Feature") -> str:
    least, most = feature.value_count.min, feature.value_count.max
    if not most:
        return f"{least} or more values" if least else "any number of values"
    return f"{least} to {most} values" if least != most else f"{least} value{'s' * (least != 1)}"


def _listed(values: list[str]) -> str:
    shown = ", ".join(repr(value) for value in values[:_LISTED])
    return f"{shown} and {len(values) - _LISTED} more" if len(values) > _LISTED else shown
