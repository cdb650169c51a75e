"""Handles: folders, archives over HTTP as tfhub.dev serves them, buckets, and what does not resolve."""

import hashlib
import http.server
import io
import socket
import tarfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from berth.encoders import loading, resolve
from berth.encoders.fetch import cache, download
from berth.encoders.fetch.handle import parse
from berth.errors import BerthError
from tests.support import google_storage


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "berth"


def archive_of(folder: str, name: str = ".") -> bytes:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        tar.add(folder, arcname=name)
    return made.getvalue()


@pytest.fixture(scope="module")
def site(tiny) -> dict[str, bytes]:
    """What is on the server."""
    evil = io.BytesIO()
    with tarfile.open(fileobj=evil, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("../../evil"))
    other = io.BytesIO()
    with tarfile.open(fileobj=other, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo("readme.md"))
    nonsense = io.BytesIO()
    with tarfile.open(fileobj=nonsense, mode="w:gz") as tar:
        info = tarfile.TarInfo("saved_model.pb")
        info.size = 8
        tar.addfile(info, io.BytesIO(b"nonsense"))
    return {
        "/encoder.tar.gz": archive_of(tiny.encoder),
        "/preprocessor.tgz": archive_of(tiny.preprocessor, "some/folder"),
        "/evil.tar.gz": evil.getvalue(),
        "/other.tar.gz": other.getvalue(),
        "/nonsense.tar.gz": nonsense.getvalue(),
        "/page.tar.gz": b"<html>sign in</html>",
    }


@pytest.fixture
def server(site):
    """A loopback server: archives, a model's page as tfhub.dev and Kaggle have them, and what servers do wrong."""
    asked: list[str] = []
    over = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            path, _, query = self.path.partition("?")
            if path == "/google/bert/1" and query == "tf-hub-format=compressed":
                self.send_response(302)
                self.send_header("Location", "/encoder.tar.gz")
                self.end_headers()
            elif path == "/drip.tar.gz":
                self.send_response(200)
                self.end_headers()
                while not over.wait(0.05):
                    self.wfile.write(b"x")
                    self.wfile.flush()
            elif path in site or path == "/cut.tar.gz":
                body = site.get(path, b"half")
                self.send_response(200)
                self.send_header("Content-Type", "text/html" if path == "/page.tar.gz" else "application/gzip")
                self.send_header("Content-Length", str(len(body) * (2 if path == "/cut.tar.gz" else 1)))
                self.end_headers()
                self.wfile.write(body)
            else:
                self.send_error(404)

        def log_message(self, *_): ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", asked=asked)
        over.set()
        server.shutdown()


def left(cache_folder: Path) -> list[str]:
    """Return what is in the cache but locks."""
    return [path.name for path in cache_folder.iterdir() if path.suffix != ".lock"] if cache_folder.is_dir() else []


def test_a_model_s_page_gives_its_archive_which_is_fetched_once(server, tiny, cache_folder):
    handle = f"{server.url}/google/bert/1"
    for _ in range(2):
        folder, preprocessor = resolve.resolve(handle, tiny.preprocessor)
    assert server.asked == ["/google/bert/1?tf-hub-format=compressed", "/encoder.tar.gz"]
    assert preprocessor == tiny.preprocessor
    (record,) = cache.entries()
    assert record.name.startswith("bert-1-")
    assert record.handle == handle
    assert record.models[0].words == [
        f"encoder of {record.models[0].tokens} tokens",
        "takes input_word_ids, input_mask, input_type_ids",
        "gives default, encoder_outputs, pooled_output, sequence_output; pooling auto takes pooled_output",
    ]
    assert resolve.sha256(folder) == record.sha256 == resolve.sha256(tiny.encoder)
    assert hasattr(loading.load("encoder", folder, handle), "trainable_variables")


def test_an_archive_with_a_folder_around_its_files_and_a_pin(server, site, tiny):
    digest = hashlib.sha256(site["/preprocessor.tgz"]).hexdigest()
    handle = f"{server.url}/preprocessor.tgz#sha256={digest.upper()}"
    _, folder = resolve.resolve(tiny.encoder, handle)
    assert server.asked == ["/preprocessor.tgz"]  # as it is, for a signed address must not be changed
    assert hasattr(loading.load("preprocessor", folder, "p"), "bert_pack_inputs")
    (record,) = cache.entries()
    assert (record.archive_sha256, record.models[0].kind) == (digest, "preprocessor")


def test_another_archive_than_the_pinned_one_is_refused(server, tiny, cache_folder):
    with pytest.raises(BerthError, match=rf"its sha256 is [0-9a-f]{{64}}, not the {'0' * 64} that was asked for"):
        resolve.resolve(f"{server.url}/encoder.tar.gz#sha256={'0' * 64}", tiny.preprocessor)
    assert left(cache_folder) == []


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("gone.tar.gz", r"does not resolve \(HTTP 404 Not Found\)"),
        ("page.tar.gz", r"does not resolve \(it is not a tar archive, .*\(the server sent a web page\)"),
        ("other.tar.gz", r"is not a SavedModel: it has no saved_model\.pb"),
        ("nonsense.tar.gz", r"cannot be loaded .*Name a TF2 SavedModel"),
        ("evil.tar.gz", r"does not resolve \(it holds a path that leaves the folder, '\.\./\.\./evil'\)"),
        ("cut.tar.gz", r"does not resolve \(it ended after 4 of 8 bytes\)"),
    ],
)
def test_invalid_model_from_a_server_gives_one_line(server, tiny, cache_folder, path, reason):
    """Nothing of the download is left behind."""
    with pytest.raises(BerthError, match=rf"^encoder: 'http://127.*{path}' {reason}") as caught:
        resolve.resolve(f"{server.url}/{path}", tiny.preprocessor)
    assert str(caught.value).count("Name a ") == 1
    assert left(cache_folder) == []


def test_a_server_that_refuses(tiny):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(BerthError, match=r"preprocessor: .* does not resolve .*[Cc]onnection refused"):
        resolve.resolve(tiny.encoder, f"http://127.0.0.1:{port}/p.tar.gz")


def test_a_server_that_says_nothing_is_given_up(tiny, monkeypatch):
    monkeypatch.setattr(download, "SILENT_SECONDS", 0.2)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(BerthError, match=r"does not resolve \(timed out: the server sent nothing for 0\.2 s\)"),
    ):
        resolve.resolve(f"http://127.0.0.1:{silent.getsockname()[1]}/e.tar.gz", tiny.preprocessor)


def test_a_download_that_never_ends_is_given_up(server, tiny, cache_folder, monkeypatch):
    monkeypatch.setattr(download, "TOTAL_SECONDS", 0.5)
    start = time.monotonic()
    with pytest.raises(BerthError, match=r"drip\.tar\.gz' does not resolve \(it took more than 0\.5 seconds\)"):
        resolve.resolve(f"{server.url}/drip.tar.gz", tiny.preprocessor)
    assert time.monotonic() - start < 30
    assert left(cache_folder) == []


def test_buckets_hold_folders_and_archives(site, tiny, monkeypatch):
    with google_storage.bucket("models", monkeypatch) as objects:
        for path in sorted(Path(tiny.preprocessor).rglob("*")):
            if path.is_file():
                objects[f"text/preprocessor/{path.relative_to(tiny.preprocessor)}"] = path.read_bytes()
        objects["text/encoder.tar.gz"] = site["/encoder.tar.gz"]
        folders = resolve.resolve("gs://models/text/encoder.tar.gz", "gs://models/text/preprocessor")
        assert [resolve.sha256(own) for own in folders] == [cache.digest(Path(own)) for own in vars(tiny).values()]
        with pytest.raises(BerthError, match=r"encoder: 'gs://models/gone' does not resolve \(nothing is there\)"):
            resolve.resolve("gs://models/gone", tiny.preprocessor)
        objects["evil/a/../../../x"] = b"x"
        with pytest.raises(BerthError, match="a path that leaves the folder"):
            resolve.resolve("gs://models/evil", tiny.preprocessor)


@pytest.mark.parametrize(
    ("handle", "reason"),
    [
        ("https://me:pass-w0rd@host/x.tar.gz", "an address on host with a password"),
        ("https://host/x.tar.gz?X-Amz-Signature=pass-w0rd", "an address on host with a password, a key or a signature"),
        ("ftp://host/x.tar.gz", "a handle cannot begin with ftp://"),
        ("https://tfhub.dev/", "does not name a model"),
        ("https://host/x.tar.gz#sha256=123", "after '#' comes sha256="),
        ("gs://bucket/bert#sha256=" + "0" * 64, "sha256 is for archives"),
    ],
)
def test_invalid_handle_is_refused_without_showing_secrets(handle, reason):
    with pytest.raises(BerthError, match=reason) as caught:
        parse("encoder", handle)
    assert "pass-w0rd" not in str(caught.value)


def test_folders_are_taken_as_they_are(tiny):
    assert resolve.resolve(tiny.encoder, tiny.preprocessor) == (tiny.encoder, tiny.preprocessor)


def test_folders_that_hold_no_model(tmp_path, tiny):
    with pytest.raises(BerthError, match=r"encoder: no folder '/nowhere/bert'"):
        resolve.resolve("/nowhere/bert", tiny.preprocessor)
    with pytest.raises(BerthError, match=r"is not a SavedModel: it has no saved_model\.pb"):
        resolve.resolve(str(tmp_path), tiny.preprocessor)
    for content, reason in ((b"nonsense", "is damaged"), (b"", "cannot be loaded")):
        (tmp_path / "saved_model.pb").write_bytes(content)
        with pytest.raises(BerthError, match=reason):
            loading.load("encoder", str(tmp_path), str(tmp_path))
