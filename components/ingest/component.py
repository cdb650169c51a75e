"""The ingest step as Kubeflow sees it, and `locate` before it, which is never cached."""

from kfp import dsl
from kfp.dsl import Dataset, Output

from components.common import images


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def locate(
    source: str,
    columns: list,
    text_column: str,
    label_column: str,
    pipeline_run_id: str,
    git_commit: str,
    config_file: str,
) -> str:
    """Find the source and return its fingerprint, which ingest takes: so the cache never serves a changed source."""
    from components.common import tracking
    from components.ingest.source import find_source, fingerprint

    tags = {
        tracking.KFP_RUN_ID: pipeline_run_id,
        tracking.GIT_COMMIT: git_commit,
        tracking.CONFIG_FILE: config_file,
    }
    tracking.log_to_parent(tags={key: value for key, value in tags.items() if value})
    with tracking.step_run("locate"):
        return fingerprint(find_source(source, columns, text_column, label_column))


@dsl.component(base_image=images.CORE, install_kfp_package=False)
def ingest(
    source: str,
    source_fingerprint: str,
    columns: list,
    text_column: str,
    label_column: str,
    split: dict,
    dataset: Output[Dataset],
    rejected: Output[Dataset],
) -> None:
    """Read, clean and split the source."""
    import mlflow
    from mlflow.data.dataset_source_registry import resolve_dataset_source
    from mlflow.data.meta_dataset import MetaDataset

    from components.common import tracking
    from components.common.dataset import SPLITS
    from components.ingest.step import Fractions, ingest_source

    parameters = {"source": source, "text_column": text_column, "label_column": label_column}
    parameters |= {f"split_{name}": value for name, value in split.items()}
    with tracking.step_run("ingest", parameters) as run:
        manifest = ingest_source(
            source, columns, text_column, label_column, Fractions.of(split), dataset.path, rejected.path
        )
        origin = resolve_dataset_source(source)
        for name in SPLITS:
            digest = f"{manifest.fingerprint[:16]}-{manifest.rows[name]}"
            split_dataset = MetaDataset(origin, name=f"{name} split", digest=digest)  # type: ignore[abstract]
            mlflow.log_input(split_dataset, context=name)
        counts = {f"rows_{name}": manifest.rows[name] for name in SPLITS}
        rejections = sum(manifest.rejected.values())
        mlflow.log_metrics(
            {"rows_read": manifest.rows_read, "duplicates": manifest.duplicates, "rejected": rejections, **counts}
        )
        mlflow.log_artifact(f"{dataset.path}/manifest.json")
        tracking.log_to_parent(tags={tracking.FINGERPRINT: manifest.fingerprint})
        dataset.metadata.update(labels=manifest.labels, fingerprint=manifest.fingerprint, **counts)
        facts = {**manifest.rows, "duplicate": manifest.duplicates, "rejected": rejections}
        dataset.metadata["summary"] = ", ".join(f"{number:,} {name}" for name, number in facts.items() if number)
        dataset.metadata[tracking.RUN_ID] = run.info.run_id
