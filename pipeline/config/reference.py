"""The reference of the run configuration, in Markdown."""

import types
import typing
from typing import Annotated, Any, Literal

from berth.cluster_settings import Cluster, StepResources
from berth.data.source import Source
from berth.pretraining.settings import EncoderGates, NewEncoder, Pretraining, Probe
from berth.settings import (
    KINDS,
    Checks,
    Cleaning,
    Evaluation,
    Gates,
    Notify,
    RareLabels,
    Section,
    Split,
)
from berth.training.settings import Training
from pipeline.config.auto import Auto
from pipeline.config.pipeline_config import PIPELINE
from pipeline.config.pretraining_config import PretrainingConfig
from pipeline.config.run_config import RunConfig


def reference() -> str:
    """Return the reference of the configuration file as Markdown tables."""
    parts = ["# Configuration", "", "Written by `berth config docs`; one YAML file is one run.", ""]
    parts += [
        "Plain values are read as they are written (YAML 1.2): the labels `no`, `on` and `01` need no quotes, and",
        "numbers and `true` are what their fields make of them. `null`, `~` or nothing means no value. A key that is",
        "given twice is an error.",
        "",
    ]
    sections: list[tuple[str, type[Section]]] = [("", RunConfig), ("source.", Source), ("split.", Split)]
    sections += [("rare_labels.", RareLabels), ("cleaning.", Cleaning), ("checks.", Checks)]
    sections += [("training.", Training), ("evaluation.", Evaluation), ("gates.", Gates)]
    sections += [("notify.", Notify), ("cluster.", Cluster), ("cluster.resources.STEP.", StepResources)]
    for prefix, section in sections:
        parts += _table("##", prefix.rstrip(".") or "Run", prefix, section)
        if section is Checks:
            parts += ["| kind of anomaly | default severity | what it says |", "| --- | --- | --- |"]
            parts += [f"| `{kind}` | `{severity}` | {meaning} |" for kind, (severity, meaning) in KINDS.items()]
            parts.append("")
    parts += ["## Pre-training run", ""]
    parts += [
        f"A configuration of the pre-training pipeline says so: `{PIPELINE}: {PretrainingConfig.kind}`.",
        "`source`, `cleaning`, `notify` and `cluster` are as above. See [pretraining.md](pretraining.md).",
        "",
    ]
    pretraining: list[tuple[str, type[Section]]] = [("", PretrainingConfig), ("pretraining.", Pretraining)]
    pretraining += [("encoder.", NewEncoder), ("probe.", Probe), ("gates.", EncoderGates)]
    for prefix, section in pretraining:
        parts += _table("###", f"Pre-training: {prefix.rstrip('.') or 'run'}", prefix, section)
    return "\n".join(parts)


def _table(level: str, title: str, prefix: str, section: type[Section]) -> list[str]:
    lines = [f"{level} {title}", "", (section.__doc__ or "").strip(), ""]
    lines += ["| field | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in section.model_fields.items():
        default = "required" if field.is_required() else _show_default(field.default)
        kind = _type_name(field.annotation)
        if Auto in field.metadata:
            default, kind = "`auto`", f"{kind} or `auto`"
        cells = (f"`{prefix}{field.alias or name}`", kind, default, field.description or "")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return [*lines, ""]


def _show_default(default: object) -> str:
    if isinstance(default, Section):
        return "see below"
    return "" if default is None or default in ("", [], {}) else f"`{default}`"


def _type_name(annotation: Any) -> str:
    if typing.get_origin(annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in typing.get_args(annotation))
    if typing.get_origin(annotation) is Annotated:
        return _type_name(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return " or ".join(_type_name(part) for part in typing.get_args(annotation) if part is not type(None))
    if typing.get_origin(annotation) is list:
        return "list of " + _type_name(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) is dict:
        return "mapping"
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "text or section" if annotation is Source else "section"
    return {str: "text", int: "integer", float: "number", bool: "true or false"}[annotation]
