"""The encoder's vocabulary, wherever it is."""

import functools
import http.server
import io
import tarfile
import threading

import pytest

from berth.encoders.wordpiece import find_vocabulary

PIECES = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nhello\nworld\n##s\n"


def test_the_built_in_encoders_vocabulary_is_that_of_its_package():
    vocabulary = find_vocabulary("minilm", "")
    assert len(vocabulary.pieces) == 30522
    assert not vocabulary.cased
    encoded = vocabulary.tokenizer().encode("Unaffable \u732b", add_special_tokens=False)
    assert encoded.tokens == ["una", "##ffa", "##ble", "[UNK]"]


def test_vocabulary_is_found_in_folder_and_archive_assets(tmp_path):
    """Both a preprocessor folder and a served archive keep the vocabulary among their assets."""
    assets = tmp_path / "preprocessor/assets"
    assets.mkdir(parents=True)
    (assets / "other.bin").write_bytes(b"\xff\x00")
    (assets / "vocab.txt").write_text(PIECES + "Hello\n")
    vocabulary = find_vocabulary("x", str(tmp_path / "preprocessor"))
    assert vocabulary.cased
    assert vocabulary.tokenizer().encode("Hello worlds", add_special_tokens=False).tokens == ["Hello", "world", "##s"]

    (tmp_path / "site").mkdir()
    with tarfile.open(tmp_path / "site/model.tar.gz", "w:gz") as archive:
        for name, content in (("saved_model.pb", b"x"), ("assets/vocab.txt", PIECES.encode())):
            member = tarfile.TarInfo(f"./{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "site"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert find_vocabulary("x", f"{address}/model.tar.gz").pieces == PIECES.splitlines()
        assert find_vocabulary("x", f"{address}/gone.tar.gz") is None
        server.shutdown()


@pytest.mark.parametrize("handle", ["/nowhere", "gs://bucket/model", "http://127.0.0.1:9/model"])
def test_where_there_is_none_texts_are_counted_in_words(handle):
    assert find_vocabulary("x", handle) is None
