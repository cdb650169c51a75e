"""A serving folder in object stores: a real S3 server, and what a push takes of Google Cloud Storage's JSON API."""

from pathlib import Path

import mlflow
import pytest
from mlflow.exceptions import MlflowException

from berth.errors import BerthError
from berth.models import integrity
from berth.registry import object_folder, promotion, serving_folder, versions
from tests.support import google_storage


def keys(bucket, prefix: str) -> list[str]:
    """Return the keys below `prefix` in the order in which they were written."""
    found = bucket.list_objects_v2(Bucket="models", Prefix=prefix).get("Contents", [])
    return [item["Key"] for item in sorted(found, key=lambda item: item["LastModified"])]


def test_a_push_uploads_every_file_and_saved_model_pb_last(push, name, model, bucket, monkeypatch):
    uploaded = []
    put = object_folder.ObjectFolder._put
    monkeypatch.setattr(
        object_folder.ObjectFolder, "_put", lambda self, path, key: (uploaded.append(key), put(self, path, key))
    )
    done = push("s3://models/serving/")
    assert done.folder == f"s3://models/serving/{name}/1"
    expected = {path.relative_to(model).as_posix() for path in model.rglob("*") if path.is_file()}
    assert {key.removeprefix("1/") for key in uploaded} == expected
    assert uploaded[-1] == "1/saved_model.pb"
    assert {key.removeprefix(f"serving/{name}/1/") for key in keys(bucket, f"serving/{name}/")} == expected
    for key in expected:
        body = bucket.get_object(Bucket="models", Key=f"serving/{name}/1/{key}")["Body"].read()
        assert body == (model / key).read_bytes()


def test_the_newest_versions_stay(push, aliases, name, bucket):
    for _ in range(3):
        push("s3://models/kept", keep=2)
    assert {key.split("/")[2] for key in keys(bucket, f"kept/{name}/")} == {"2", "3"}
    assert aliases() == {"champion": 3, "previous": 2}


def test_a_version_of_another_registry_is_not_overwritten(store, push, name, bucket):
    bucket.put_object(Bucket="models", Key=f"taken/{name}/1/saved_model.pb", Body=b"theirs")
    with pytest.raises(BerthError, match=f"push_to: s3://models/taken/{name}/1 is there already, from another"):
        push("s3://models/taken")
    assert keys(bucket, f"taken/{name}/") == [f"taken/{name}/1/saved_model.pb"]
    assert not store.client.search_model_versions(f"name = '{name}'")


def test_an_upload_that_fails_leaves_neither_files_nor_version(store, push, name, bucket, monkeypatch):
    put = object_folder.ObjectFolder._put

    def fail(self, path, key):
        if key.endswith("saved_model.pb"):
            raise OSError("the line is cut")
        put(self, path, key)

    monkeypatch.setattr(object_folder.ObjectFolder, "_put", fail)
    with pytest.raises(BerthError, match=r"push_to: s3://models/.* cannot be written \(the line is cut\)"):
        push("s3://models/cut")
    assert keys(bucket, f"cut/{name}/") == []
    assert not store.client.search_model_versions(f"name = '{name}'")


def test_a_push_that_never_ends_is_said_after_a_bounded_wait(bucket, monkeypatch):
    monkeypatch.setattr(object_folder, "_TIMEOUT_SECONDS", 0.3)
    first, second = (serving_folder.serving_folder("s3://models/busy", "m") for _ in range(2))
    words = "another push to s3://models/busy/m has not ended"
    with first.locked(), pytest.raises(BerthError, match=words), second.locked():
        pass
    with second.locked():
        pass


def test_missing_bucket_is_reported_before_registration(store, push, name, bucket):
    """The message has no secret in it."""
    with pytest.raises(BerthError, match=r"push_to: s3://gone/.* cannot be written .*AWS_ACCESS_KEY_ID") as caught:
        push("s3://gone/models")
    assert "very-secret" not in str(caught.value)
    assert not store.client.search_model_versions(f"name = '{name}'")


def test_incomplete_versions_are_cleared_only_when_they_are_old(bucket, monkeypatch):
    folder = serving_folder.serving_folder("s3://models/swept", "m")
    for key in ("1/saved_model.pb", "1/variables/x", "2/variables/x", "notes.txt"):
        bucket.put_object(Bucket="models", Key=f"swept/m/{key}", Body=b"x")
    folder.sweep()
    assert len(keys(bucket, "swept/m/")) == 4
    monkeypatch.setattr(object_folder, "ABANDONED", 0)
    folder.sweep()
    assert sorted(keys(bucket, "swept/m/")) == [
        f"swept/m/{key}" for key in ("1/saved_model.pb", "1/variables/x", "notes.txt")
    ]


@pytest.fixture
def google(monkeypatch):
    """The objects of a bucket `models` in Google Cloud Storage."""
    with google_storage.bucket("models", monkeypatch) as objects:
        yield objects


def test_google_storage_takes_a_push_with_retention(push, aliases, name, model, google):
    for _ in range(2):
        push("gs://models/serving", keep=1)
    expected = {path.relative_to(model).as_posix(): path.read_bytes() for path in model.rglob("*") if path.is_file()}
    assert {key.removeprefix(f"serving/{name}/2/"): content for key, content in google.items()} == expected
    assert list(google)[-1].endswith("/saved_model.pb"), "uploaded last"
    assert aliases() == {"champion": 2, "previous": 1}


def test_concurrent_pushes_to_google_storage_both_clean_up(model, google, monkeypatch):
    """Neither fails on what the other has removed."""
    folder, other = (serving_folder.serving_folder("gs://models/x", "m") for _ in range(2))
    names = []
    pipe = folder._store.pipe_file

    def pipe_and_let_the_other_in(path, content):
        pipe(path, content)
        names.extend(google)
        other.prepare()
        assert list(google) == [path.removeprefix("models/")]

    monkeypatch.setattr(folder._store, "pipe_file", pipe_and_let_the_other_in)
    folder.prepare()
    assert len(names) == 1
    assert google == {}

    google["x/m/3/variables/x"] = b"left"
    google["x/m/3/variables/y"] = b"left"
    monkeypatch.setattr(object_folder, "ABANDONED", 0)
    listed = folder._objects

    def listed_before_the_other_sweeps():
        found = listed()
        google.clear()
        return found

    monkeypatch.setattr(folder, "_objects", listed_before_the_other_sweeps)
    folder.sweep()
    assert google == {}


def test_killed_push_already_cleared_is_not_an_error(push, aliases, name, bucket, monkeypatch):
    monkeypatch.setattr("berth.registry.publishing.ABANDONED", 0)
    push("s3://models/both")
    killed = _left_by_a_killed_push(name, "s3://models/both")
    gone = versions.versions(name)[0]
    versions.withdraw(name, killed)
    monkeypatch.setattr(versions, "abandoned", lambda *_: [gone])
    assert push("s3://models/both").champion == 3
    with pytest.raises(MlflowException):
        versions.withdraw(name, killed)


@pytest.mark.parametrize("push_to", ["", "s3://models/pending"])
def test_version_pending_for_an_hour_is_cleared(push, aliases, name, bucket, monkeypatch, push_to):
    """With a serving folder and without one."""
    push(push_to)
    _left_by_a_killed_push(name, "")
    push(push_to)
    assert [version.number for version in versions.versions(name)] == [3, 2, 1], "it may still be at work"
    monkeypatch.setattr("berth.registry.publishing.ABANDONED", 0)
    promotion.rollback(name, 1, "")
    assert [version.number for version in versions.versions(name)] == [3, 1]


def _left_by_a_killed_push(name: str, address: str) -> int:
    """Register what a push to `address` that was killed before it copied anything leaves, and return its version."""
    client = mlflow.MlflowClient()
    tags = {"berth.published": "pending", "berth.serving_folder": address}
    return int(client.create_model_version(name, client.get_model_version(name, "1").source, tags=tags).version)


def test_a_version_in_google_storage_is_told_from_a_damaged_one(model, google, tmp_path):
    folder = serving_folder.serving_folder("gs://models/x", "m")
    folder.prepare()
    assert google == {}
    folder.publish(Path(model), 3)
    digest = integrity.verify(model)
    assert folder.versions() == {3}
    assert folder.digest(3) == digest
    assert folder.intact(3, digest)
    google["x/m/3/assets/labels.txt"] = b"spam\nham\n"
    assert not folder.intact(3, digest)
    folder.remove(3)
    assert google == {}
    assert folder.digest(3) == ""
