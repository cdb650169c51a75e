"""Record of a push: the version's tags and description, the pipeline run's tag, the step's own output."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from berth.code_version import code_version
from berth.data.dataset import SPLITS, Manifest
from berth.models.package import ModelInterface
from berth.reports.markdown import escaped, table
from berth.tracking import pipeline_run, tags
from berth.tracking.artifacts import unpacked
from berth.tracking.step_run import end_run, log_to_parent, step_run
from components.push.step import Pushed

_HEADLINE = ("accuracy", "macro_f1")
_LABELS = 20
"""Labels that a description names."""


def register_as_step(
    step: str,
    register: Callable[[ModelInterface, Mapping[str, Any], str], Pushed],
    model: Any,
    dataset: Any,
    report: Any,
    name: str,
    settings_digest: str,
    output: Any,
) -> None:
    """Run push or refuse as a step: call `register` with what is recorded, and write the step's output.

    Args:
        step: `push` or `refuse`.
        register: Takes the model's interface, and the tags and the description of its version.
        model: The artifacts that KFP passes to the step; `output` is the one that it writes.
        dataset: See `model`.
        report: See `model`.
        name: Of the registered model.
        settings_digest: From compare.
        output: See `model`.
    """
    upstream = [dataset.metadata, model.metadata, report.metadata]
    with step_run(step, {"model_name": name}, upstream) as run:
        done = register(
            ModelInterface.of(model.metadata, model.path),
            version_tags(report.metadata, dataset.metadata, settings_digest),
            description(report.metadata, Manifest.read(dataset.path)),
        )
        output.metadata.update(record_version(done, output.path))
        output.metadata[tags.RUN_ID] = run.info.run_id
    end_run()


def version_tags(report: Mapping[str, Any], dataset: Mapping[str, Any], settings_digest: str) -> dict[str, str]:
    """Return a version's tags: what it was made of, by which pipeline run, its verdict, and the gates that failed."""
    failed = [gate for gate in unpacked(report, "gates", []) if gate.get("outcome") == "fail"]
    return {
        tags.PIPELINE_RUN: pipeline_run.parent_run().info.run_id,
        tags.FINGERPRINT: dataset.get("fingerprint", ""),
        tags.SETTINGS: settings_digest,
        tags.CODE: code_version(),
        tags.VERDICT: report.get("verdict", ""),
        **{f"{tags.GATE}{gate['name']}": str(gate.get("words", "failed")) for gate in failed},
    }


def description(report: Mapping[str, Any], dataset: Manifest) -> str:
    """Return in Markdown what a version was trained on, by which run, and how it did; what comes from data is escaped.

    `report` is the metadata of evaluate's report, which may lack anything.
    """
    run = pipeline_run.parent_run()
    scores = unpacked(report, "scores", {})
    # The list of versions shows the first line, and its Markdown as it is written.
    head, _, why = str(report.get("verdict", "no verdict")).partition(": ")
    lines = [", ".join([head, *(f"{name} {scores[name]:.4f}" for name in _HEADLINE if name in scores)]), ""]
    lines += [escaped(why), ""] if why else []
    lines += [_trained_on(dataset, run.data.params), ""]
    lines += [f"By the MLflow run {escaped(run.info.run_name)} (`{run.info.run_id}`).", ""]
    if scores:
        lines += [*table(["metric", "value"], [[name, f"{scores[name]:.4f}"] for name in sorted(scores)]), ""]
    if gates := unpacked(report, "gates", []):
        cells = [[str(gate.get(key, "")) for key in ("name", "outcome", "words")] for gate in gates]
        lines += [*table(["gate", "outcome", "in words"], cells), ""]
    return "\n".join(lines).rstrip() + "\n"


def record_version(done: Pushed, path: str) -> dict[str, str]:
    """Write the step's output to `path`, name the version on the pipeline run, and return the output's metadata."""
    facts = {"name": done.name, "version": str(done.version), "folder": done.folder}
    Path(path).write_text(json.dumps(facts), encoding="utf-8")
    log_to_parent(tags={tags.MODEL_VERSION: f"{done.name}/{done.version}"})
    return {**facts, "summary": str(done)}


def _trained_on(dataset: Manifest, params: Mapping[str, str]) -> str:
    counts = ", ".join(f"{dataset.rows[split]:,} {split}" for split in SPLITS)
    shown = [escaped(label) for label in dataset.labels[:_LABELS]] + ["..."] * (len(dataset.labels) > _LABELS)
    sentence = f"Trained on the dataset `{dataset.fingerprint[:16]}` ({counts} texts)"
    sentence += f", {len(dataset.labels)} labels: {', '.join(shown)}"
    return f"{sentence}; encoder {escaped(params['encoder'])}." if "encoder" in params else f"{sentence}."
