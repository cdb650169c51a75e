"""What tells a model that training has made blind from one that is sure."""

from types import SimpleNamespace

import numpy as np
import pytest

from berth.errors import BerthError
from components.train import collapse


def judge(monkeypatch, targets):
    """Judge a model that is sure of the first class whatever the text is."""
    said = np.tile(np.array([[1.0, 0.0]], np.float32), (len(targets), 1))
    monkeypatch.setattr(collapse, "_some", lambda *_: said)
    validation = SimpleNamespace(targets=np.array(targets, np.int32))
    collapse.check_not_collapsed(None, None, validation, 0.01, ["ham", "spam"], 1e-3)


def test_what_is_said_of_every_text_is_no_collapse_where_it_is_right(monkeypatch):
    """A rare class may have none of the texts that are looked at."""
    judge(monkeypatch, [0] * 256)


def test_what_is_said_of_every_text_is_a_collapse_where_texts_differ(monkeypatch):
    with pytest.raises(BerthError, match="the model has collapsed: it says 'ham'"):
        judge(monkeypatch, [0] * 255 + [1])
