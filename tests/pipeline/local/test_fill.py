"""`berth fill`: which encoders and texts it takes."""

from types import SimpleNamespace

import pytest

from berth.errors import BerthError
from berth.registry.versions import Version
from pipeline.local import fill


@pytest.fixture
def registered(monkeypatch, tmp_path):
    """Let every name stand for a version with these tags."""
    tags: dict[str, str] = {}
    found = SimpleNamespace(folder=tmp_path / "fetched", version=Version(1, tags, 0.0))
    monkeypatch.setattr(fill, "fetch", lambda name: found)
    monkeypatch.setattr(fill.mlflow_store, "use_tracking_uri", lambda: None)
    return tags


def test_a_classifier_fills_in_no_words(registered, tmp_path):
    with pytest.raises(BerthError, match=r"^spam: a classifier, which fills in no words\. Name an encoder"):
        fill.encoder_dir("spam")
    registered["berth.kind"] = "encoder"
    assert fill.encoder_dir("town") == tmp_path / "fetched"
    assert fill.encoder_dir(str(tmp_path)) == tmp_path


def test_text_without_a_mask_is_one_line():
    with pytest.raises(BerthError, match=r"'the town' has no \[MASK\]\. Write \[MASK\] where a word is asked for\."):
        next(fill.fill("town", ["a [MASK]", "the town"], 5))
