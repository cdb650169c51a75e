"""Record of a push: the version's tags and description, the pipeline run's tag, the step's own output."""

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from berth.code_version import code_version
from berth.data.dataset import SPLITS, Manifest
from berth.data.seen_texts import FILE, SeenTexts
from berth.models.package import EncoderInterface, Interface, ModelInterface
from berth.registry import versions
from berth.reports.markdown import escaped, table
from berth.settings import TRUNCATE
from berth.tracking import pipeline_run, tags
from berth.tracking.artifacts import unpacked
from berth.tracking.step_run import end_run, log_to_parent, step_run
from components.push.step import Pushed

_HEADLINE = ("accuracy", "macro_f1")
_ENCODER_HEADLINE = ("mlm_loss", "mlm_accuracy")
_LABELS = 20
"""Labels that a description names."""


class Artifact(Protocol):
    """An artifact as KFP passes it to a step."""

    path: str
    metadata: dict[str, str]
    """What berth.tracking.artifacts can put there."""


Register = Callable[[Interface, Mapping[str, str], str], Pushed]
"""Takes a model's interface, and the tags and the description of its version."""


def register_as_step(
    step: str,
    register: Register,
    model: Artifact,
    dataset: Artifact,
    report: Artifact,
    name: str,
    settings_digest: str,
    output: Artifact,
) -> None:
    """Run push or refuse as a step: call `register` with what is recorded, and write the step's output.

    Args:
        step: `push` or `refuse`.
        register: See `Register`.
        model: The artifacts that KFP passes to the step; `output` is the one that it writes.
        dataset: See `model`.
        report: See `model`.
        name: Of the registered model.
        settings_digest: From compare.
        output: See `model`.
    """

    def recorded() -> tuple[Interface, dict[str, str], str]:
        log_seen_texts(dataset.path)
        trained_on = _trained_on(Manifest.read(dataset.path), pipeline_run.parent_run().data.params)
        return (
            ModelInterface.of(model.metadata, model.path),
            version_tags(report.metadata, dataset.metadata, settings_digest),
            description(report.metadata, trained_on, _HEADLINE),
        )

    _as_step(step, register, recorded, [dataset.metadata, model.metadata, report.metadata], name, output)


def log_seen_texts(dataset: str | Path) -> None:
    """Log to the active run which texts the model has learnt from: a later run does not judge it on them."""
    import mlflow

    with tempfile.TemporaryDirectory(prefix="berth-seen-") as scratch:
        SeenTexts.of(dataset).write(Path(scratch) / FILE)
        mlflow.log_artifact(str(Path(scratch) / FILE))


def register_encoder_as_step(
    step: str, register: Register, encoder: Artifact, corpus: Artifact, report: Artifact, name: str, output: Artifact
) -> None:
    """Run push_encoder or refuse_encoder as a step; the arguments are as those of register_as_step."""

    def recorded() -> tuple[Interface, dict[str, str], str]:
        facts, told = encoder.metadata, version_tags(report.metadata, corpus.metadata, "")
        made = f"Pre-trained on the corpus `{corpus.metadata.get('fingerprint', '')[:16]}`"
        made += f" ({escaped(corpus.metadata.get('summary', ''))}); {escaped(facts.get('summary', ''))}."
        made += f"\n\nIt began from {escaped(facts['encoder'])}." if "encoder" in facts else ""
        made += f"\n\nA training takes it as `encoder: models:/{name}/VERSION`, or as `models:/{name}@{tags.CHAMPION}` "
        made += f'while it is the champion; `berth fill {name} "some [MASK] text"` shows what it knows.'
        return (
            EncoderInterface(int(facts["hidden"]), unpacked(facts, "requirements", [])),
            {name: value for name, value in told.items() if value} | {tags.KIND: tags.ENCODER},
            description(report.metadata, made, _ENCODER_HEADLINE),
        )

    upstream = [corpus.metadata, encoder.metadata, report.metadata]
    _as_step(step, register, recorded, upstream, name, output)


def _as_step(
    step: str,
    register: Register,
    recorded: Callable[[], tuple[Interface, dict[str, str], str]],
    upstream: list[dict[str, str]],
    name: str,
    output: Artifact,
) -> None:
    with step_run(step, {"model_name": name}, upstream) as run:
        done = register(*recorded())
        if begun_from := pipeline_run.parent_run().data.tags.get(tags.ENCODER_VERSION):
            encoder, _, version = begun_from.rpartition("/")
            versions.set_tag(encoder, int(version), f"{tags.USED_BY}{done.name}", str(done.version))
        output.metadata.update(record_version(done, output.path))
        output.metadata[tags.RUN_ID] = run.info.run_id
    end_run()


def version_tags(report: Mapping[str, str], dataset: Mapping[str, str], settings_digest: str) -> dict[str, str]:
    """Return a version's tags: what it was made of, by which pipeline run, its verdict, and the gates that failed."""
    gates: list[dict[str, str]] = unpacked(report, "gates", [])
    failed = [gate for gate in gates if gate.get("outcome") == "fail"]
    return {
        tags.PIPELINE_RUN: pipeline_run.parent_run().info.run_id,
        tags.FINGERPRINT: dataset.get("fingerprint", ""),
        tags.SETTINGS: settings_digest,
        tags.CODE: code_version(),
        tags.VERDICT: report.get("verdict", ""),
        **{f"{tags.GATE}{gate['name']}": str(gate.get("words", "failed")) for gate in failed},
    }


def description(report: Mapping[str, str], trained_on: str, headline: Sequence[str]) -> str:
    """Return in Markdown what a version was trained on, by which run, and how it did; what comes from data is escaped.

    `report` is the metadata of the report that judged it, which may lack anything; the first line names the scores of
    `headline`.
    """
    run = pipeline_run.parent_run()
    scores: dict[str, float] = unpacked(report, "scores", {})
    gates: list[dict[str, str]] = unpacked(report, "gates", [])
    # The list of versions shows the first line, and its Markdown as it is written.
    head, _, why = str(report.get("verdict", "no verdict")).partition(": ")
    lines = [", ".join([head, *(f"{name} {scores[name]:.4f}" for name in headline if name in scores)]), ""]
    lines += [escaped(why), ""] if why else []
    lines += [trained_on, ""]
    lines += [f"By the MLflow run {escaped(run.info.run_name)} (`{run.info.run_id}`).", ""]
    if scores:
        lines += [*table(["metric", "value"], [[name, f"{scores[name]:.4f}"] for name in sorted(scores)]), ""]
    if gates:
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
    if "encoder" in params:
        sentence += f"; encoder {escaped(params['encoder'])}"
    if (long_texts := params.get("long_texts", TRUNCATE)) != TRUNCATE:
        sentence += f"; long texts are read in full ({escaped(long_texts)})"
    return f"{sentence}."
