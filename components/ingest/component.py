"""KFP interface of ingest, ingest_corpus and ingest_probe, and of `locate` before them, which is never cached."""

from kfp import dsl
from kfp.dsl import Dataset, Output, OutputPath

from berth import images


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def locate(
    source: dict,
    columns: list,
    encoding: str,
    text_column: str,
    text_pair_column: str,
    label_column: str,
    split: dict,
    slice_columns: list,
    name: str,
    pipeline_run_id: str,
    kfp_ui: str,
    git_commit: str,
    config_file: str,
    encoder: str,
    preprocessor: str,
    encoder_fingerprint: OutputPath(str),  # type: ignore[valid-type]
    documents: str = "row",
    exclude: list = [],  # noqa: B006  KFP's own default
    corrections: dict = {},  # noqa: B006  KFP's own default
    model_name: str = "",
    model_kind: str = "",
) -> str:
    """Return the fingerprint of the source. It is an input of ingest, so the cache never serves a changed source.

    `encoder_fingerprint` is one of the steps that use the encoder, so that the cache never serves what was made with
    other files of it; `encoder` is empty where there is none. Test texts to `exclude` count as part of the source.

    As the first step, it also opens the MLflow run of the pipeline run, in the experiment `name`, and refuses a
    `model_name` that models of another kind than `model_kind` have (`encoder`, or empty for classifiers).
    """
    from pathlib import Path

    from berth.encoders import present
    from berth.registry import versions
    from berth.tracking import pipeline_run, tags
    from berth.tracking.step_run import log_to_parent, step_run
    from components.ingest.corpus import exclusion
    from components.ingest.settings import IngestSettings
    from components.ingest.sources.source import fingerprint

    pipeline_run.open_run(name, pipeline_run_id)
    facts = {
        tags.KFP_RUN_ID: pipeline_run.kfp_run_id(pipeline_run_id),
        tags.KFP_RUN_URL: pipeline_run.kfp_run_url(kfp_ui),
        tags.GIT_COMMIT: git_commit,
        tags.CONFIG_FILE: config_file,
    }
    log_to_parent(tags={key: value for key, value in facts.items() if value})
    with step_run("locate"):
        versions.check_kind(model_name or name, model_kind)
        settings = IngestSettings.of(
            source=source,
            columns=columns,
            encoding=encoding,
            text_column=text_column,
            text_pair_column=text_pair_column,
            label_column=label_column,
            split=split,
            slice_columns=slice_columns,
            documents=documents,
            corrections=corrections or None,
        )
        Path(encoder_fingerprint).write_text(present.fingerprint(encoder, preprocessor), encoding="utf-8")
        if version := present.registered_version(encoder):
            log_to_parent(tags={tags.ENCODER_VERSION: version})
        return fingerprint(settings) + exclusion.fingerprint(exclude)


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def ingest(
    source: dict,
    source_fingerprint: str,
    columns: list,
    encoding: str,
    text_column: str,
    text_pair_column: str,
    label_column: str,
    task: str,
    label_separator: str,
    label_map: dict,
    slice_columns: list,
    max_rows: int,
    stratified: bool,
    split: dict,
    rare_labels: dict,
    cleaning: dict,
    memory: str,
    rows_per_shard: int,
    dataset: Output[Dataset],
    rejected: Output[Dataset],
    corrections: dict = {},  # noqa: B006  KFP's own default
) -> None:
    """Read, clean and split the source, with at most `memory`.

    The parameter cannot be called `memory_limit`: kfp passes the memory of a task's pod under that name.
    """
    import tempfile
    from pathlib import Path

    import mlflow

    from berth.data.dataset import SPLITS
    from berth.tracking import tags
    from berth.tracking.step_run import log_datasets, log_to_parent, metric_name, step_run
    from components.ingest import lineage
    from components.ingest.settings import IngestSettings
    from components.ingest.splits import test_texts
    from components.ingest.step import ingest_source

    settings = IngestSettings.of(
        source=source,
        columns=columns,
        encoding=encoding,
        text_column=text_column,
        text_pair_column=text_pair_column,
        label_column=label_column,
        task=task,
        label_separator=label_separator,
        label_map=label_map,
        slice_columns=slice_columns,
        max_rows=max_rows,
        stratified=stratified,
        split=split,
        rare_labels=rare_labels,
        cleaning=cleaning,
        corrections=corrections or None,
        memory_limit=memory,
        rows_per_shard=rows_per_shard,
    )
    with step_run("ingest", settings.parameters()) as run:
        manifest = ingest_source(settings, dataset.path, rejected.path)
        for note in manifest.notes:
            print(f"anomaly warn {note}", flush=True)
        rows = {name: manifest.rows[name] for name in SPLITS}
        log_datasets(lineage.datasets(settings.source, manifest.fingerprint, rows))
        counts = {f"rows_{name}": number for name, number in rows.items()}
        touched = {f"rejected/{reason}": number for reason, number in manifest.rejected.items()}
        touched |= {f"changed/{rule}": number for rule, number in manifest.changed.items()}
        rejections = sum(manifest.rejected.values())
        numbers = {
            "rows_read": manifest.rows_read,
            "duplicates": manifest.duplicates,
            "rejected": rejections,
            **counts,
            **{metric_name(name): number for name, number in touched.items()},
        }
        mlflow.log_metrics(dict[str, float](numbers))
        mlflow.log_artifact(f"{dataset.path}/manifest.json")
        with tempfile.TemporaryDirectory(prefix="berth-ingest-") as scratch:
            keys = Path(scratch, test_texts.FILE)
            test_texts.write_keys(dataset.path, keys)
            mlflow.log_artifact(str(keys))
        mlflow.set_tag(tags.DATASET, dataset.uri)
        log_to_parent(tags={tags.FINGERPRINT: manifest.fingerprint})
        dataset.metadata.update(fingerprint=manifest.fingerprint, **counts)
        facts = {**manifest.rows, "duplicate": manifest.duplicates, "rejected": rejections}
        facts["changed"] = sum(manifest.changed.values())
        dataset.metadata["summary"] = ", ".join(f"{number:,} {name}" for name, number in facts.items() if number)
        dataset.metadata[tags.RUN_ID] = run.info.run_id


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def ingest_corpus(
    source: dict,
    source_fingerprint: str,
    columns: list,
    encoding: str,
    text_column: str,
    documents: str,
    exclude: list,
    held_out: float,
    cleaning: dict,
    memory: str,
    corpus: Output[Dataset],
    rejected: Output[Dataset],
) -> None:
    """Read and clean documents without labels for pre-training, in sentences; hold a share of them out."""
    import mlflow

    from berth.data.corpus import SPLITS
    from berth.tracking import tags
    from berth.tracking.step_run import log_datasets, log_to_parent, metric_name, step_run
    from components.ingest import lineage
    from components.ingest.corpus.step import ingest_documents, notes_on
    from components.ingest.settings import CorpusSettings

    settings = CorpusSettings.of(
        source=source,
        columns=columns,
        encoding=encoding,
        text_column=text_column,
        documents=documents,
        exclude=exclude,
        held_out=held_out,
        cleaning=cleaning,
        memory_limit=memory,
    )
    with step_run("ingest_corpus", settings.parameters()) as run:
        manifest = ingest_documents(settings, corpus.path, rejected.path)
        for note in notes_on(manifest):
            print(f"anomaly warn {note}", flush=True)
        log_datasets(lineage.datasets(settings.source, manifest.digest, manifest.documents))
        dropped = sum(manifest.dropped.values())
        excluded = sum(manifest.excluded.values()) + sum(manifest.excluded_near_duplicates.values())
        counts = {f"documents_{split}": manifest.documents[split] for split in SPLITS}
        counts |= {f"sentences_{split}": manifest.sentences[split] for split in SPLITS}
        counts |= {f"characters_{split}": manifest.characters[split] for split in SPLITS}
        touched = {f"dropped/{reason}": number for reason, number in manifest.dropped.items()}
        touched |= {f"changed/{rule}": number for rule, number in manifest.changed.items()}
        touched |= {f"excluded/{name}": number for name, number in manifest.excluded.items()}
        nearly = manifest.excluded_near_duplicates
        touched |= {f"excluded_near_duplicates/{name}": number for name, number in nearly.items()}
        numbers = {"documents_read": manifest.read, "dropped": dropped, "excluded": excluded, **counts}
        numbers |= {metric_name(name): number for name, number in touched.items()}
        mlflow.log_metrics(dict[str, float](numbers))
        mlflow.log_artifact(f"{corpus.path}/manifest.json")
        log_to_parent(tags={tags.FINGERPRINT: manifest.digest})
        corpus.metadata.update(fingerprint=manifest.digest, **counts)
        facts = {**manifest.documents, "dropped": dropped, "excluded": excluded}
        shown = [f"{number:,} {name.replace('_', ' ')}" for name, number in facts.items() if number]
        corpus.metadata["summary"] = f"{', '.join(shown)}; {sum(manifest.characters.values()):,} characters"
        corpus.metadata[tags.RUN_ID] = run.info.run_id


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def ingest_probe(
    probe: dict, cleaning: dict, memory: str, labelled: Output[Dataset], rejected: Output[Dataset]
) -> None:
    """Read the labelled source of `probe` as ingest reads one; without a probe, write nothing."""
    from pathlib import Path

    import mlflow

    from berth.errors import BerthError
    from berth.pretraining.settings import Probe
    from berth.tracking import tags
    from berth.tracking.step_run import step_run
    from components.ingest.settings import IngestSettings
    from components.ingest.step import ingest_source

    settings, parameters = None, dict[str, object]()
    if probe:
        asked = Probe.model_validate(probe)
        settings = IngestSettings.of(
            source=probe["source"],
            columns=asked.columns,
            text_column=asked.text_column,
            label_column=asked.label_column,
            max_rows=asked.most_texts,
            cleaning=cleaning,
            memory_limit=memory,
        )
        # Its splits, and rules for rare labels, are not of the probe.
        read = {name: value for name, value in settings.parameters().items() if name.startswith("source")}
        parameters |= read | asked.model_dump(exclude={"source", "columns"})
    with step_run("ingest_probe", {f"probe.{name}": value for name, value in parameters.items()}) as run:
        labelled.metadata["summary"] = "no probe is asked for"
        if settings is None:
            Path(labelled.path).mkdir(parents=True, exist_ok=True)
            Path(rejected.path).parent.mkdir(parents=True, exist_ok=True)
            Path(rejected.path).touch()
        else:
            try:
                manifest = ingest_source(settings, labelled.path, rejected.path)
            except BerthError as error:  # which names source and columns as those of the run
                raise BerthError(f"probe: {error}") from None
            for note in manifest.notes:
                print(f"anomaly warn probe: {note}", flush=True)
            texts, labels = sum(manifest.rows.values()), len(manifest.labels)
            unusable = sum(manifest.rejected.values())
            mlflow.log_metrics(dict[str, float]({"texts": texts, "labels": labels, "rejected": unusable}))
            mlflow.log_artifact(f"{labelled.path}/manifest.json")
            labelled.metadata["summary"] = f"{texts:,} texts of {labels:,} labels, {unusable:,} rejected"
        labelled.metadata[tags.RUN_ID] = run.info.run_id
