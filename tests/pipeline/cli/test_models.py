"""berth models, rollback, promote, compare and predict: on a real registry, real folders and real models."""

import datetime
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from berth.errors import BerthError
from berth.models import integrity
from berth.registry import versions
from berth.tracking import pipeline_run, tags
from pipeline.cli import app
from pipeline.cli.models import prediction_line
from pipeline.display import models as commands
from pipeline.display import runs
from pipeline.local import predict
from tests.support import forks
from tests.support.pushes import served

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")
BERTH = Path(sys.executable).with_name("berth")


def berth(*arguments: str, cwd: Path, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    return forks.berth(cwd, *arguments, stdin=stdin, MLFLOW_TRACKING_URI=os.environ["MLFLOW_TRACKING_URI"])


def rollback(name: str, to: int | None = None, reason: str = "") -> list[str]:
    return list(commands.rollback(name, to, reason))


def promote(name: str, version: int, reason: str = "better for us") -> list[str]:
    return list(commands.promote(name, version, reason))


def audits(store, name: str, version: int) -> list[str]:
    tags = store.client.get_model_version(name, str(version)).tags
    return [tags[key] for key in sorted(tags) if re.fullmatch(r"berth\.audit\.\d{8}T\d{6}\.\d{3}Z", key)]


def test_a_rollback_moves_alias_and_folder_together_and_destroys_nothing(
    store, push, aliases, name, tmp_path, monkeypatch
):
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


def test_a_version_that_was_rolled_back_from_is_never_made_champion_by_a_push(push, aliases, name, models, tmp_path):
    for _ in range(3):
        push(tmp_path)
    rollback(name, to=1)
    assert versions.converge(name) == 1
    push(tmp_path, of=models / "multi")
    assert aliases() == {"champion": 4, "previous": 1}
    assert served(tmp_path / name) == ["1", "4"]


def test_files_that_were_rolled_back_from_are_the_challenger_when_they_are_pushed_again(
    push, aliases, name, models, tmp_path
):
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


def test_a_promotion_of_what_was_not_pushed_again_spares_the_files_of_another_registry(push, name, models, tmp_path):
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


def test_a_version_that_retention_removed_is_published_again_from_the_registry(push, aliases, name, model, tmp_path):
    for _ in range(3):
        push(tmp_path, keep=1)
    assert served(tmp_path / name) == ["3"]
    rollback(name, to=1)
    assert served(tmp_path / name) == ["1"]
    assert integrity.verify(tmp_path / name / "1") == integrity.verify(model)
    assert aliases()["champion"] == 1


def test_files_that_were_damaged_in_the_folder_are_put_right_from_the_registry(push, name, model, tmp_path):
    push(tmp_path)
    push(tmp_path)
    (tmp_path / name / "1/assets/labels.txt").write_text("spam\nham\n")
    rollback(name)
    assert integrity.verify(tmp_path / name / "1") == integrity.verify(model)


def test_a_stored_model_that_is_damaged_is_refused_before_anything_moves(store, push, aliases, name, tmp_path):
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


def test_a_challenger_can_be_promoted_and_the_output_says_that_it_was_not_blessed(
    store, push, refuse, aliases, name, tmp_path
):
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


def test_a_version_that_was_never_served_is_promoted_and_not_rolled_back_to(push, refuse, aliases, name, tmp_path):
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


def test_a_rollback_without_a_serving_folder_moves_the_alias_and_says_so(push, aliases, name):
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


def test_the_commands_print_tables_of_80_columns(store, push, refuse, name, tmp_path):
    store.client.log_metric(store.parent, "accuracy", 0.98765)
    push(tmp_path)
    push(tmp_path)
    refuse(tmp_path)
    store.client.set_model_version_tag(name, "1", "berth.run_id", store.parent)
    store.client.set_model_version_tag(name, "3", "berth.verdict", "NOT BLESSED: [bold]\x1b[31mmin_accuracy")
    done = berth("rollback", name, "--reason", "too\x1b[31m strict", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    all_models = berth("models", cwd=tmp_path).stdout
    done = berth("models", name, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    for text in (all_models, done.stdout):
        assert all(len(line) <= 80 for line in text.splitlines())
        assert "\x1b" not in text
    rows = [line.split() for line in done.stdout.splitlines()]
    assert [row[:2] for row in rows[1:] if row and row[0].isdigit() and len(row[0]) == 1] == [
        ["3", "challenger"],
        ["2", "previous,"],
        ["1", "champion"],
    ]
    words = " ".join(done.stdout.split())
    assert "0.9877" in words
    assert "[bold]\\x1b[31mmin_accuracy" in words.replace(" ", "")
    assert re.search(r"\d{4}-\d\d-\d\d \d\d:\d\d rollback from 2 to 1 by \S+: too\\x1b\[31m strict", words)
    assert name[:20] in all_models


def test_pushes_and_audits_are_shown_in_the_same_time(push, name, tmp_path, monkeypatch):
    push()
    push()
    rollback(name)
    monkeypatch.setenv("TZ", "Pacific/Kiritimati")  # 14 hours ahead
    lines = berth("models", name, cwd=tmp_path).stdout.splitlines()
    moments = [datetime.datetime.fromisoformat(found[0]) for line in lines if (found := _MOMENT.findall(line))]
    assert len(moments) == 3
    assert max(moments) - min(moments) < datetime.timedelta(minutes=10)
    ahead = moments[0] - datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    assert datetime.timedelta(hours=13) < ahead < datetime.timedelta(hours=15)


def test_an_unknown_model_is_one_line_and_suggests(push, name, tmp_path):
    push()
    said = f"no model '{name}x' is registered. Did you mean '{name}'? Registered: "
    for command in (
        lambda: commands.versions_table(f"{name}x", 5),
        lambda: rollback(f"{name}x"),
        lambda: promote(f"{name}x", 1),
    ):
        with pytest.raises(BerthError, match=re.escape(said)):
            command()
    done = berth("models", f"{name}x", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {said}")
    assert done.stderr.count("\n") == 1
    assert berth("promote", name, "1", cwd=tmp_path).returncode == 2, "a reason is required"


@pytest.fixture
def two_runs(store) -> list[str]:
    for number, name in enumerate(("sms-spam-20260101-000000", "sms-spam-20260102-000000")):
        run_id = pipeline_run.create_parent("compared", name, {tags.KFP_RUN_ID: str(number)})
        store.client.log_metric(run_id, "accuracy", 0.9 + number / 100)
        store.client.log_metric(run_id, f"only_{number}", 1)
        store.client.log_param(run_id, "epochs", str(number + 1))
        store.client.log_param(run_id, "seed", "0")
        store.client.log_param(run_id, "encoder", "[red]a/very/long/name/" * 6 if number else "minilm")
        store.client.set_tag(run_id, tags.VERDICT, "BLESSED" if number else "NOT BLESSED: x")
        store.client.set_terminated(run_id)
    return ["sms-spam-20260101-000000", run_id]


def test_compare_shows_metrics_side_by_side_and_only_parameters_that_differ(two_runs, tmp_path):
    done = berth("compare", *two_runs, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(len(line) <= 80 for line in done.stdout.splitlines())
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["metric", "sms-spam-20260101-000000", "sms-spam-20260102-000000", "difference"] in rows
    assert ["accuracy", "0.9000", "0.9100", "+0.0100"] in rows
    assert ["only_0", "1.0000"] in rows
    assert ["epochs", "1", "2"] in rows
    assert not any("seed" in row for row in rows)
    assert "[red]a/very" in done.stdout
    assert ["NOT", "BLESSED", "BLESSED"] in rows


def test_runs_names_every_run_whole_in_80_columns(two_runs):
    from rich.console import Console

    console = Console(width=80, record=True)
    console.print(runs.runs_table("compared", 2))
    lines = console.export_text().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert [line.split()[0] for line in lines[1:]] == ["sms-spam-20260102-000000", "sms-spam-20260101-000000"]
    assert "NOT BLESSED" in lines[2]


def test_compare_says_which_run_there_is_not_and_suggests(two_runs, tmp_path):
    done = berth("compare", "sms-spam-20260101-000001", two_runs[1], cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith(
        "error: no run has the name or id 'sms-spam-20260101-000001'. Did you mean 'sms-spam-20260101-000000'?"
    )
    for odd in ("it's", "a\"b'c", "0" * 32):
        with pytest.raises(BerthError, match="no run has the name or id"):
            runs.comparison(odd, two_runs[1])


def test_predict_answers_for_several_labels_and_pairs_and_refuses_a_changed_model(store, models, tmp_path):
    done = berth("predict", str(models / "multi"), "--json", "hello", "win 100", cwd=tmp_path)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["label"] for answer in answers] == [["ham"], ["ham", "spam"]], done.stderr
    assert [prediction_line(answer) for answer in answers] == [
        "ham\t0.7000\thello",
        "ham, spam\t0.7000, 0.9000\twin 100",
    ]
    assert prediction_line({"label": [], "probabilities": {"ham": 0.1}, "text": "?"}) == "-\t-\t?"
    done = berth("predict", str(models / "pairs"), cwd=tmp_path, stdin="hello\tyou\nhello\t2\n")
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["ham", "spam"]
    done = berth("predict", str(models / "pairs"), "alone", cwd=tmp_path)
    assert done.stderr == "error: 'alone': the model takes pairs of texts. Put a tab between the two.\n"
    shutil.copytree(models / "single", tmp_path / "changed")
    (tmp_path / "changed/assets/labels.txt").write_text("spam\nham\n")
    done = berth("predict", "changed", "hello", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "error: changed: assets/labels.txt is not as it was exported (SHA-256). Fetch or push the model again.\n"
    )


def test_predict_refuses_a_stored_model_that_was_sealed_again(store, push, name):
    push()
    for model in (name, f"{name}/1", f"models:/{name}@champion"):
        assert predict.saved_model_dir(model).joinpath("SHA256SUMS").is_file()
    stored = Path(store.client.get_model_version_download_uri(name, "1").removeprefix("file://"))
    (labels,) = stored.rglob("labels.txt")
    labels.write_text("spam\nham\n")
    integrity.seal(labels.parents[1])
    for model in (name, f"{name}/1", f"models:/{name}@champion"):
        with pytest.raises(BerthError, match=r"SHA256SUMS is not as it was pushed\. Choose another version"):
            predict.saved_model_dir(model)
    with pytest.raises(BerthError, match=rf"{name} has no version 7\. Its versions: 1\."):
        predict.saved_model_dir(f"{name}/7")
    with pytest.raises(BerthError, match=f"no version is previous. 'berth models {name}' lists its versions"):
        predict.saved_model_dir(f"{name}@previous")
    with pytest.raises(BerthError, match=f"no model 'x{name}' is registered. Did you mean '{name}'"):
        predict.saved_model_dir(f"x{name}")


@pytest.mark.parametrize(
    ("verdict", "blessed", "asked", "code"),
    [
        ("NOT BLESSED: min_accuracy 0.5000 < 0.9", False, True, 3),
        ("NOT BLESSED: min_accuracy 0.5000 < 0.9", False, False, 0),
        ("UNCHANGED: data, settings and code are those of m version 1", False, True, 0),
        ("BLESSED", True, True, 0),
    ],
)
def test_a_run_exits_with_3_when_it_is_asked_to_and_not_blessed(
    store, tmp_path, monkeypatch, verdict, blessed, asked, code
):
    from typer.testing import CliRunner

    from pipeline.local import backend, runner

    store.client.set_tag(store.parent, tags.VERDICT, verdict)
    monkeypatch.setattr(backend, "run", lambda *_, **__: runner.Result(store.parent, [], blessed, tmp_path))
    (tmp_path / "c.yaml").write_text("name: m\nsource: s.csv\n")
    done = CliRunner().invoke(app.app, ["run", str(tmp_path / "c.yaml"), *["--fail-if-not-blessed"] * asked])
    assert done.exit_code == code, done.output
    assert verdict.split(":")[0] in done.output
