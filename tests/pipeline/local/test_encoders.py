"""`berth encoders` as a person calls it, with a loopback server to fetch from."""

import functools
import hashlib
import http.server
import os
import subprocess
import tarfile
import threading

import pytest

from tests.support.calling import ROOT
from tests.support.forks import berth


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The address of a server that has a tiny BERT's encoder and preprocessor as .tar.gz, and its folder."""
    made, site = tmp_path_factory.mktemp("tiny"), tmp_path_factory.mktemp("site")
    program = [ROOT / ".venv/train/bin/python", ROOT / "tests/support/tiny_bert.py", made]
    subprocess.run(program, check=True, capture_output=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
    for name in ("encoder", "preprocessor"):
        with tarfile.open(site / f"{name}.tar.gz", "w:gz") as archive:
            archive.add(made / name, arcname=".")

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_): ...

    serve = functools.partial(Handler, directory=str(site))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), serve) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", site
        server.shutdown()


def test_encoders_are_fetched_listed_and_verified(train_forks, site, tmp_path):
    address, folder = site
    call = functools.partial(berth, tmp_path, XDG_CACHE_HOME=str(tmp_path / "cache"))
    assert "Nothing is in" in call("encoders", "list").stdout

    digest = hashlib.sha256((folder / "encoder.tar.gz").read_bytes()).hexdigest()
    done = call("encoders", "add", f"{address}/encoder.tar.gz")
    assert done.returncode == 0, done.stderr
    first, second, third, last = done.stdout.splitlines()
    assert first == f"fetching {address}/encoder.tar.gz"
    assert second.startswith("encoder-")
    assert " is fetched: encoder of " in second
    assert third == f"encoder: {address}/encoder.tar.gz"
    assert last.endswith(f"append #sha256={digest}")
    assert "is there already" in call("encoders", "add", f"{address}/encoder.tar.gz").stdout
    pinned = hashlib.sha256((folder / "preprocessor.tar.gz").read_bytes()).hexdigest()
    done = call("encoders", "add", f"{address}/preprocessor.tar.gz", "--sha256", pinned)
    assert done.stdout.splitlines()[-1] == f"preprocessor: {address}/preprocessor.tar.gz#sha256={pinned}"

    listed = call("encoders", "list").stdout
    assert max(map(len, listed.splitlines())) <= 80
    for words in ("encoder-", "preprocessor-", f"{address}/encoder.tar.gz", "kB", "sha256"):
        assert words in listed

    done = call("encoders", "verify")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("✓") == 2
    assert "takes input_word_ids, input_mask, input_type_ids" in done.stdout
    assert "fits the vocabulary of preprocessor-" in done.stdout

    (weights,) = (tmp_path / "cache/berth").glob("encoder-*/variables/variables.data*")
    weights.write_bytes(weights.read_bytes()[:-1] + b"?")
    done = call("encoders", "verify", f"{address}/encoder.tar.gz")
    assert done.returncode == 1
    assert "✗ encoder-" in done.stdout
    assert "its files are not as they were fetched (SHA-256)" in done.stdout
    assert done.stderr.startswith("error: 1 of 1 cannot be used. Remove ")
    assert done.stderr.count("\n") == 1


def test_a_folder_of_hugging_face_is_converted_once(train_forks, tmp_path):
    call = functools.partial(berth, tmp_path, XDG_CACHE_HOME=str(tmp_path))
    folder = str(ROOT / "tests/berth/encoders/fixtures/checkpoints/masked")
    done = call("encoders", "add", folder, "--name", "my bert")
    assert done.returncode == 0, done.stderr
    first, second, last = done.stdout.splitlines()
    assert first == f"converting {folder}"
    assert second.startswith("my-bert-")
    assert " is converted: encoder of 30 tokens, " in second
    assert last == f"encoder: {folder}"
    assert "is there already" in call("encoders", "add", folder).stdout
    assert "my-bert-" in call("encoders", "list").stdout
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"model_type": "roberta"}', encoding="utf-8")
    done = call("encoders", "add", str(tmp_path / "other"))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "its model_type is 'roberta', and only bert and distilbert can be converted." in done.stderr


def test_mistakes_are_one_line_and_leave_nothing(tmp_path):
    """Another archive than the one of --sha256 is one in tests/berth/encoders/test_resolve.py."""
    for arguments, words in (
        (("add", str(tmp_path)), "is not an address"),
        (("add", "https://host/encoder.tar.gz", "--sha256", "12"), "64 hexadecimal digits"),
        (("verify", "bert"), "no 'bert' in "),
    ):
        done = berth(tmp_path, "encoders", *arguments, XDG_CACHE_HOME=str(tmp_path))
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert words in done.stderr
    left = [path.suffix for path in (tmp_path / "berth").glob(".*")]
    assert set(left) <= {".lock"}
