"""A model is the files that were exported, and brings no code; on real SavedModels."""

import os
import pickle
import shutil
import subprocess
from pathlib import Path

import pytest

from berth.errors import BerthError
from berth.models import integrity
from tests.support import digits_model


@pytest.fixture
def model(models, tmp_path) -> Path:
    """A sealed model to spoil."""
    return Path(shutil.copytree(models / "single", tmp_path / "model"))


def refused(folder: Path, *words: str) -> None:
    """Assert that the model is refused in one line that has `words`, whether sealed again or not."""
    with pytest.raises(BerthError) as caught:
        integrity.verify(folder)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def resealed_by_an_attacker(folder: Path) -> Path:
    """Write the manifest of whatever is there now, as who tampers with a model would."""
    listing = "find . -type f ! -name 'SHA256SUMS*' -printf '%P\\0' | xargs -0 sha256sum > SHA256SUMS"
    subprocess.run(listing, shell=True, cwd=folder, check=True)
    return folder


def test_a_model_as_it_was_exported_passes_and_sha256sum_agrees(model):
    assert integrity.verify(model) == integrity.verify(model)
    assert len(integrity.verify(model)) == 64
    subprocess.run(["sha256sum", "-c", "--strict", "--quiet", "SHA256SUMS"], cwd=model, check=True)


@pytest.mark.parametrize("name", ["saved_model.pb", "variables/variables.data-00000-of-00001", "assets/labels.txt"])
def test_one_flipped_bit_is_found(model, name):
    data = bytearray((model / name).read_bytes())
    data[len(data) // 2] ^= 1
    (model / name).write_bytes(data)
    refused(model, name, "not as it was exported")


def test_a_missing_file_is_found(model):
    (model / "variables/variables.index").unlink()
    refused(model, "variables/variables.index is missing")


@pytest.mark.parametrize("name", ["assets/more.txt", "extra", "assets/SHA256SUMS"])
def test_a_file_too_many_is_found(model, name):
    (model / name).write_text("more")
    refused(model, name, "is not one of the model's")


def test_missing_or_malformed_manifest_is_refused(model):
    (model / "SHA256SUMS").write_text("nonsense\n../../etc/passwd\n")
    refused(model, "it is not the model that was exported")
    (model / "SHA256SUMS").write_bytes(b"\xff\xfe")
    refused(model, "no SHA256SUMS")
    (model / "SHA256SUMS").unlink()
    refused(model, "no SHA256SUMS", "Export the model again.")


class Call:
    def __reduce__(self):
        return os.getpid, ()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickled_code_is_refused_in_every_protocol(model, protocol):
    """Whatever the asset's name is."""
    (model / "assets/vocab.txt").write_bytes(pickle.dumps(Call(), protocol))
    refused(resealed_by_an_attacker(model), "assets/vocab.txt", "pickled")


@pytest.mark.parametrize("name", ["assets/run.py", "assets/run.PY", "variables/x.so", "assets/tokens.pkl"])
def test_a_file_of_code_is_refused_by_its_name(model, name):
    (model / name).write_text("")
    refused(resealed_by_an_attacker(model), name, "code")


def test_a_file_that_no_savedmodel_has_is_refused(model):
    (model / "setup.sh").write_text("")
    refused(resealed_by_an_attacker(model), "setup.sh is not part of a SavedModel")


@pytest.mark.parametrize("name", ["Lambda", "\\u004cambda", "L\\u0061mbda"])
def test_a_lambda_layer_is_refused(model, name):
    """Also where its name is written as JSON lets one write it."""
    layer = b'{"config": {"layers": [{"class_name": "' + name.encode() + b'", "config": {}}]}}'
    node = b"\x2a" + bytes([len(layer)]) + layer
    (model / "keras_metadata.pb").write_bytes(b"\x0a" + bytes([len(node)]) + node)
    refused(resealed_by_an_attacker(model), "Lambda layer")


def test_graph_that_calls_python_is_refused(models, tmp_path):
    """When it is exported, and when it is verified."""
    model = Path(shutil.copytree(models / "python", tmp_path / "model"))
    with pytest.raises(BerthError, match="the graph holds a EagerPyFunc"):
        integrity.seal(model)
    assert not (model / "SHA256SUMS").exists()
    refused(resealed_by_an_attacker(model), "EagerPyFunc")


_REACHING_THE_DISK = """
import sys
import tensorflow as tf

class Prints(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def serve(self, text):
        tf.print(text, output_stream="file:///tmp/berth-never-written")
        return text

class Reads(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([], tf.string)])
    def serve(self, text):
        return tf.data.TextLineDataset("/etc/hostname").reduce(text, lambda _, line: line)

for module in (Prints(), Reads()):
    tf.saved_model.save(module, f"{sys.argv[1]}/{type(module).__name__}", signatures=module.serve)
"""


def test_graph_that_writes_or_reads_files_is_refused(tmp_path):
    subprocess.run(
        [str(digits_model.TRAIN_PYTHON), "-c", _REACHING_THE_DISK, str(tmp_path)], check=True, capture_output=True
    )
    for folder, op in (("Prints", "PrintV2"), ("Reads", "TextLineDataset")):
        with pytest.raises(BerthError, match=f"the graph holds a {op}, which a model must not bring"):
            integrity.seal(tmp_path / folder)


@pytest.mark.parametrize("target", ["/etc/hostname", "/etc", "/nowhere"])
def test_a_link_is_refused(model, target):
    (model / "assets/link").symlink_to(target)
    refused(model, "assets/link is a link")


def test_a_pipe_is_refused_and_not_waited_for(model):
    os.mkfifo(model / "assets/pipe")
    refused(model, "assets/pipe")


def test_weights_and_texts_that_look_like_a_pickle_pass(model):
    (model / "variables/variables.data-00000-of-00001").write_bytes(b"\x80\x04\x95" + bytes(100))
    (model / "assets/vocab.txt").write_text("N.\nI1\n.\n[PAD]\nham\n")
    integrity.seal(model)
    integrity.verify(model)


@pytest.mark.parametrize("labels", [["No.", "Yes."], ["cat", "dog", "e.coli"], ["R.E.M.", "other"], ["c", ".", "No."]])
def test_labels_that_read_as_pickle_opcodes_are_labels(model, labels):
    (model / "assets/labels.txt").write_text("".join(f"{label}\n" for label in labels))
    integrity.seal(model)
    integrity.verify(model)


@pytest.mark.parametrize("words", [["c", ".", "No."], ["No.", "c"], ["R.E.M.", "o", "i"], ["(i", "..", "."]])
def test_a_vocabulary_of_words_that_are_pickle_opcodes_passes(model, words):
    (model / "assets/vocab.txt").write_text("".join(f"{word}\n" for word in words))
    integrity.seal(model)
    integrity.verify(model)


@pytest.mark.parametrize("name", ["labels.txt", "classifier.json"])
def test_a_binary_pickle_is_refused_in_berths_own_assets_too(model, name):
    (model / "assets" / name).write_bytes(pickle.dumps(Call()))
    refused(resealed_by_an_attacker(model), f"assets/{name}", "pickled")
