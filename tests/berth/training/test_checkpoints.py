"""Checkpoints on a disk, in S3 (moto) and in Google Cloud Storage (an emulation): whole or not there, and whose."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

from berth.errors import BerthError
from berth.training import checkpoint_storage
from berth.training.checkpoints import Checkpoints
from berth.training.preemption import Preempted, preemption
from tests.support import google_storage

ROOT = Path(__file__).parents[3]
MINE = {"data": "a", "learning_rate": "3e-05", "seed": "0"}


def arrays(number: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(number)
    table = rng.standard_normal((5, 3)).astype(np.float32)
    return {"table": table, "turned": table.T, "step": np.int64(number), "empty": np.zeros((0, 3), np.float32)}


def same(restored, number: int) -> bool:
    found, position = restored
    expected = arrays(number)
    return (
        position["step"] == number
        and found.keys() == expected.keys()
        and all(
            found[name].dtype == expected[name].dtype
            and found[name].shape == expected[name].shape
            and (found[name] == expected[name]).all()
            for name in expected
        )
    )


def position(number: int) -> dict:
    return {"step": number, "rng": np.random.default_rng(number).bit_generator.state, "sum": 0.1 + number}


def save(checkpoints: Checkpoints, *numbers: int) -> None:
    for number in numbers:
        checkpoints.save(arrays(number), position(number))


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


@pytest.fixture(scope="module")
def s3_server(tmp_path_factory):
    """The address of a real S3 server, moto's, from the environment that has it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = subprocess.Popen(
        [ROOT / ".venv/core/bin/moto_server", "--host", "127.0.0.1", "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    address = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while True:
        try:
            urllib.request.urlopen(f"{address}/moto-api/", timeout=5).close()
            break
        except OSError:
            assert server.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
    yield address
    server.terminate()
    server.wait(30)


@pytest.fixture
def s3(s3_server, monkeypatch) -> str:
    """An address in a bucket; the credentials are in the environment only."""
    import fsspec

    for key, value in (
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "very-secret"),
        ("AWS_DEFAULT_REGION", "us-east-1"),
        ("AWS_ENDPOINT_URL", s3_server),
    ):
        monkeypatch.setenv(key, value)
    store = fsspec.filesystem("s3", skip_instance_cache=True)
    if not store.exists("checkpoints"):
        store.mkdir("checkpoints")
    return "s3://checkpoints/team"


@pytest.fixture
def gs(monkeypatch) -> str:
    """An address in an emulation of Google Cloud Storage."""
    with google_storage.bucket("checkpoints", monkeypatch):
        yield "gs://checkpoints/team"


@pytest.fixture(params=["disk", "s3", "gs"])
def place(request, tmp_path) -> str:
    return str(tmp_path / "checkpoints") if request.param == "disk" else request.getfixturevalue(request.param)


def test_newest_checkpoint_is_restored_bit_by_bit(place):
    """The last two are kept, and clear leaves nothing."""
    checkpoints = Checkpoints(place, MINE)
    assert checkpoints.restore() is None
    save(checkpoints, 1, 2, 3)
    assert same(Checkpoints(place, MINE).restore(), 3)
    names = checkpoint_storage.at(checkpoints.address).names()
    assert [name.partition("-")[0] for name in sorted(names)] == ["000002", "000003"]
    Checkpoints(place, MINE).clear()
    assert checkpoint_storage.at(checkpoints.address).names() == []
    assert Checkpoints(place, MINE).restore() is None


def test_runs_that_share_a_folder_do_not_meet(place):
    other = MINE | {"learning_rate": "1e-04"}
    save(Checkpoints(place, MINE), 1)
    assert Checkpoints(place, other).restore() is None
    save(Checkpoints(place, other), 2)
    Checkpoints(place, other).clear()
    assert same(Checkpoints(place, MINE).restore(), 1)


def test_checkpoint_folder_of_another_run_is_refused(tmp_path):
    """The folder stays unchanged."""
    first = Checkpoints(str(tmp_path), MINE)
    save(first, 1)
    before = sorted(tmp_path.rglob("*"))
    other = Checkpoints(first.address, MINE | {"learning_rate": "1e-04", "data": "b"})
    with pytest.raises(BerthError, match=r"another run \(data, learning_rate differ\)\. Name another folder"):
        other.restore()
    assert sorted(tmp_path.rglob("*")) == before
    assert same(Checkpoints(first.address, MINE).restore(), 1), "its own run may name it"


def test_damaged_checkpoint_falls_back_to_the_previous_one(tmp_path, capsys):
    """The fallback is also reported."""
    save(Checkpoints(str(tmp_path), MINE), 1, 2)
    older, newer = files(tmp_path)
    content = bytearray(newer.read_bytes())
    content[-1] ^= 1
    newer.write_bytes(content)
    assert same(Checkpoints(str(tmp_path), MINE).restore(), 1)
    assert f"{newer.name} is damaged: going on from the one before" in capsys.readouterr().out
    older.write_bytes(older.read_bytes()[:100])
    assert Checkpoints(str(tmp_path), MINE).restore() is None
    assert f"{older.name} is damaged: starting from the beginning" in capsys.readouterr().out
    assert files(tmp_path) == []


def test_failed_checkpoint_write_keeps_the_previous_one(tmp_path, capsys, monkeypatch):
    """The failed write is also reported."""
    checkpoints = Checkpoints(str(tmp_path), MINE)
    save(checkpoints, 1)
    monkeypatch.setattr(checkpoint_storage, "sync", mock.Mock(side_effect=OSError(28, "No space left on device")))
    save(checkpoints, 2)
    assert "cannot be written (No space left on device)" in capsys.readouterr().out
    assert len(files(tmp_path)) == 1
    assert same(checkpoints.restore(), 1)


def test_invalid_checkpoint_place_is_reported_before_training(tmp_path, s3, monkeypatch):
    for address in ("ftp://x/y", "s3://", "gs:///x"):
        with pytest.raises(BerthError, match=f"checkpoints: {address}.* cannot hold checkpoints"):
            Checkpoints(address, MINE)
    (tmp_path / "file").touch()
    with pytest.raises(BerthError, match=r"checkpoints: .*/file/.* cannot be written \(Not a directory\)"):
        Checkpoints(str(tmp_path / "file"), MINE).restore()
    with pytest.raises(BerthError, match=r"checkpoints: s3://gone/.* cannot be .*AWS_ACCESS_KEY_ID") as caught:
        Checkpoints("s3://gone/x", MINE).restore()
    assert "very-secret" not in str(caught.value)
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(BerthError, match="checkpoints: s3://checkpoints/"):
        Checkpoints("s3://checkpoints/x", MINE).restore()


KILL_POINTS = {
    "before the file": "berth.training.checkpoint_storage.LocalCheckpoints.scratch",
    "while the file is written": "safetensors.numpy.serialize_file",
    "before it is renamed": "berth.training.checkpoint_storage.LocalCheckpoints.write",
    "before an old one goes": "berth.training.checkpoint_storage.LocalCheckpoints.remove",
}

SAVE_AND_HANG = """
import sys, time
from pathlib import Path
from unittest import mock
from tests.berth.training import test_checkpoints as own

folder, target, reached = sys.argv[1:]

def hold(*arguments, **options):
    if target.endswith("serialize_file"):
        Path(arguments[1]).write_bytes(b"half of it")
    Path(reached).touch()
    while True:
        time.sleep(1)

with mock.patch(target, hold):
    own.save(own.Checkpoints(folder, own.MINE), 3)
"""


@pytest.mark.parametrize("point", KILL_POINTS)
def test_kill_9_during_a_save_leaves_a_whole_checkpoint(tmp_path, point):
    """The next run cleans up what is left over."""
    folder, reached = tmp_path / "checkpoints", tmp_path / f"reached {point}"
    save(Checkpoints(str(folder), MINE), 1, 2)
    command = [sys.executable, "-c", SAVE_AND_HANG, str(folder), KILL_POINTS[point], str(reached)]
    with subprocess.Popen(command, cwd=ROOT) as process:
        try:
            deadline = time.monotonic() + 60
            while not reached.exists():
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            newest = 3 if point == "before an old one goes" else 2
            assert same(Checkpoints(str(folder), MINE).restore(), newest), "while the other is still at work"
            at_work = len(list(folder.glob("*/.incoming-*")))
            assert at_work == (point in ("while the file is written", "before it is renamed"))
        finally:
            process.kill()

    checkpoints = Checkpoints(str(folder), MINE)
    assert same(checkpoints.restore(), newest)
    assert not list(folder.glob("*/.incoming-*"))
    save(checkpoints, 4)
    assert same(checkpoints.restore(), 4)
    assert len(files(folder)) == 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_sets_the_flag_and_handlers_are_as_before(number):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)

    def step_after_step():
        with preemption() as asked:
            assert not asked()
            signal.raise_signal(number)
            assert asked()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
            raise Preempted("stopped; a checkpoint is kept")

    with pytest.raises(SystemExit, match="a checkpoint is kept") as ended:
        step_after_step()
    assert ended.value.code == 143
    assert (signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)) == before


def test_late_signal_has_its_usual_effect():
    """The signal comes when it is too late to save a checkpoint."""
    with pytest.raises(KeyboardInterrupt), preemption() as asked:  # noqa: PT012
        signal.raise_signal(signal.SIGINT)
        assert asked()


def test_files_are_readable_by_whom_the_umask_lets(tmp_path):
    """A disk that a team shares."""
    before = os.umask(0o027)
    try:
        save(Checkpoints(str(tmp_path), MINE), 1)
    finally:
        os.umask(before)
    assert stat.S_IMODE(files(tmp_path)[0].stat().st_mode) == 0o640
