"""Whole runs of the DAG on a tiny BERT."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.calling import GOOD, MESSAGES, QUICK, ROOT, berth, write_config
from tests.support.once import once


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", type=Path, help="Where the pages of MLflow are saved as PNG: docs/images.")


@pytest.fixture
def screenshots(request, tmp_path) -> Path:
    """The folder for screenshots: where --screenshots says, else one that is thrown away."""
    return request.config.getoption("--screenshots") or tmp_path


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory) -> dict[str, str]:
    """A tiny random BERT in TF-Hub's format: enough to run every step in seconds."""

    def make(folder: Path) -> None:
        subprocess.run(
            [str(ROOT / ".venv/train/bin/python"), str(ROOT / "tests/support/tiny_bert.py"), str(folder)],
            check=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True,
        )

    folder = once(tmp_path_factory, "tiny-bert", make)
    return {"encoder": str(folder / "encoder"), "preprocessor": str(folder / "preprocessor")}


@pytest.fixture(scope="module")
def champion(tmp_path_factory, tiny_bert) -> Path:
    """A module's own copy of a folder with 2,000 real messages and a tiny BERT that has learnt them, the champion.

    The run that makes it takes 60 s of CPU. In a copy the first command says that the folder has been moved.
    """

    def make(folder: Path) -> None:
        folder.mkdir()
        (folder / "messages.tsv").write_text("".join(MESSAGES[:2000]), encoding="utf-8")
        write_config(folder, **GOOD, **tiny_bert)
        first = berth(folder, "run", "config.yaml")
        assert first.returncode == 0, first.stdout + first.stderr

    made = once(tmp_path_factory, "champion [1]", make)  # a pattern of files, if read as one
    folder = tmp_path_factory.mktemp("copies") / "champion [2]"
    shutil.copytree(made, folder)
    assert "moved from" in berth(folder, "runs").stderr
    return folder


@pytest.fixture
def workspace(tmp_path, tiny_bert) -> Callable[..., Path]:
    """Return a function that makes a folder with 400 real messages and a configuration that trains the tiny BERT."""

    def make(messages: list[str] | None = None, **changes: object) -> Path:
        (tmp_path / "messages.tsv").write_text(
            "".join(MESSAGES[:400] if messages is None else messages), encoding="utf-8"
        )
        write_config(tmp_path, **QUICK | tiny_bert | changes)
        return tmp_path

    return make
