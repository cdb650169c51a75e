"""Imports that leave out optional packages."""

import gc
import importlib
import subprocess
import sys

import pytest

from berth.hidden_packages import hidden, without


def test_packages_are_hidden_in_the_block_only():
    for name in ("wave", "colorsys"):
        sys.modules.pop(name, None)
    import colorsys

    with without("wave", "colorsys"):
        assert not gc.isenabled()
        assert importlib.import_module("colorsys") is colorsys, "it was imported before"
        with pytest.raises(ImportError):
            importlib.import_module("wave")
    assert gc.isenabled()
    assert importlib.import_module("wave")


def test_long_block_collects_its_garbage():
    with hidden("wave"):
        assert gc.isenabled()


def test_only_processes_of_berth_hide_packages():
    """What MLflow ships with a model does not: the loader runs in a user's program."""
    code = "import sys, berth.models.pyfunc, berth.models.saved_model; print('berth.hidden_packages' in sys.modules)"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "False\n"
