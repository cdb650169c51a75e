"""Trouble around a source while it is read: quotes, changes, a full disk, a query, a silent server."""

import csv
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from berth.errors import BerthError
from components.ingest import step
from components.ingest.settings import IngestSettings
from components.ingest.sources.source import fingerprint
from components.ingest.step import ingest_source
from tests.components.ingest.conftest import MESSAGES, write
from tests.support.bad_sources import CSV, LABELS, TEXTS, fails, table


def test_rows_that_stray_quotes_swallow_are_counted(here):
    """As in the real messages: read as CSV, a text that begins with a quote takes the rows up to the next one."""
    rows = [(f"text number {number}", "ham" if number % 3 else "spam") for number in range(100)]
    rows[10] = ('"this one opens', "ham")
    rows[20] = ('and this one closes"', "ham")
    for columns in (("text", "label"), ("label", "text")):
        order = 1 if columns[0] == "text" else -1
        content = ",".join(columns) + "\n" + "".join(",".join(row[::order]) + "\n" for row in rows)
        Path("a.csv").write_text(content)
        fails(r"a\.csv: (9|10) rows are swallowed by stray double quotes, the first in row 11\. Double the quotes")


def test_careless_csv_with_swallowed_rows_is_refused(here):
    """Some of the messages begin with a double quote: the csv module makes 5,156 rows of the 5,574."""
    rows = [line.split("\t", 1) for line in MESSAGES.read_text(encoding="utf-8").splitlines()]
    assert len(list(csv.reader(MESSAGES.read_text(encoding="utf-8").splitlines(), delimiter="\t"))) == 5156
    bare = "".join(f"{label},{text.replace(',', ';')}\n" for label, text in rows)
    wrapped = "".join(f'{label},"{text}"\n' for label, text in rows)
    for content in (bare, wrapped):
        Path("a.csv").write_text(content, encoding="utf-8")
        fails(r"a\.csv: line \d+: a double quote that is never closed, or text after", columns=["label", "text"])


def test_a_source_that_vanishes_or_changes_while_it_is_read(here, monkeypatch):
    write(here / "a.csv")
    original = step.read_rows

    def then(action: Callable[[], object]) -> None:
        def read(*arguments):
            counts = original(*arguments)
            action()
            return counts

        monkeypatch.setattr(step, "read_rows", read)

    then((here / "a.csv").unlink)
    fails(r"a\.csv: removed while it was read")
    write(here / "a.csv")
    then(lambda: (here / "a.csv").write_text(CSV + "one more,ham\n"))
    fails(r"a\.csv: changed while it was read")


def test_a_disk_that_is_full(here, monkeypatch):
    """The temporary folder is on a file system of 1 MB, where the rows do not fit."""
    small = here / "small"
    small.mkdir()
    if os.system(f"mount -t tmpfs -o size=1m none {small} 2>/dev/null"):
        pytest.skip("needs the right to mount a file system")
    try:
        rows = [(f"{number} " + "word " * 50, "ab"[number % 2]) for number in range(20_000)]
        path = write(here / "a.csv", rows)
        path.write_bytes(path.read_bytes() + b"caf\xe9,a\n")  # is decoded into a copy, which does not fit
        monkeypatch.setattr("tempfile.tempdir", str(small))
        fails(r"a\.csv: no room on the disk for its rows while they are read\. Make room in /")
    finally:
        os.system(f"umount {small}")


def test_a_column_name_cannot_inject_sql(here):
    evil = "t\"); DROP TABLE rows; --'"
    table("it's.parquet", **{evil: TEXTS, "label": LABELS})()
    manifest = ingest_source(
        IngestSettings.of(source={"files": "it's.parquet"}, text_column=evil, cleaning={"near_duplicates": 0}),
        Path("dataset"),
        Path("rejected"),
    )
    assert sum(manifest.rows.values()) == 200


def test_a_query_that_is_wrong(here, monkeypatch):
    write(here / "a.csv")
    fails(r"source\.sql: the query fails \(.*syntax error", {"sql": "SELEC 1"})
    fails(r"source\.sql: the query fails \(.*gone\.csv", {"sql": "SELECT * FROM 'gone.csv'"})
    fails(r"source\.sql: returns no rows\. Write one SELECT", {"sql": "SET threads = 1"})
    fails(r"text_column: no column 'text' in query over DuckDB", {"sql": "SELECT 1 AS a, 2 AS label"})
    sql = {"sql": "SELECT 1", "connection": "env:BERTH_TEST_DATABASE"}
    monkeypatch.delenv("BERTH_TEST_DATABASE", raising=False)
    fails("source.connection: the variable BERTH_TEST_DATABASE is not set", sql)
    monkeypatch.setenv("BERTH_TEST_DATABASE", "nonsense")
    fails("BERTH_TEST_DATABASE does not hold a usable SQLAlchemy URL", sql)
    monkeypatch.setenv("BERTH_TEST_DATABASE", "oracle://user:secret@host/x")
    fails("BERTH_TEST_DATABASE does not hold a usable SQLAlchemy URL", sql)
    monkeypatch.setenv("BERTH_TEST_DATABASE", "sqlite:////gone.db")
    fails(r"no SQLite file /gone\.db", sql)
    monkeypatch.setenv("BERTH_TEST_DATABASE", "postgresql://user:secret@127.0.0.1:9/x")
    with pytest.raises(BerthError, match="the query over BERTH_TEST_DATABASE fails") as caught:
        fingerprint(IngestSettings.of(source=sql))
    assert "secret" not in str(caught.value)


def test_a_server_that_is_silent_is_given_up(here, monkeypatch):
    import socket

    monkeypatch.setattr("components.ingest.sources.web.TIMEOUT_SECONDS", 1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}/a.csv"
        threading.Thread(target=server.accept, daemon=True).start()
        fails(r"a\.csv cannot be read \(.*\)\. Check the address", address)
