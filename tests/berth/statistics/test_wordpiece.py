"""The encoder's vocabulary, wherever it is."""

import functools
import hashlib
import http.server
import io
import tarfile
import threading
from types import SimpleNamespace

import pytest

from berth.encoders.fetch import cache
from berth.encoders.fetch.handle import parse
from berth.encoders.wordpiece import find_vocabulary

PIECES = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nworld\n##s\n"


def test_the_built_in_encoders_vocabulary_is_that_of_its_package():
    vocabulary = find_vocabulary("minilm", "")
    assert len(vocabulary.pieces) == 30522
    assert not vocabulary.cased
    encoded = vocabulary.tokenizer().encode("Unaffable \u732b", add_special_tokens=False)
    assert encoded.tokens == ["una", "##ffa", "##ble", "[UNK]"]


def test_vocabulary_is_found_in_a_folders_assets(tmp_path):
    assets = tmp_path / "preprocessor/assets"
    assets.mkdir(parents=True)
    (assets / "other.bin").write_bytes(b"\xff\x00")
    (assets / "vocab.txt").write_text(PIECES + "Hello\n")
    vocabulary = find_vocabulary("x", str(tmp_path / "preprocessor"))
    assert vocabulary.cased
    assert vocabulary.tokenizer().encode("Hello worlds", add_special_tokens=False).tokens == ["Hello", "world", "##s"]


@pytest.fixture
def site(tmp_path):
    """A web server with model.tar.gz, and with linked.tar.gz, which has a link in it."""
    folder = tmp_path / "site"
    folder.mkdir()
    for archive_name, linked in (("model", False), ("linked", True)):
        with tarfile.open(folder / f"{archive_name}.tar.gz", "w:gz") as archive:
            for name, content in (("saved_model.pb", b"x"), ("assets/vocab.txt", PIECES.encode())):
                member = tarfile.TarInfo(f"./{name}")
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
            if linked:
                link = tarfile.TarInfo("./variables")
                link.type, link.linkname = tarfile.SYMTYPE, "/etc"
                archive.addfile(link)
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield SimpleNamespace(url=f"http://127.0.0.1:{server.server_port}", folder=folder)
        server.shutdown()


def test_vocabulary_is_found_in_a_served_archives_assets(site):
    assert find_vocabulary("x", f"{site.url}/model.tar.gz").pieces == PIECES.splitlines()
    assert find_vocabulary("x", f"{site.url}/gone.tar.gz") is None


def test_archive_is_checked_as_that_of_training(site, capsys):
    """By its pin, and for members that no SavedModel has; the reason is printed."""
    digest = hashlib.sha256((site.folder / "model.tar.gz").read_bytes()).hexdigest()
    assert find_vocabulary("x", f"{site.url}/model.tar.gz#sha256={digest}")
    assert find_vocabulary("x", f"{site.url}/model.tar.gz#sha256={'0' * 64}") is None
    assert f"its sha256 is {digest}" in capsys.readouterr().out
    assert find_vocabulary("x", f"{site.url}/linked.tar.gz") is None
    assert "it holds a link" in capsys.readouterr().out


def test_vocabulary_of_a_cached_handle_is_not_fetched_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    text = "gs://bucket/preprocessor"

    def make(folder):
        (folder / "assets").mkdir()
        (folder / "assets/vocab.txt").write_text(PIECES)
        (folder / "saved_model.pb").touch()
        return "", []

    cache.obtain(parse("preprocessor", text).name, text, make)
    assert find_vocabulary("x", text).pieces == PIECES.splitlines()


def test_address_with_a_secret_is_not_printed(capsys):
    assert find_vocabulary("x", "https://host/x.tar.gz?X-Amz-Signature=pass-w0rd") is None
    printed = capsys.readouterr().out
    assert "credentials" in printed
    assert "pass-w0rd" not in printed


@pytest.mark.parametrize("handle", ["/nowhere", "gs://bucket/model", "http://127.0.0.1:9/model"])
def test_where_there_is_none_texts_are_counted_in_words(handle):
    assert find_vocabulary("x", handle) is None
