"""berth models: what it says of a real registry, and in which width and time."""

import datetime
import re

import pytest

from berth.errors import BerthError
from pipeline.display import models as commands
from tests.support.model_commands import berth, promote, rollback

_MOMENT = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d")


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
