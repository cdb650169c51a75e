"""berth rollback and promote: on a real registry and real folders."""

import re
import shutil
from pathlib import Path

import pytest

from berth.errors import BerthError
from berth.models import integrity
from berth.registry import versions
from tests.support.model_commands import promote, rollback
from tests.support.pushes import served


def audits(store, name: str, version: int) -> list[str]:
    tags = store.client.get_model_version(name, str(version)).tags
    return [tags[key] for key in sorted(tags) if re.fullmatch(r"berth\.audit\.\d{8}T\d{6}\.\d{3}Z", key)]


def test_rollback_moves_alias_and_folder_and_deletes_nothing(store, push, aliases, name, tmp_path, monkeypatch):
    monkeypatch.setenv("LOGNAME", "sam")
    push(tmp_path)
    push(tmp_path)
    said = rollback(name, reason="it calls\neverything spam")
    assert said == [
        f"{name} version 1 is champion (version 2 was).",
        f"{tmp_path}/{name}/1 is what TensorFlow Serving serves.",
        "Out of the serving folder, kept in the registry: 2.",
        f"Undo: berth rollback {name}",
    ]
    assert aliases() == {"champion": 1, "previous": 2}
    assert served(tmp_path / name) == ["1"]
    words = ["rollback from 2 to 1 by sam: it calls everything spam"]
    assert audits(store, name, 1) == words
    assert audits(store, name, 2) == words
    rollback(name)
    assert aliases() == {"champion": 2, "previous": 1}
    assert served(tmp_path / name) == ["1", "2"]
    assert len(audits(store, name, 2)) == 2


def test_rolled_back_version_is_never_made_champion_by_a_push(push, aliases, name, models, tmp_path):
    for _ in range(3):
        push(tmp_path)
    rollback(name, to=1)
    assert versions.converge(name) == 1
    push(tmp_path, of=models / "multi")
    assert aliases() == {"champion": 4, "previous": 1}
    assert served(tmp_path / name) == ["1", "4"]


def test_repushed_files_after_a_rollback_become_challenger(push, aliases, name, models, tmp_path):
    push(tmp_path, of=models / "multi")
    push(tmp_path)
    rollback(name)
    done = push(tmp_path)
    assert str(done) == (
        f"{name} version 3 is challenger: the same files were withdrawn as version 2 "
        "('berth promote' takes them back); version 1 stays champion"
    )
    assert (done.champion, done.folder) == (1, "")
    assert aliases() == {"champion": 1, "previous": 2, "challenger": 3}
    assert served(tmp_path / name) == ["1"]
    promote(name, 3)
    assert aliases() == {"champion": 3, "previous": 1}
    assert served(tmp_path / name) == ["1", "3"]
    assert push(tmp_path).champion == 4, "they were taken back"


def test_promotion_keeps_model_files_of_another_registry(push, name, models, tmp_path):
    """This holds where the promoted version was not pushed again."""
    push(tmp_path, of=models / "multi")
    push(tmp_path)
    rollback(name)
    push(tmp_path)
    theirs = tmp_path / name / "3/saved_model.pb"
    theirs.parent.mkdir()
    theirs.write_text("theirs")
    with pytest.raises(BerthError, match="/3 is there already, from another model registry"):
        promote(name, 3)
    assert theirs.read_text() == "theirs"


def test_version_removed_by_retention_is_republished(push, aliases, name, model, tmp_path):
    """Its files come from the registry."""
    for _ in range(3):
        push(tmp_path, keep=1)
    assert served(tmp_path / name) == ["3"]
    rollback(name, to=1)
    assert served(tmp_path / name) == ["1"]
    assert integrity.verify(tmp_path / name / "1") == integrity.verify(model)
    assert aliases()["champion"] == 1


def test_damaged_served_files_are_restored_from_the_registry(push, name, model, tmp_path):
    push(tmp_path)
    push(tmp_path)
    (tmp_path / name / "1/assets/labels.txt").write_text("spam\nham\n")
    rollback(name)
    assert integrity.verify(tmp_path / name / "1") == integrity.verify(model)


def test_damaged_stored_model_is_refused_before_any_change(store, push, aliases, name, tmp_path):
    push(tmp_path)
    push(tmp_path)
    before = aliases(), {version.number: version.tags for version in versions.versions(name)}
    stored = Path(store.client.get_model_version_download_uri(name, "1").removeprefix("file://"))
    (shard,) = stored.rglob("variables.data-*")
    shard.write_bytes(shard.read_bytes()[:-1] + b"\xff")
    for move in (rollback, lambda name: promote(name, 1)):
        with pytest.raises(
            BerthError, match=r"version 1 in the registry's store is damaged: variables/variables\.data"
        ):
            move(name)
    shutil.rmtree(stored)
    with pytest.raises(BerthError, match=r"version 1 in the registry's store (cannot be fetched|is damaged)"):
        rollback(name)
    assert (aliases(), {version.number: version.tags for version in versions.versions(name)}) == before
    assert served(tmp_path / name) == ["1", "2"]


def test_a_rollback_that_is_killed_is_finished_by_the_next(store, push, aliases, name, tmp_path, monkeypatch):
    push(tmp_path)
    push(tmp_path)
    for step in ("set_tag", "mark_published", "converge"):

        class Killed(BaseException):
            pass

        def die(*_, killed=Killed):
            raise killed

        with monkeypatch.context() as patched:
            patched.setattr(versions, step, die)
            with pytest.raises(Killed):
                rollback(name)
        assert aliases()["champion"] == 2
        assert served(tmp_path / name)[0] == "1"
    rollback(name)
    assert aliases()["champion"] == 1
    assert served(tmp_path / name) == ["1"]


def test_promoting_an_unblessed_challenger_is_reported(store, push, refuse, aliases, name, tmp_path):
    """A challenger can be promoted, and the output mentions that it was not blessed."""
    push(tmp_path)
    refuse(tmp_path)
    said = promote(name, 2, "the gate was wrong")
    assert said[0] == "Version 2 was NOT BLESSED by its gates; it is promoted for the reason given."
    assert aliases() == {"champion": 2, "previous": 1}
    assert served(tmp_path / name) == ["1", "2"]
    assert audits(store, name, 2)[0].startswith("promotion from 1 to 2 by ")
    assert promote(name, 2) == [f"{name} version 2 is the champion already; nothing has changed."]
    assert len(audits(store, name, 2)) == 1
    promote(name, 1)
    assert aliases() == {"champion": 1, "previous": 2}
    assert served(tmp_path / name) == ["1"], "TensorFlow Serving would serve a higher one"


def test_a_first_model_that_was_not_blessed_can_be_promoted(refuse, aliases, name, tmp_path):
    refuse(tmp_path)
    assert promote(name, 1)[1] == f"{name} version 1 is champion (there was none)."
    assert aliases() == {"champion": 1}
    assert served(tmp_path / name) == ["1"]


def test_never_served_version_is_promoted_but_no_rollback_target(push, refuse, aliases, name, tmp_path):
    refuse()
    push(tmp_path)
    with pytest.raises(BerthError, match=rf"version 1 was not blessed.*'berth promote {name} 1 --reason WHY'"):
        rollback(name, to=1)
    assert aliases() == {"challenger": 1, "champion": 2}


def test_what_cannot_be_rolled_back_is_one_clear_line(push, refuse, name, tmp_path):
    refuse()
    with pytest.raises(BerthError, match="no version is champion"):
        rollback(name)
    push(tmp_path / "serving")
    with pytest.raises(BerthError, match=r"there is no previous version to roll back to\. Name one with --to"):
        rollback(name)
    with pytest.raises(BerthError, match="version 2 is champion already"):
        rollback(name, to=2)
    with pytest.raises(BerthError, match=r"has no version 7\. Its versions: 2, 1\."):
        promote(name, 7)
    with pytest.raises(BerthError, match="--reason is empty"):
        promote(name, 1, "  ")
    with pytest.raises(BerthError, match=f"no model 'x{name}' is registered. Did you mean '{name}'"):
        rollback(f"x{name}")
    shutil.rmtree(tmp_path / "serving")
    with pytest.raises(BerthError, match=r"serving folder .* not on this machine"):
        promote(name, 1)


def test_rollback_without_a_serving_folder_moves_only_the_alias(push, aliases, name):
    """The output mentions that only the alias moved."""
    push()
    push()
    assert rollback(name)[1] == "Its serving folder is unknown to the registry: only the alias has moved."
    assert aliases() == {"champion": 1, "previous": 2}


def test_a_rollback_in_a_bucket(push, aliases, name, bucket):
    for _ in range(2):
        push("s3://models/serving", keep=1)
    said = rollback(name)
    assert f"s3://models/serving/{name}/1 is what TensorFlow Serving serves." in said
    keys = [item["Key"] for item in bucket.list_objects_v2(Bucket="models", Prefix=f"serving/{name}/")["Contents"]]
    assert {key.split("/")[2] for key in keys} == {"1"}
    assert f"serving/{name}/1/saved_model.pb" in keys
    assert aliases() == {"champion": 1, "previous": 2}
