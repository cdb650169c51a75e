"""File locks between real processes."""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from berth.storage.locks import LockTimeout, locked

HOLD = (
    "import sys, time; from pathlib import Path; from berth.storage.locks import locked\n"
    "with locked(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
)


@contextlib.contextmanager
def held(path: Path) -> Iterator["subprocess.Popen[str]"]:
    """Let another process hold the lock of `path`."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, path], stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout.readline() == "held\n"
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_lock_is_made_held_and_held_again(tmp_path):
    for _ in range(2):
        with locked(tmp_path / "lock", timeout=0):
            assert (tmp_path / "lock").exists()


def test_a_held_lock_is_refused_without_waiting(tmp_path):
    with locked(tmp_path / "lock"), pytest.raises(LockTimeout), locked(tmp_path / "lock", timeout=0):
        pass


def test_a_held_lock_is_refused_after_the_time_limit(tmp_path):
    started = time.monotonic()
    with locked(tmp_path / "lock"), pytest.raises(LockTimeout), locked(tmp_path / "lock", timeout=0.3):
        pass
    assert time.monotonic() - started >= 0.3


@pytest.mark.parametrize("timeout", [None, 30])
def test_a_killed_process_releases_its_lock(tmp_path, timeout):
    with held(tmp_path / "lock") as other:
        threading.Timer(0.2, other.kill).start()
        with locked(tmp_path / "lock", timeout):
            assert other.wait(10) == -9


def test_a_process_that_inherits_the_descriptor_holds_the_lock(tmp_path):
    with locked(tmp_path / "lock") as descriptor:
        heir = subprocess.Popen(["sleep", "60"], pass_fds=[descriptor])
    try:
        with pytest.raises(LockTimeout), locked(tmp_path / "lock", timeout=0):
            pass
    finally:
        heir.kill()
        heir.wait()
    with locked(tmp_path / "lock", timeout=0):
        pass


def test_an_error_in_the_body_releases_the_lock(tmp_path):
    with pytest.raises(ValueError, match="body"), locked(tmp_path / "lock"):
        raise ValueError("body")
    with locked(tmp_path / "lock", timeout=0):
        pass


def test_a_folder_can_be_locked_and_stays_removable(tmp_path):
    (tmp_path / "folder").mkdir()
    with locked(tmp_path / "folder", timeout=0, create=False):
        with pytest.raises(LockTimeout), locked(tmp_path / "folder", timeout=0, create=False):
            pass
        (tmp_path / "folder").rmdir()


def test_a_path_that_cannot_be_opened_is_an_os_error(tmp_path):
    with pytest.raises(FileNotFoundError), locked(tmp_path / "absent" / "lock"):
        pass
    with pytest.raises(FileNotFoundError), locked(tmp_path / "absent", create=False):
        pass
    assert not list(tmp_path.iterdir())


def test_the_content_of_a_locked_file_stays(tmp_path):
    (tmp_path / "lock").write_text("content")
    with locked(tmp_path / "lock") as descriptor:
        assert os.read(descriptor, 10) == b"content"
    assert (tmp_path / "lock").read_text() == "content"
