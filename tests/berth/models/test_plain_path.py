"""A path that TensorFlow does not read as a pattern of files; whole runs in such a folder are in tests/e2e."""

import tempfile
from pathlib import Path

import pytest

from berth.models.plain_path import plain_path


@pytest.mark.parametrize("name", ["spam", "ä b#100%"])
def test_other_paths_stay_as_they_are(tmp_path, name):
    assert plain_path(tmp_path / name) == str(tmp_path / name)


@pytest.mark.parametrize("name", ["spam [1]", "spam?", "*", "sp\\am"])
def test_a_path_like_a_pattern_is_reached_by_a_link(tmp_path, monkeypatch, name):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))  # as a step's, which is in the working folder
    (tmp_path / name).mkdir()
    (tmp_path / name / "saved_model.pb").touch()
    link = plain_path(tmp_path / name)
    assert not set("*?[\\") & set(link)
    assert [path.name for path in Path(link).iterdir()] == ["saved_model.pb"]
