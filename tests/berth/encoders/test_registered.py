"""`encoder: models:/NAME@champion`: an encoder of the registry, with the preprocessor that it brings."""

from pathlib import Path

import pytest

from berth.encoders import present, registered
from berth.errors import BerthError
from berth.registry.versions import Version
from berth.tracking import tags


@pytest.fixture
def versions(monkeypatch):
    """The registry: town's champion is the last of these."""
    found = [Version(1, {tags.KIND: tags.ENCODER, tags.DIGEST: "a" * 64}, 0.0)]
    monkeypatch.setattr(registered, "resolve", lambda text: ("town", found[-1]))
    return found


def test_another_champion_is_another_encoder(versions):
    before = present.fingerprint("models:/town@champion", "")
    assert present.registered_version("models:/town@champion") == "town/1"
    assert present.fingerprint("models:/town@champion", "") == before
    versions.append(Version(2, {tags.KIND: tags.ENCODER, tags.DIGEST: "b" * 64}, 0.0))
    assert present.fingerprint("models:/town@champion", "") != before
    assert present.registered_version("models:/town@champion") == "town/2"
    assert present.registered_version("minilm") == ""


def test_another_version_of_the_same_files_is_not_another(versions):
    before = present.fingerprint("models:/town@champion", "")
    versions.append(Version(2, {tags.KIND: tags.ENCODER, tags.DIGEST: "a" * 64}, 0.0))
    assert present.fingerprint("models:/town@champion", "") == before


def test_a_classifier_is_no_encoder(versions):
    versions.append(Version(3, {}, 0.0))
    with pytest.raises(BerthError, match=r"encoder: models:/town@champion is a classifier. Name an encoder"):
        present.fingerprint("models:/town@champion", "")


def test_its_files_are_copied_as_they_were_pushed(versions, monkeypatch, tmp_path):
    stored = tmp_path / "stored"
    (stored / "preprocessor").mkdir(parents=True)
    (stored / "saved_model.pb").write_bytes(b"encoder")
    asked: list[str] = []

    class Fetched:
        folder = stored

    monkeypatch.setattr(registered, "fetch", lambda text, scratch: asked.append(text) or Fetched)
    (tmp_path / "cache").mkdir()
    registered.fetch_into("encoder", "models:/town@champion", tmp_path / "cache")
    assert asked == ["town/1"]
    assert Path(tmp_path / "cache" / "preprocessor").is_dir()
    assert (tmp_path / "cache" / "saved_model.pb").read_bytes() == b"encoder"
