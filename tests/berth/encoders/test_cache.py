"""The cache of encoders: made once, whole or not at all."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from berth.encoders.fetch import cache
from berth.errors import BerthError


@pytest.fixture(autouse=True)
def root(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "berth"


def visible(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.suffix != ".lock")


def test_runs_that_ask_at_once_wait_for_the_one_that_makes_it(root, capsys):
    made, got = [], []

    def make(folder: Path):
        made.append(folder)
        (folder / "first").write_text("1")
        time.sleep(0.5)
        (folder / "second").write_text("2")
        return "", []

    threads = [threading.Thread(target=lambda: got.append(cache.obtain("bert", "h", make))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert got == [root / "bert"] * 3
    assert {path.name for path in got[0].iterdir()} == {"first", "second", "entry.json"}
    assert "waiting for another run that makes bert" in capsys.readouterr().out


def test_what_a_killed_run_left_is_not_taken_and_is_cleared(root):
    program = """
import os, signal
from berth.encoders.fetch import cache
def make(folder):
    (folder / "half").write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
cache.obtain("bert", "h", make)
"""
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    done = subprocess.run([sys.executable, "-c", program], env=environment)
    assert done.returncode == -signal.SIGKILL
    assert [name[:6] for name in visible(root)] == [".bert~"]
    assert cache.entries() == []

    def make(folder: Path):
        (folder / "whole").write_text("whole")
        return "", []

    folder = cache.obtain("bert", "h", make)
    assert sorted(path.name for path in folder.iterdir()) == ["entry.json", "whole"]
    assert visible(root) == ["bert"]


def test_what_fails_leaves_nothing(root):
    def make(folder: Path):
        (folder / "half").write_text("half")
        raise BerthError("no SavedModel")

    with pytest.raises(BerthError, match="no SavedModel"):
        cache.obtain("bert", "h", make)
    assert visible(root) == []


def test_the_digest_is_of_names_and_contents_alone(root, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name / "variables").mkdir(parents=True)
        (tmp_path / name / "variables" / "a").write_text("a")
    assert cache.digest(tmp_path / "one") == cache.digest(tmp_path / "two")
    (tmp_path / "two" / "variables" / "a").rename(tmp_path / "two" / "a")
    assert cache.digest(tmp_path / "one") != cache.digest(tmp_path / "two")


def test_a_cache_that_cannot_be_written_is_said(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(BerthError, match=r"file/berth: cannot be written \(Not a directory\)\. Set XDG_CACHE_HOME"):
        cache.obtain("bert", "h", lambda folder: ("", []))
