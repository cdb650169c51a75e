"""The dataset layout that ingest writes and every later step reads.

<dataset>/manifest.json
<dataset>/train/part-00000.parquet        columns: text (string), label (string)
<dataset>/validation/part-00000.parquet
<dataset>/test/part-00000.parquet
"""

from pathlib import Path

from pydantic import BaseModel

SPLITS = ("train", "validation", "test")
TEXT = "text"
LABEL = "label"


class Manifest(BaseModel):
    """What a dataset holds and where it came from."""

    source: str
    """The source as the run configuration names it."""
    rows_read: int
    """Rows in the source, usable or not."""
    duplicates: int
    """Rows dropped because an earlier row has the same text and label."""
    rejected: dict[str, int]
    """Unusable rows by reason."""
    labels: list[str]
    """The label vocabulary, sorted. Class i of every model and metric is labels[i]; of two, the second is positive."""
    rows: dict[str, int]
    """Rows by split."""
    label_counts: dict[str, dict[str, int]]
    """Rows by split, then by label."""
    fingerprint: str
    """SHA-256 over the splits' rows; it does not depend on the order of rows."""

    def write(self, dataset: str | Path) -> None:
        (Path(dataset) / "manifest.json").write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, dataset: str | Path) -> "Manifest":
        return cls.model_validate_json((Path(dataset) / "manifest.json").read_text(encoding="utf-8"))


def split_dir(dataset: str | Path, split: str) -> Path:
    """Return the folder that holds the Parquet shards of `split`."""
    return Path(dataset) / split


def read_split(dataset: str | Path, split: str) -> tuple[list[str], list[str]]:
    """Return the texts and labels of `split`, two lists of the same length, in the dataset's own order."""
    import pyarrow.parquet as pq

    table = pq.read_table(split_dir(dataset, split), columns=[TEXT, LABEL])
    return table[TEXT].to_pylist(), table[LABEL].to_pylist()
