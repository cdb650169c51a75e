"""The images, built as `make images` builds them, and a workspace for the demo's DAG in them."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from berth.images import ALL, TRAIN
from tests.support.calling import MESSAGES, QUICK, ROOT, write_config


def docker(*arguments: str) -> str:
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}\n{done.stderr[-4000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def engine() -> None:
    """A container engine; without one the tests are skipped, and fail where containers are required."""
    answers = shutil.which("docker") and subprocess.run(["docker", "version"], capture_output=True).returncode == 0
    if answers:
        return
    if os.environ.get("BERTH_CONTAINERS") == "required":
        pytest.fail("no container engine answers, and BERTH_CONTAINERS is 'required'")
    pytest.skip("no container engine answers: start Docker")


@pytest.fixture(scope="session")
def built(engine) -> tuple[str, ...]:
    """The names of the images, built of this checkout; the layers of an earlier build are used again."""
    done = subprocess.run(["make", "images", "ENGINE=docker"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, (done.stdout + done.stderr)[-8000:]
    return ALL


@pytest.fixture(scope="session")
def tiny_bert(built, tmp_path_factory) -> dict[str, str]:
    """A tiny random BERT in TF-Hub's format, made in the train image."""
    folder = tmp_path_factory.mktemp("tiny-bert")
    run = ["run", "--rm", "--network=host", "--user=0:0", f"--volume={ROOT}:/berth:ro", f"--volume={folder}:{folder}"]
    docker(*run, "--env=PYTHONPATH=/berth", TRAIN, "python", "/berth/tests/support/tiny_bert.py", str(folder))
    return {"encoder": str(folder / "encoder"), "preprocessor": str(folder / "preprocessor")}


@pytest.fixture(scope="session")
def make_workspace(tiny_bert) -> Callable[..., Path]:
    """Return a function that fills a folder with 400 real messages and a configuration that trains the tiny BERT."""

    def make(folder: Path, messages: list[str] | None = None, **changes: object) -> Path:
        text = "".join(MESSAGES[:400] if messages is None else messages)
        (folder / "messages.tsv").write_text(text, encoding="utf-8")
        write_config(folder, **QUICK | tiny_bert | changes)
        return folder

    return make
