"""Handles: folders, archives over HTTP as tfhub.dev serves them, and what does not resolve."""

import functools
import http.server
import socket
import tarfile
import threading

import pytest

from components.common.errors import BerthError
from components.train import encoder


@pytest.fixture
def hub_server(tmp_path, tiny, monkeypatch):
    """A loopback server of .tar.gz archives, as tfhub.dev serves them."""
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path / "hub-cache"))
    site = tmp_path / "site"
    site.mkdir()
    for name, folder in (("encoder", tiny.encoder), ("preprocessor", tiny.preprocessor)):
        with tarfile.open(site / f"{name}.tar.gz", "w:gz") as archive:
            archive.add(folder, arcname=".")
    (site / "page.tar.gz").write_text("<html>no archive</html>")
    with tarfile.open(site / "other.tar.gz", "w:gz") as archive:
        archive.add(site / "page.tar.gz", arcname="page.html")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def do_GET(self):
            self.path = self.path.split("?")[0]
            super().do_GET()

        def log_message(self, *_): ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()


def test_an_archive_over_http_is_resolved_and_loads(hub_server):
    folders = encoder.resolve(f"{hub_server}/encoder.tar.gz", f"{hub_server}/preprocessor.tar.gz")
    assert hasattr(encoder.load("preprocessor", folders[1], "p"), "bert_pack_inputs")


def test_folders_are_taken_as_they_are(tiny):
    assert encoder.resolve(tiny.encoder, tiny.preprocessor) == (tiny.encoder, tiny.preprocessor)


@pytest.mark.parametrize(
    ("path", "reason"),
    [("gone.tar.gz", "does not resolve"), ("page.tar.gz", "does not resolve"), ("other.tar.gz", "no SavedModel")],
)
def test_what_a_server_gives_that_is_no_model(hub_server, tiny, path, reason):
    with pytest.raises(BerthError, match=rf"^encoder: 'http://127.*{path}' .*{reason}") as caught:
        encoder.resolve(f"{hub_server}/{path}", tiny.preprocessor)
    assert "Name a TF-Hub text model" in str(caught.value)


def test_a_server_that_refuses(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(BerthError, match=r"preprocessor: .* does not resolve .*[Cc]onnection refused"):
        encoder.resolve(tiny.encoder, f"http://127.0.0.1:{port}/p.tar.gz")


def test_a_server_that_says_nothing_is_given_up(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("TFHUB_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(encoder, "_PATIENCE", 1)
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(BerthError, match=r"does not resolve .*timed out"),
    ):
        encoder.resolve(f"http://127.0.0.1:{silent.getsockname()[1]}/e.tar.gz", tiny.preprocessor)


def test_folders_that_hold_no_model(tmp_path, tiny):
    with pytest.raises(BerthError, match=r"encoder: no folder '/nowhere/bert'"):
        encoder.resolve("/nowhere/bert", tiny.preprocessor)
    with pytest.raises(BerthError, match=r"is no SavedModel, it has no saved_model\.pb"):
        encoder.resolve(str(tmp_path), tiny.preprocessor)
    (tmp_path / "saved_model.pb").write_bytes(b"nonsense")
    with pytest.raises(BerthError, match="cannot be loaded"):
        encoder.load("encoder", str(tmp_path), str(tmp_path))
