"""Whole runs of the DAG on a tiny BERT."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.calling import MESSAGES, ROOT, write_config


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--screenshots", type=Path, help="Where the pages of MLflow are saved as PNG: docs/images.")


@pytest.fixture
def screenshots(request, tmp_path) -> Path:
    """The folder for screenshots: where --screenshots says, else one that is thrown away."""
    return request.config.getoption("--screenshots") or tmp_path


@pytest.fixture(scope="session")
def tiny_bert(tmp_path_factory) -> dict[str, str]:
    """A tiny random BERT in TF-Hub's format: enough to run every step in seconds."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    python = ROOT / ".venv/train/bin/python"
    subprocess.run(
        [str(python), str(ROOT / "tests/support/tiny_bert.py"), str(folder)],
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
    )
    return {"encoder": str(folder / "encoder"), "preprocessor": str(folder / "preprocessor")}


@pytest.fixture
def workspace(tmp_path, tiny_bert) -> Callable[..., Path]:
    """Return a function that makes a folder with 400 real messages and a configuration that trains the tiny BERT."""

    def make(messages: list[str] | None = None, **changes: object) -> Path:
        (tmp_path / "messages.tsv").write_text(
            "".join(MESSAGES[:400] if messages is None else messages), encoding="utf-8"
        )
        settings = {"epochs": 1, "sequence_length": 32, "gates": {"min_accuracy": 0.5}} | tiny_bert | changes
        write_config(tmp_path, **settings)
        return tmp_path

    return make
