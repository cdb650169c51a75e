"""Sources that are not files of this machine: real servers on loopback, S3 (moto), HTTP, PostgreSQL; SQLite, DuckDB."""

import functools
import getpass
import http.server
import json
import os
import shutil
import socket
import sqlite3
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import trustme

from berth.data.dataset import Manifest
from berth.errors import BerthError
from components.ingest.settings import IngestSettings
from components.ingest.sources.source import fingerprint
from tests.components.ingest.conftest import ROWS, everything, write
from tests.support import google_storage

ROOT = Path(__file__).parents[3]


def test_an_object_a_folder_and_a_glob_of_s3_are_read_whole(ingest, tmp_path, bucket):
    for name, rows in (("a.csv.gz", ROWS[:100]), ("b.csv.gz", ROWS[100:])):
        bucket(write(tmp_path / name, rows), f"in/{name}")
    for number, source in enumerate(("s3://texts/in", "s3://texts/in/*.csv.gz")):
        manifest, splits, _ = ingest(source, name=f"out{number}")
        assert everything(splits) == set(ROWS)
        assert [file.uri for file in manifest.sources] == ["s3://texts/in/a.csv.gz", "s3://texts/in/b.csv.gz"]
        assert [file.rows for file in manifest.sources] == [100, 100]
        assert all(file.version and file.size > 100 for file in manifest.sources)
    _, splits, _ = ingest("s3://texts/in/a.csv.gz", name="one")
    assert everything(splits) == set(ROWS[:100])


def test_object_fingerprint_is_its_etag_and_changes_with_it(tmp_path, bucket):
    settings = IngestSettings.of(source={"files": "s3://texts/one.csv"})
    bucket(write(tmp_path / "a.csv"), "one.csv")
    first = fingerprint(settings)
    assert fingerprint(settings) == first
    bucket(write(tmp_path / "b.csv", ROWS[1:]), "one.csv")
    assert fingerprint(settings) != first


def test_a_bucket_that_cannot_be_read_is_said_without_a_secret(ingest, bucket, monkeypatch):
    with pytest.raises(BerthError, match=r"s3://gone/a\.csv.*(not there|NoSuchBucket|Check the address)") as caught:
        ingest("s3://gone/a.csv")
    assert "very-secret" not in str(caught.value)
    with pytest.raises(BerthError, match="AWS_ACCESS_KEY_ID"):
        ingest("s3://texts/nothing-here/*.csv")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(BerthError, match=r"source: s3://texts/one\.csv cannot be read \(.*Check the address"):
        ingest("s3://texts/one.csv")


def test_google_storage_object_folder_and_glob_are_read_whole(ingest, tmp_path, monkeypatch):
    """Their fingerprint changes with the object."""
    with google_storage.bucket("texts", monkeypatch) as objects:
        for name, rows in (("a.csv.gz", ROWS[:100]), ("b.csv.gz", ROWS[100:])):
            objects[f"in/{name}"] = write(tmp_path / name, rows).read_bytes()
        for number, source in enumerate(("gs://texts/in", "gs://texts/in/*.csv.gz")):
            manifest, splits, _ = ingest(source, name=f"out{number}")
            assert everything(splits) == set(ROWS)
            assert [file.uri for file in manifest.sources] == ["gs://texts/in/a.csv.gz", "gs://texts/in/b.csv.gz"]
            assert all(file.version and file.size > 100 for file in manifest.sources)
        settings = IngestSettings.of(source={"files": "gs://texts/in/a.csv.gz"})
        first = fingerprint(settings)
        assert fingerprint(settings) == first
        objects["in/a.csv.gz"] = write(tmp_path / "a.csv.gz", ROWS[1:]).read_bytes()
        assert fingerprint(settings) != first
        with pytest.raises(BerthError, match=r"gs://texts/gone\.csv.*GOOGLE_APPLICATION_CREDENTIALS"):
            ingest("gs://texts/gone.csv", name="gone")


@pytest.fixture
def site(tmp_path):
    """The address of an HTTP server on the folder `site`."""
    (tmp_path / "site").mkdir()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_http_file_is_read_and_a_missing_one_is_reported(ingest, tmp_path, site):
    write(tmp_path / "site" / "a.jsonl")
    _, splits, _ = ingest(f"{site}/a.jsonl")
    assert everything(splits) == set(ROWS)
    settings = IngestSettings.of(source={"files": f"{site}/a.jsonl"})
    first = fingerprint(settings)
    assert fingerprint(settings) == first
    (tmp_path / "site" / "a.jsonl").write_text('{"text": "a", "label": "b"}\n')
    assert fingerprint(settings) != first
    with pytest.raises(BerthError, match=r"source: http://127\.0\.0\.1:\d+/gone\.csv cannot be read \(not there\)"):
        ingest(f"{site}/gone.csv", name="gone")


def test_faulty_row_is_named_by_the_source_address(ingest, tmp_path, site):
    """The address is that of the source file, not of its local copy."""
    (tmp_path / "site" / "a.csv").write_text("text,label\na,ham\nb, c,ham\n")
    with pytest.raises(BerthError, match=rf"^{site}/a\.csv: line 3: 3 columns"):
        ingest(f"{site}/a.csv")
    (tmp_path / "site" / "b.parquet").write_text("nonsense")
    with pytest.raises(BerthError, match=rf"^{site}/b\.parquet: not a whole Parquet file"):
        ingest(f"{site}/b.parquet")


def test_https_is_read_and_an_untrusted_certificate_is_reported(ingest, tmp_path):
    (tmp_path / "site").mkdir()
    write(tmp_path / "site" / "a.csv")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    authority.issue_cert("127.0.0.1").configure_cert(context)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        address = f"https://127.0.0.1:{server.server_port}/a.csv"
        refused = rf"^source: {address} cannot be read \(its certificate: unable to get local issuer"
        with pytest.raises(BerthError, match=refused):
            ingest(address)
        settings = {"source": {"files": address}, "cleaning": {"near_duplicates": 0}}
        subprocess.run(  # aiohttp looks for authorities when it is imported
            [sys.executable, "-m", "components.ingest", str(tmp_path / "dataset")],
            input=json.dumps(settings),
            text=True,
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT), "SSL_CERT_FILE": str(tmp_path / "authority.pem")},
        )
        assert Manifest.read(tmp_path / "dataset").rows_read == len(ROWS)
        server.shutdown()


def _postgresql_bin() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    return found[-1].parent if found else None


@pytest.fixture(scope="module")
def postgresql(tmp_path_factory):
    """The SQLAlchemy URL of a real PostgreSQL server of our own."""
    programs = _postgresql_bin()
    if programs is None:
        if os.environ.get("CI"):
            pytest.fail("PostgreSQL is not installed: apt-get install postgresql")
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    folder = tmp_path_factory.mktemp("postgresql")
    root = getpass.getuser() == "root"  # which PostgreSQL refuses to run as
    if root:
        folder = Path("/tmp") / f"berth-postgresql-{os.getpid()}"
        folder.mkdir()
        shutil.chown(folder, "postgres")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]

    def call(*command: str) -> None:
        subprocess.run([*(["runuser", "-u", "postgres", "--"] if root else []), *command], check=True, cwd=folder)

    (folder / "password").write_text("secret-word")
    call(str(programs / "initdb"), "-D", f"{folder}/data", "-U", "reader", "-A", "scram-sha-256",
         f"--pwfile={folder}/password", "--no-sync", "-E", "UTF8")  # fmt: skip
    options = f"-p {port} -c listen_addresses=127.0.0.1 -k {folder} -F"
    call(str(programs / "pg_ctl"), "-D", f"{folder}/data", "-o", options, "-l", f"{folder}/log", "-w", "start")
    yield f"postgresql://reader:secret-word@127.0.0.1:{port}/postgres"
    call(str(programs / "pg_ctl"), "-D", f"{folder}/data", "-m", "immediate", "stop")
    shutil.rmtree(folder, ignore_errors=True)


QUERY = "SELECT body AS text, kind::text AS label FROM messages WHERE body LIKE '%number%' AND id % 2 >= 0"


def test_postgresql_query_keeps_casts_and_percent_signs(ingest, postgresql, monkeypatch):
    import sqlalchemy

    engine = sqlalchemy.create_engine(postgresql.replace("postgresql", "postgresql+psycopg", 1))
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("CREATE TABLE messages (id serial, body text, kind text, tags text[])"))
        connection.execute(
            sqlalchemy.text("INSERT INTO messages (body, kind, tags) VALUES (:body, :kind, ARRAY[:kind, 'all'])"),
            [{"body": text, "kind": label} for text, label in ROWS],
        )
    monkeypatch.setenv("BERTH_TEST_DATABASE", postgresql)
    source = {"sql": QUERY, "connection": "env:BERTH_TEST_DATABASE"}
    manifest, splits, _ = ingest(source)
    assert everything(splits) == set(ROWS)
    assert [(file.uri, file.rows) for file in manifest.sources] == [("query over env:BERTH_TEST_DATABASE", 200)]
    settings = IngestSettings.of(source=source)
    first = fingerprint(settings)
    with engine.begin() as connection:  # another order of the same rows
        connection.execute(sqlalchemy.text("CREATE TABLE other AS SELECT * FROM messages ORDER BY id DESC"))
        connection.execute(sqlalchemy.text("ALTER TABLE messages RENAME TO before"))
        connection.execute(sqlalchemy.text("ALTER TABLE other RENAME TO messages"))
    assert fingerprint(settings) == first
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("UPDATE messages SET kind = 'ham' WHERE id = 1"))
    assert fingerprint(settings) != first
    tagged = {"sql": "SELECT body AS text, tags AS label FROM before", "connection": "env:BERTH_TEST_DATABASE"}
    manifest, _, _ = ingest(tagged, name="tags", task="multi_label")
    assert manifest.labels == ["all", "ham", "spam"]
    with pytest.raises(BerthError, match=r'query over BERTH_TEST_DATABASE fails \(relation "nowhere" does not exist'):
        ingest({"sql": "SELECT * FROM nowhere", "connection": "env:BERTH_TEST_DATABASE"}, name="x")
    with pytest.raises(BerthError, match=r"returns no rows|fails \(syntax error"):
        ingest({"sql": "UPDATE messages SET kind = 'x'", "connection": "env:BERTH_TEST_DATABASE"}, name="y")
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT count(*) FROM messages WHERE kind = 'x'")).scalar() == 0
    monkeypatch.setenv("BERTH_TEST_DATABASE", postgresql.replace("secret-word", "wrong-word"))
    with pytest.raises(BerthError, match="query over BERTH_TEST_DATABASE fails") as caught:
        ingest(source, name="z")
    assert "wrong-word" not in str(caught.value)


def test_a_query_over_sqlite(ingest, tmp_path, monkeypatch):
    with sqlite3.connect(tmp_path / "a.db") as connection:
        connection.execute("CREATE TABLE messages (body TEXT, spam INTEGER)")
        connection.executemany("INSERT INTO messages VALUES (?, ?)", [(a, b == "spam") for a, b in ROWS])
    monkeypatch.setenv("BERTH_TEST_DATABASE", f"sqlite:///{tmp_path / 'a.db'}")
    sql = "SELECT body AS text, spam AS label FROM messages WHERE body <> ':x'"
    _, splits, _ = ingest({"sql": sql, "connection": "env:BERTH_TEST_DATABASE"})
    assert everything(splits) == {(text, str(int(label == "spam"))) for text, label in ROWS}


def test_a_query_that_duckdb_runs_over_files_of_two_kinds(ingest, tmp_path):
    write(tmp_path / "a.csv", ROWS[:120])
    write(tmp_path / "b.parquet", ROWS[120:])
    sql = "SELECT * FROM 'a.csv' UNION ALL SELECT * FROM 'b.parquet'"
    _, splits, _ = ingest({"sql": sql, "folder": str(tmp_path)})
    assert everything(splits) == set(ROWS)


def test_a_query_that_gives_no_rows_is_no_data(ingest, tmp_path):
    with pytest.raises(BerthError, match="query over DuckDB: none of its 0 rows is usable"):
        ingest({"sql": "SELECT 'a' AS text, 'b' AS label WHERE false"})


def test_an_http_server_that_dies_in_the_middle_is_said(ingest):
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            for _ in range(8):
                connection, _ = server.accept()
                request = connection.recv(65536)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\nETag: x\r\n\r\n")
                if not request.startswith(b"HEAD"):
                    connection.sendall(b"text,label\na,b\n")
                    time.sleep(0.1)
                connection.close()

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(BerthError, match=r"a\.csv cannot be read"):
            ingest(f"http://127.0.0.1:{server.getsockname()[1]}/a.csv")


@pytest.mark.parametrize("source", ["spark", "spark/*"])
def test_a_folder_as_spark_writes_it_is_read(ingest, tmp_path, source):
    """Empty parts are left out with a note; _SUCCESS and checksums are not data."""
    folder = tmp_path / "spark"
    folder.mkdir()
    write(folder / "part-0.csv", ROWS)
    for name in ("part-1.csv", "_SUCCESS", ".part-0.csv.crc"):
        (folder / name).touch()
    manifest, splits, _ = ingest(tmp_path / source)
    assert everything(splits) == set(ROWS)
    assert manifest.notes == [f"{folder / 'part-1.csv'}: the file is empty, and is left out."]


def test_a_test_file_of_copies_is_said(ingest, tmp_path):
    path = str(write(tmp_path / "a.csv", ROWS))
    with pytest.raises(BerthError, match="test split is empty: 200 texts are too few without 200 copies of texts that"):
        ingest({"train": path, "test": path})
