"""KFP interface of the ingest step, and of `locate` before it, which is never cached."""

from kfp import dsl
from kfp.dsl import Dataset, Output

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
) -> str:
    """Return the fingerprint of the source. It is an input of ingest, so the cache never serves a changed source.

    As the first step, it also opens the MLflow run of the pipeline run, in the experiment `name`.
    """
    from berth.tracking import pipeline_run, tags
    from berth.tracking.step_run import log_to_parent, step_run
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
        settings = IngestSettings.of(
            source=source,
            columns=columns,
            encoding=encoding,
            text_column=text_column,
            text_pair_column=text_pair_column,
            label_column=label_column,
            split=split,
            slice_columns=slice_columns,
        )
        return fingerprint(settings)


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
) -> None:
    """Read, clean and split the source, with at most `memory`.

    The parameter cannot be called `memory_limit`: kfp passes the memory of a task's pod under that name.
    """
    import mlflow
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.dataset_source_registry import resolve_dataset_source
    from mlflow.data.meta_dataset import MetaDataset

    from berth.data.dataset import SPLITS
    from berth.settings import ENVIRONMENT
    from berth.tracking import tags
    from berth.tracking.step_run import log_datasets, log_to_parent, metric_name, step_run
    from components.ingest.settings import IngestSettings
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
        memory_limit=memory,
        rows_per_shard=rows_per_shard,
    )
    with step_run("ingest", settings.parameters()) as run:
        manifest = ingest_source(settings, dataset.path, rejected.path)
        for note in manifest.notes:
            print(f"anomaly warn {note}", flush=True)
        files = settings.source.split_files()
        datasets = {}
        for name in SPLITS:
            address = "" if settings.source.sql else files.get(name) or files.get("") or files["train"]
            origin = (
                CodeDatasetSource({"sql": settings.source.sql, "connection": settings.source.connection})
                if settings.source.sql
                else CodeDatasetSource({"files": address})
                if address.startswith(ENVIRONMENT)
                else resolve_dataset_source(address)
            )
            digest = f"{manifest.fingerprint[:16]}-{manifest.rows[name]}"
            datasets[name] = MetaDataset(origin, name=f"{name} split", digest=digest)  # type: ignore[abstract]
        log_datasets(datasets)
        counts = {f"rows_{name}": manifest.rows[name] for name in SPLITS}
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
        log_to_parent(tags={tags.FINGERPRINT: manifest.fingerprint})
        dataset.metadata.update(fingerprint=manifest.fingerprint, **counts)
        facts = {**manifest.rows, "duplicate": manifest.duplicates, "rejected": rejections}
        facts["changed"] = sum(manifest.changed.values())
        dataset.metadata["summary"] = ", ".join(f"{number:,} {name}" for name, number in facts.items() if number)
        dataset.metadata[tags.RUN_ID] = run.info.run_id
