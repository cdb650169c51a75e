"""Helpers for tests of sources with something wrong: a good CSV, and the check that ingest ends in one line."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from berth.errors import BerthError
from components.ingest.settings import IngestSettings
from components.ingest.step import ingest_source
from tests.components.ingest.conftest import ROWS

CSV = "text,label\n" + "".join(f"{text},{label}\n" for text, label in ROWS)


def fails(message: str, source: object = "a.csv", **settings: object) -> None:
    """Assert that ingesting `source` ends in one line that matches `message`."""
    files = source if isinstance(source, dict) else {"files": source}
    with pytest.raises(BerthError, match=message) as caught:
        ingest_source(IngestSettings.of(source=files, **settings), Path("dataset"), Path("rejected"))
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500
    assert not Path("dataset").exists()
    assert not Path("rejected").exists()


def table(name: str, **columns: object) -> Callable[[], None]:
    return lambda: pq.write_table(pa.table(columns), name)


TEXTS = [text for text, _ in ROWS]
LABELS = [label for _, label in ROWS]
