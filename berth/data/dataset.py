"""The dataset layout that ingest writes and every later step reads.

<dataset>/manifest.json
<dataset>/train/part-00000.parquet        columns: text (string), text_pair (string, if texts come in pairs),
                                                   label (string; multi-label: a list of strings),
                                                   and slice_columns (string)
<dataset>/validation/part-00000.parquet
<dataset>/test/part-00000.parquet
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

from pydantic import BaseModel

from berth.errors import BerthError, nearest

SPLITS = ("train", "validation", "test")
TEXT = "text"
PAIR = "text_pair"
LABEL = "label"

Columns: TypeAlias = dict[str, list[Any]]
"""A split's columns by name, all of the same length: texts, or for a multi-label dataset's `label` lists of texts."""


class SourceFile(BaseModel):
    """One file of a source, or a query."""

    uri: str
    size: int
    """Bytes; -1 if the store does not report it."""
    version: str
    """Its ETag, or the time of its last change; empty if there is neither."""
    rows: int


class Manifest(BaseModel):
    """The contents and the origin of a dataset."""

    sources: list[SourceFile]
    """Where the rows came from."""
    rows_read: int
    """Rows in the source, usable or not."""
    duplicates: int
    """Rows dropped because an earlier row has the same text and label."""
    not_sampled: int = 0
    """Rows left out by max_rows."""
    rejected: dict[str, int]
    """Unusable rows by reason."""
    changed: dict[str, int] = {}
    """Rows whose text or label a cleaning rule changed, by rule."""
    cleaning: dict[str, bool] = {}
    """The rules of berth.data.cleaning that cleaned the texts; a dataset of an older Berth does not say."""
    notes: list[str] = []
    """What ingest decided about doubtful data, and what may be wrong with it: one line each."""
    near_duplicates: int | None = None
    """Texts that resemble one of an earlier split; None: not searched for."""
    near_duplicates_kept: bool = False
    task: str = "single_label"
    """`single_label` or `multi_label`."""
    pairs: bool = False
    """Whether a row has two texts."""
    slice_columns: list[str] = []
    """Columns of the source that the splits have in addition to text and label."""
    labels: list[str]
    """The label vocabulary, sorted. Class i of every model and metric is labels[i]."""
    rows: dict[str, int]
    """Rows by split."""
    label_counts: dict[str, dict[str, int]]
    """Rows by split, then by label."""
    fingerprint: str
    """SHA-256 over the splits' rows; it does not depend on the order of rows."""
    versions: dict[str, str] = {}
    """The packages that made the dataset."""

    def write(self, dataset: str | Path) -> None:
        """Write `manifest.json` into the folder `dataset`, which has to exist."""
        (Path(dataset) / "manifest.json").write_text(self.model_dump_json(indent=2) + "\n", encoding="utf-8")

    def positive_label(self, chosen: str = "") -> str:
        """Return the positive one of two labels: `chosen`, or the rarer one in train; of more labels the empty text.

        Raises:
            BerthError: `chosen` is not one of two labels.

        Example:
            >>> counts = {"train": {"ham": 90, "spam": 10}}
            >>> manifest = Manifest.model_construct(labels=["ham", "spam"], label_counts=counts)
            >>> manifest.positive_label(), manifest.positive_label("ham")
            ('spam', 'ham')
        """
        if self.task != "single_label" or len(self.labels) != 2:
            if chosen:
                raise BerthError(
                    f"positive_label: {chosen!r} is for two classes; the data have {len(self.labels)} labels, "
                    f"task: {self.task}. Remove it."
                )
            return ""
        if chosen and chosen not in self.labels:
            raise BerthError(
                f"positive_label: {chosen!r} is not one of the labels {self.labels[0]!r} and {self.labels[1]!r}."
                f"{nearest(chosen, self.labels)}"
            )
        first, second = (self.label_counts.get("train", {}).get(label, 0) for label in self.labels)
        return chosen or self.labels[0 if first < second else 1]

    @classmethod
    def read(cls, dataset: str | Path) -> "Manifest":
        """Read the manifest of the folder `dataset`.

        Raises:
            FileNotFoundError: the folder has none, so that it is not a whole dataset.

        Example:
            >>> Manifest.read(dataset).labels  # such as ["ham", "spam"]
        """
        return cls.model_validate_json((Path(dataset) / "manifest.json").read_text(encoding="utf-8"))


def split_dir(dataset: str | Path, split: str) -> Path:
    """Return the folder that holds the Parquet shards of `split`.

    Example:
        >>> split_dir("datasets/sms", "test").as_posix()
        'datasets/sms/test'
    """
    return Path(dataset) / split


def read_split(dataset: str | Path, split: str) -> tuple[list[str], list[str]]:
    """Return the texts and labels of `split`, two lists of the same length, in the dataset's own order.

    Example:
        >>> texts, labels = read_split(dataset, "test")
    """
    import pyarrow.parquet as pq

    table = pq.read_table(split_dir(dataset, split), columns=[TEXT, LABEL])
    return table[TEXT].to_pylist(), table[LABEL].to_pylist()


def read_columns(dataset: str | Path, split: str) -> Columns:
    """Return every column of `split`: `text`, `label`, and `text_pair` and slice columns if the dataset has them."""
    import pyarrow.parquet as pq

    return pq.read_table(split_dir(dataset, split)).to_pydict()


def row_count(dataset: str | Path, split: str) -> int:
    """Return how many rows `split` has, from the footers of its files."""
    import pyarrow.parquet as pq

    return sum(pq.read_metadata(file).num_rows for file in _files(dataset, split))


def read_chunks(dataset: str | Path, split: str, column: str, rows: int = 4096) -> Iterator[list[Any]]:
    """Yield the values of one column of `split`, at most `rows` at a time, in the order of `read_columns`.

    Memory does not depend on the size of the split.
    """
    import pyarrow.parquet as pq

    for file in _files(dataset, split):
        with pq.ParquetFile(file) as opened:
            for batch in opened.iter_batches(rows, columns=[column]):
                yield batch.column(0).to_pylist()


def _files(dataset: str | Path, split: str) -> list[Path]:
    return sorted(split_dir(dataset, split).glob("*.parquet"))
