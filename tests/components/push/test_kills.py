"""Pushes that are killed with SIGKILL, and pushes at once: real processes on one SQLite store."""

import pytest

from berth.models import integrity
from berth.registry import object_folder, versions
from berth.storage import leases
from tests.support import pushing
from tests.support.pushes import served

LOCAL = [point for point in pushing.KILL_POINTS if point != "while it uploads"]
AFTER_THE_ALIAS = ("before retention", "while an old version goes")


@pytest.mark.parametrize("point", LOCAL)
def test_kill_9_leaves_a_serving_champion(store, push, aliases, name, model, tmp_path, point):
    """The next push cleans up."""
    folder = tmp_path / "serving" / name
    push(tmp_path / "serving", keep=1)
    pushing.killed(name, tmp_path / "serving", model, point, reached=tmp_path / "reached", keep=1)

    champion = aliases()["champion"]
    assert champion == (2 if point in AFTER_THE_ALIAS else 1)
    for version in served(folder):  # whatever TensorFlow Serving sees is whole
        integrity.verify(folder / version)
    assert str(champion) in served(folder)
    stored = store.client.get_model_version(name, str(champion))
    assert stored.tags["berth.sha256"] == integrity.verify(folder / str(champion))

    last = push(tmp_path / "serving", keep=1).version
    assert aliases()["champion"] == last
    assert sorted(path.name for path in folder.iterdir()) == [".lock", str(last)]
    assert not any(version.pending for version in versions.versions(name))


def test_concurrent_pushes_to_one_folder_all_succeed(store, aliases, name, model, tmp_path):
    """The champion's alias points to the last one."""
    processes = [pushing.start(name, tmp_path, model) for _ in range(3)]
    for process in processes:
        process.join(180)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert served(tmp_path / name) == ["1", "2", "3"]
    assert aliases() == {"champion": 3, "previous": 2}


def test_pushes_at_once_without_a_common_lock_converge(store, aliases, name, model, bucket, tmp_path):
    places = ["s3://models/at-once", "s3://models/at-once", tmp_path / "a", ""]
    processes = [pushing.start(name, place, model) for place in places]
    for process in processes:
        process.join(180)
    assert [process.exitcode for process in processes] == [0, 0, 0, 0]
    found = versions.versions(name)
    assert [version.number for version in found] == [4, 3, 2, 1]
    assert all(version.published for version in found)
    assert aliases()["champion"] == 4


def test_a_push_that_is_overtaken_between_its_aliases_gives_way(push, aliases, name, model, monkeypatch):
    """The slower push sets the champion after the faster one, looks again, and puts it right."""
    import mlflow

    push()
    set_alias, overtaken = mlflow.MlflowClient.set_registered_model_alias, []

    def overtake(client, model_name, alias, version):
        if alias == "champion" and not overtaken:
            overtaken.append(version)
            pushing.start(name, "", model).join(60)
        set_alias(client, model_name, alias, version)

    monkeypatch.setattr(mlflow.MlflowClient, "set_registered_model_alias", overtake)
    slower = push()
    assert overtaken == ["2"]
    assert (slower.version, slower.champion) == (2, 3)
    assert str(slower) == f"{name} version 2 is pushed; version 3 is champion by now"
    assert aliases() == {"champion": 3, "previous": 2}


def test_a_killed_upload_is_invisible_and_cleared_once_it_is_old(
    store, push, aliases, name, model, bucket, tmp_path, monkeypatch
):
    def keys() -> set[str]:
        listed = bucket.list_objects_v2(Bucket="models", Prefix=f"killed/{name}/")["Contents"]
        return {item["Key"].removeprefix(f"killed/{name}/") for item in listed}

    monkeypatch.setattr(leases, "LAPSES", 1.0)
    push("s3://models/killed")
    pushing.killed(name, "s3://models/killed", model, "while it uploads", reached=tmp_path / "reached")
    assert aliases() == {"champion": 1}
    left = {key for key in keys() if key.startswith("2/")}
    assert left
    assert "2/saved_model.pb" not in left

    push("s3://models/killed")
    assert left < keys(), "a push that began a minute ago may still be at work"
    assert aliases() == {"champion": 3, "previous": 1}

    monkeypatch.setattr("berth.registry.publishing.ABANDONED", 0)
    monkeypatch.setattr(object_folder, "ABANDONED", 0)
    push("s3://models/killed")
    assert {key.split("/")[0] for key in keys()} == {"1", "3", "4"}
    assert [version.number for version in versions.versions(name)] == [4, 3, 1]
