"""Files that are replaced behind the same handle: they count as another encoder, and are fetched again."""

import http.server
import shutil
import threading
from pathlib import Path

import pytest

from berth.encoders import resolve
from berth.encoders.fetch import cache
from berth.encoders.fetch.handle import parse
from berth.encoders.present import fingerprint, name_in_cache, version
from tests.berth.encoders.test_resolve import archive_of
from tests.support import google_storage


@pytest.fixture(autouse=True)
def cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def server(tiny):
    """The preprocessor's archive, on a server that gives ETags; a test may replace it."""

    content = {"/p.tar.gz": ("1", archive_of(tiny.preprocessor))}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            etag, body = content[self.path]
            self.send_response(200)
            if etag:
                self.send_header("ETag", etag)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_): ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield content, f"http://127.0.0.1:{server.server_port}/p.tar.gz"
        server.shutdown()


def test_other_files_in_the_same_folder_are_another_encoder(tiny, tmp_path):
    folder = tmp_path / "encoder"
    shutil.copytree(tiny.encoder, folder)
    before = fingerprint(str(folder), tiny.preprocessor)
    assert fingerprint(str(folder), tiny.preprocessor) == before
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "assets" / "more").write_text("x")
    assert fingerprint(str(folder), tiny.preprocessor) != before
    assert fingerprint("/not/on/this/machine", "") != before


def test_an_archive_that_was_replaced_is_fetched_again(server, tiny):
    content, handle = server
    before, (_, first) = fingerprint(tiny.encoder, handle), resolve.resolve(tiny.encoder, handle)
    assert resolve.resolve(tiny.encoder, handle)[1] == first
    content["/p.tar.gz"] = "2", archive_of(tiny.preprocessor, "inside")
    assert fingerprint(tiny.encoder, handle) != before
    assert resolve.resolve(tiny.encoder, handle)[1] != first
    assert Path(first).is_dir()  # a run may still be using it
    assert len(cache.entries()) == 2
    content["/p.tar.gz"] = "", content["/p.tar.gz"][1]  # a server that gives no version: the newest counts
    assert name_in_cache(parse("preprocessor", handle)) == max(cache.entries(), key=lambda own: own.fetched).name


def test_a_bucket_s_folder_that_changes_is_another_version(tiny, monkeypatch):
    with google_storage.bucket("models", monkeypatch) as objects:
        handle = parse("encoder", "gs://models/bert")
        assert version(handle) == ""
        objects["bert/saved_model.pb"] = b"one"
        before = version(handle)
        assert before == version(handle) != ""
        objects["bert/saved_model.pb"] = b"two"
        assert version(handle) != before
