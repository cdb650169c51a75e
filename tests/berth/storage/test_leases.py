"""Locks in object stores: a real S3 server, and what a push takes of Google Cloud Storage's JSON API."""

import threading
import time

import pytest

from berth.storage import leases
from berth.storage.locks import LockTimeout
from berth.storage.object_store import store_of
from tests.support import google_storage


@pytest.fixture(params=["s3", "gs"])
def store(request, monkeypatch):
    """A store with the bucket `models`."""
    if request.param == "s3":
        request.getfixturevalue("bucket")
        yield store_of("s3://models")
        return
    with google_storage.bucket("models", monkeypatch):
        yield store_of("gs://models")


def test_one_process_at_a_time_holds_a_lock(store):
    """The next one gets it when it is released."""
    inside, most, entered = [], [], []

    def hold(number: int) -> None:
        with leases.leased(store, "models/one/.lock", 60):
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.2)
            inside.remove(number)
        entered.append(number)

    threads = [threading.Thread(target=hold, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert (sorted(entered), max(most)) == ([0, 1, 2], 1)
    assert not store.exists("models/one/.lock")


def test_a_lock_whose_owner_died_lapses(store, monkeypatch):
    monkeypatch.setattr(leases, "LAPSES", 1.0)
    store.pipe_file("models/dead/.lock", b"of a process that was killed")
    start = time.monotonic()
    with leases.leased(store, "models/dead/.lock", 30):
        assert time.monotonic() - start >= 1
    assert not store.exists("models/dead/.lock")


def test_a_lock_that_is_renewed_does_not_lapse(store, monkeypatch):
    monkeypatch.setattr(leases, "LAPSES", 2.0)
    with (
        leases.leased(store, "models/long/.lock", 30),
        pytest.raises(LockTimeout),
        leases.leased(store, "models/long/.lock", 5),
    ):
        pass


def test_a_lock_is_released_after_an_error(store):
    with pytest.raises(ValueError, match="inside"), leases.leased(store, "models/error/.lock", 30):
        raise ValueError("inside")
    assert not store.exists("models/error/.lock")


def test_a_lock_released_right_after_it_was_seen_is_taken(store, monkeypatch):
    """The store refuses to create it, and it is gone by the time that its owner is read."""
    create, refused = store.pipe_file, []

    def refuse_once(path: str, content: bytes, **options: str) -> None:
        if options.get("mode") == "create" and not refused:
            refused.append(path)
            raise OSError("At least one of the pre-conditions you specified did not hold")
        create(path, content, **options)

    monkeypatch.setattr(store, "pipe_file", refuse_once)
    with leases.leased(store, "models/gone/.lock", 30):
        assert refused == ["models/gone/.lock"]
        assert store.exists("models/gone/.lock")
