"""The source of a dataset or a corpus, as MLflow shows it."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from berth.data.source import Source
from berth.settings import ENVIRONMENT

if TYPE_CHECKING:
    from mlflow.data.dataset import Dataset


def datasets(source: Source, fingerprint: str, counts: Mapping[str, int]) -> "dict[str, Dataset]":
    """Return MLflow's dataset of each split, by the split's name; `counts` has their texts."""
    from mlflow.data.code_dataset_source import CodeDatasetSource
    from mlflow.data.dataset_source_registry import resolve_dataset_source
    from mlflow.data.meta_dataset import MetaDataset

    files = source.split_files()
    found: dict[str, Dataset] = {}
    for name, count in counts.items():
        address = "" if source.sql else files.get(name) or files.get("") or files["train"]
        origin = (
            CodeDatasetSource({"sql": source.sql, "connection": source.connection})
            if source.sql
            else CodeDatasetSource({"files": address})
            if address.startswith(ENVIRONMENT)
            else resolve_dataset_source(address)
        )
        digest = f"{fingerprint[:16]}-{count}"
        found[name] = MetaDataset(origin, name=f"{name} split", digest=digest)  # type: ignore[abstract]
    return found
