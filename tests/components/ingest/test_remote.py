"""Addresses: web servers that refuse, names that look like globs, upper-case schemes, variables that hold them."""

import pytest

from berth.errors import BerthError
from components.ingest.settings import IngestSettings
from components.ingest.sources import remote
from components.ingest.sources.source import fingerprint
from tests.components.ingest.conftest import ROWS, everything, write
from tests.support.bad_sources import CSV, fails
from tests.support.web_server import Answer, served

PAGE = b"<!DOCTYPE html>\n<html><body>Please sign in</body></html>"
HTML = {"Content-Type": "text/html; charset=utf-8"}


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Answer(b"", 401), r"the server answers 401 Unauthorized\)\. Give an address that needs no sign-in"),
        (Answer(b"", 403), r"the server answers 403 Forbidden\)\. Give an address that needs no sign-in"),
        (Answer(PAGE, 404, HTML), r"not there\)\. Check the address"),
        (Answer(b"", 429), r"the server answers 429 Too Many Requests\)\. Try again later"),
        (Answer(b"", 500), r"the server answers 500 Internal Server Error\)\. Try again later"),
        (Answer(PAGE, 200, HTML), r"the server sent a web page, perhaps one to sign in, .*\)\. Download the file"),
        (Answer(PAGE), r"the server sent a web page, perhaps one to sign in, .*\)\. Download the file"),
        (Answer(CSV.encode(), 200, {"Content-Length": "99999"}), r"the connection ended before the file did\)"),
    ],
    ids=lambda value: f"{value.status}-{len(value.body)}" if isinstance(value, Answer) else "",
)
def test_what_a_web_server_answers_is_said(here, answer, message):
    with served({"/a.csv": answer}) as site:
        fails(rf"^source: {site}/a\.csv cannot be read \({message}", f"{site}/a.csv")


def test_a_redirect_to_a_sign_in_page_is_not_data(here):
    moved = Answer(b"", 302, {"Location": "/login?next=a.csv"})
    with served({"/a.csv": moved, "/login": Answer(PAGE, 200, HTML)}) as site:
        fails("the server sent a web page, perhaps one to sign in", f"{site}/a.csv")


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Disposition": 'attachment; filename="export.csv"'},
        {"Content-Disposition": "attachment; filename*=UTF-8''texte%20f%C3%BCr.csv", "Content-Type": "text/html"},
        {"Content-Type": "text/csv; charset=utf-8"},
    ],
)
def test_an_export_says_its_format_in_its_headers(ingest, headers):
    with served({"/export?id=3": Answer(CSV.encode(), 200, headers)}) as site:
        manifest, splits, _ = ingest(f"{site}/export?id=3")
        assert fingerprint(IngestSettings.of(source={"files": f"{site}/export?id=3"}))
    assert everything(splits) == set(ROWS)
    assert [file.uri for file in manifest.sources] == [f"{site}/export?id=3"]


def test_an_export_of_unknown_format_is_named_by_its_address(here):
    with served({"/export": Answer(CSV.encode(), 200, {"Content-Type": "application/octet-stream"})}) as site:
        fails(
            rf"^source: {site}/export\?id=3 cannot be read \(neither its address nor the server", f"{site}/export?id=3"
        )


@pytest.mark.parametrize("path", ["/a.csv?version=2", "/a.csv#part", "/größe%20a.csv", "/größe a.csv"])
def test_a_web_address_may_have_a_query_and_any_letter(ingest, path):
    with served({"/a.csv": Answer(CSV.encode()), "/gr%C3%B6%C3%9Fe%20a.csv": Answer(CSV.encode())}) as site:
        _, splits, _ = ingest(site.replace("http", "HTTP") + path)
    assert everything(splits) == set(ROWS)


NAMES = ("what?.csv", "a#1.csv", "b[1].csv", "c*.csv", "d{1}.csv", "e::f.csv", "g 1+2%20.csv")


@pytest.mark.parametrize("name", [*NAMES, "_hidden.csv"])
def test_an_object_may_have_any_name(ingest, tmp_path, bucket, name):
    bucket(write(tmp_path / "a.csv"), f"odd/{name}")
    for other in ("whats.csv", "b1.csv", "cc.csv", "a"):
        bucket(write(tmp_path / "b.csv", ROWS[:50]), f"odd/{other}")
    manifest, splits, _ = ingest(f"S3://texts/odd/{name}")
    assert everything(splits) == set(ROWS)
    assert [file.uri for file in manifest.sources] == [f"s3://texts/odd/{name}"]


def test_a_folder_of_a_store_may_have_any_name(tmp_path, bucket):
    for folder in ("p[1]", "p1", "q?"):
        for name in NAMES:
            bucket(write(tmp_path / "a.csv"), f"{folder}/{name}")
    for source, names in (("p[1]", NAMES), ("p[1]/*.csv", NAMES), ("p[1]/[a-g]*.csv", NAMES[1:]), ("q?/w*", NAMES[:1])):
        address = f"s3://texts/{source}"
        folder = address.partition("/*")[0].partition("/[")[0].partition("/w")[0]
        assert {found.uri for found in remote.find(address, address)} == {f"{folder}/{name}" for name in names}


def test_a_variable_may_hold_any_address_of_files(ingest, tmp_path, bucket, monkeypatch):
    for name, rows in (("a.csv.gz", ROWS[:100]), ("b.csv.gz", ROWS[100:])):
        bucket(write(tmp_path / name, rows), f"hidden/{name}")
    monkeypatch.setenv("SOURCE_URL", "S3://texts/hidden/*.gz")
    manifest, splits, _ = ingest("env:SOURCE_URL")
    assert everything(splits) == set(ROWS)
    assert [file.uri for file in manifest.sources] == ["env:SOURCE_URL/a.csv.gz", "env:SOURCE_URL/b.csv.gz"]
    monkeypatch.setenv("SOURCE_URL", str(tmp_path / "*.gz"))
    _, splits, _ = ingest({"train": "env:SOURCE_URL"}, name="local")
    assert everything(splits) == set(ROWS)


def test_a_variable_without_an_address_is_an_error(here, monkeypatch):
    monkeypatch.delenv("SOURCE_URL", raising=False)
    fails("source: the variable SOURCE_URL is not set", "env:SOURCE_URL")
    monkeypatch.setenv("SOURCE_URL", "a.csv")
    fails("source: SOURCE_URL holds a relative path", "env:SOURCE_URL")
    monkeypatch.setenv("SOURCE_URL", "http://127.0.0.1:9/a.csv?sig=s3cr3t")
    with pytest.raises(BerthError, match=r"source: env:SOURCE_URL cannot be read \(no answer\)") as caught:
        fingerprint(IngestSettings.of(source={"files": "env:SOURCE_URL"}))
    assert "s3cr3t" not in str(caught.value)
