"""`berth schedule` and `berth schedules` against a KFP API on loopback."""

import copy
import datetime

import pytest

from pipeline.schedules import cluster
from tests.support.cluster_calls import give_up_early, one_line, write_config
from tests.support.kfp_schedules import start
from tests.support.kfp_server import Fault


@pytest.fixture
def plan(call, server):
    """Call `berth schedule config.yaml` with more arguments."""
    return lambda *more: call("schedule", "config.yaml", "--cron", "0 3 * * 1", "--host", server.url, *more)


def test_a_schedule_is_made_disabled_then_enabled(plan, server):
    """It does not catch up."""
    called = plan("--start", "2999-01-01", "--end", "2999-12-31T12:00+02:00")
    assert called.code == 0, called.err
    (asked,) = server.asked("POST .*/recurringruns$")
    assert asked["mode"] == "DISABLE"
    assert asked["no_catchup"] is True
    assert asked["max_concurrency"] == "1"
    assert asked["trigger"]["cron_schedule"] == {
        "cron": "0 0 3 * * 1",
        "start_time": "2999-01-01T00:00:00+00:00",
        "end_time": "2999-12-31T10:00:00+00:00",
    }
    assert "plugins_input" not in asked
    assert len(server.active("sms-spam")) == 1


def test_next_times_are_printed_in_utc_and_the_zone_of_the_note(plan, server):
    lines = plan("--timezone-note", "Asia/Tokyo").out.splitlines()
    assert len([line for line in lines if "next Mon " in line and "03:00 UTC, Mon 12:00 JST" in line]) == 3
    (kept,) = server.schedules.values()
    assert "cron 0 3 * * 1 in UTC. Made for Asia/Tokyo." in kept["description"]


def test_a_schedule_is_pinned_unless_it_follows_the_latest(plan, server):
    assert plan().code == 0
    (pinned,) = server.schedules.values()
    assert pinned["pipeline_version_reference"]["pipeline_version_id"] in server.versions
    assert "latest" in plan("--follow-latest").out
    (following,) = server.schedules.values()
    assert list(following["pipeline_version_reference"]) == ["pipeline_id"]


@pytest.mark.parametrize("kfp", ["2.17.0", "2.18.0"])
@pytest.mark.parametrize("more", [(), ("--follow-latest",)])
def test_a_run_of_a_schedule_has_its_parameters(plan, server, kfp, more):
    """KFP with plugins starts the runs of a pinned schedule without parameters: they are the version's defaults."""
    server.older_health["tag_name"], server.plugins = kfp, True
    assert plan(*more).code == 0
    (kept,) = server.schedules.values()
    parameters = start(server, kept)["runtime_config"]["parameters"]
    assert parameters == kept["runtime_config"]["parameters"]
    assert (parameters["name"], parameters["source"]) == ("sms-spam", {"files": "s3://texts/messages.tsv"})


def test_a_pretraining_is_scheduled_as_its_own_pipeline(plan, server, folder):
    settings = "pipeline: pretraining\nname: town\nsource: s3://corpus/*.csv\npush_to: s3://models/serving\n"
    (folder / "config.yaml").write_text(settings)
    assert plan().code == 0
    (kept,) = server.schedules.values()
    version = server.versions[kept["pipeline_version_reference"]["pipeline_version_id"]]
    assert version["display_name"].startswith("berth-pretraining-")
    parameters = start(server, kept)["runtime_config"]["parameters"]
    assert (parameters["name"], parameters["encoder"], parameters["new_encoder"]) == ("town", "minilm", {})


def test_a_run_goes_on_when_its_schedule_is_replaced_or_deleted(plan, call, server):
    """Kubernetes would delete its pods together with the schedule."""
    plan()
    for act in (plan, lambda: call("schedules", "delete", "sms-spam", "--host", server.url)):
        (kept,) = server.schedules.values()
        run = start(server, kept)
        called = act()
        assert called.code == 0, called.err
        assert f"its run {run['display_name']} continues; 'berth cancel {run['display_name']}' stops it" in called.out
        run["state"] = "SUCCEEDED"
    assert not server.killed


@pytest.mark.parametrize(("setting", "sent"), [({}, "skip"), ({"on_unchanged": "train"}, "train")])
def test_scheduled_runs_skip_unchanged_data_unless_configured(plan, server, folder, setting, sent):
    write_config(folder, **setting)
    plan()
    (kept,) = server.schedules.values()
    assert kept["runtime_config"]["parameters"]["on_unchanged"] == sent


def test_the_same_name_replaces_a_schedule(plan, call, server):
    """Another name does not."""
    plan()
    (first,) = server.schedules
    called = call("schedule", "config.yaml", "--cron", "0 4 * * *", "--host", server.url)
    assert "schedule sms-spam replaced" in called.out
    plan("--name", "weekly")
    assert first not in server.schedules
    assert sorted(one["display_name"] for one in server.schedules.values()) == ["sms-spam", "weekly"]
    assert server.most_active == 1


CREATE, ENABLE, DISABLE = "POST .*/recurringruns$", ":enable", ":disable"
DELETE, LIST = "DELETE .*/recurringruns/", "GET .*/recurringruns$"


@pytest.mark.parametrize("kind", ["drop", "lost", "hang", "late", 429, 500, 503])
@pytest.mark.parametrize("at", [CREATE, ENABLE, DISABLE, DELETE, LIST])
def test_passing_trouble_leaves_one_active_schedule(plan, server, monkeypatch, at, kind):
    if kind in ("hang", "late") and at != CREATE:
        pytest.skip("as lost: it may be asked for twice")
    plan()
    if kind in ("hang", "late"):
        give_up_early(monkeypatch)
    (first,) = server.schedules
    server.faults = [Fault(at, kind)]
    called = plan()
    assert called.code == 0, called.err
    assert not server.faults[0].times
    assert first not in server.schedules
    assert len(server.schedules) == len(server.active("sms-spam")) == server.most_active == 1


@pytest.mark.parametrize("kind", ["drop", "lost", 403, 500])
@pytest.mark.parametrize("at", [CREATE, ENABLE, DISABLE, DELETE, LIST, "GET .*/versions"])
def test_lasting_trouble_is_fixed_by_the_same_command(plan, server, at, kind):
    """Until then, never two schedules are active, and never none."""
    if (at, kind) == (CREATE, "lost"):
        pytest.skip("succeeds: what was made is found")
    plan()
    server.faults = [Fault(at, kind, 99)]
    line = one_line(plan())
    assert server.url in line
    assert len(server.active("sms-spam")) == server.most_active == 1
    server.faults = []
    assert plan().code == 0
    assert len(server.schedules) == len(server.active("sms-spam")) == server.most_active == 1


@pytest.mark.parametrize("kind", ["drop", 503])
def test_a_failed_enable_brings_the_old_schedule_back(plan, server, kind):
    plan()
    (first,) = server.schedules

    server.faults = [Fault(ENABLE, kind, times=5, after=1)]  # the new one's, with its repetitions
    assert server.url in one_line(plan())
    assert [one["recurring_run_id"] for one in server.active("sms-spam")] == [first]
    assert list(server.schedules) == [first]
    assert server.most_active == 1


def test_a_failed_restore_is_reported_and_the_next_call_fixes_it(plan, server):
    plan()
    server.faults = [Fault(ENABLE, 503, times=99, after=1)]
    assert "The old one is paused: give the same command again." in one_line(plan())
    server.faults = []
    assert plan().code == 0
    assert len(server.schedules) == len(server.active("sms-spam")) == 1


@pytest.mark.parametrize("at", ["disabled", "nothing-disabled"])
def test_an_interrupted_replacement_is_tidied_by_the_next(plan, server, at):
    plan()
    (first,) = server.schedules.values()
    for number in range(2):
        left = copy.deepcopy(first) | {"recurring_run_id": f"left-{number}", "status": "DISABLED"}
        server.schedules[left["recurring_run_id"]] = left | {"created_at": server.now()}
    if at == "disabled":
        first["status"] = "DISABLED"
    assert plan().code == 0
    assert len(server.schedules) == len(server.active("sms-spam")) == server.most_active == 1


def test_of_two_calls_at_once_one_schedule_is_left(plan, server, monkeypatch):
    plan()
    real = cluster._enable
    inner = []

    def enable(api, one):
        if not inner:
            inner.append(True)
            inner.append(plan())  # another call, from beginning to end, in the middle of this one
        real(api, one)

    monkeypatch.setattr(cluster, "_enable", enable)
    plan()
    assert inner[1].code == 0
    assert len(server.active("sms-spam")) == 1


def test_a_schedule_is_paused_resumed_listed_and_deleted(plan, call, server):
    def act(*arguments):
        return call("schedules", *arguments, "--host", server.url)

    plan()
    assert act("pause", "sms-spam").out == "sms-spam: paused\n"
    assert not server.active("sms-spam")
    assert "paused" in act("list").out
    assert act("resume", "sms-spam").code == 0
    (row,) = act("list").out.splitlines()[1:]
    monday = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1)
    while monday.weekday():
        monday += datetime.timedelta(days=1)
    today = datetime.datetime.now(datetime.UTC)
    if today.weekday() == 0 and today.hour < 3:
        monday = today.date()
    assert row.split() == ["sms-spam", "0", "3", "*", "*", "1", "active", str(monday), "03:00", "pinned"]
    assert "Did you mean 'sms-spam'?" in one_line(act("pause", "sms-spma"))
    assert act("delete", "sms-spam").code == 0
    assert not server.schedules
    assert "no schedule 'sms-spam'" in one_line(act("delete", "sms-spam"))


@pytest.mark.parametrize("kind", ["lost", 503])
def test_a_deletion_whose_answer_was_lost_is_done(plan, call, server, kind):
    plan()
    server.faults = [Fault(DELETE, kind)]
    assert call("schedules", "delete", "sms-spam", "--host", server.url).code == 0
    assert not server.schedules


def test_resume_after_an_interrupted_replacement_enables_one(plan, call, server):
    plan()
    (first,) = server.schedules.values()
    first["status"] = "DISABLED"
    left = copy.deepcopy(first) | {"recurring_run_id": "left", "created_at": server.now()}
    server.schedules["left"] = left
    assert call("schedules", "resume", "sms-spam", "--host", server.url).code == 0
    assert list(server.schedules) == ["left"]
    assert server.most_active == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--cron", "0 0 3 * * 1"), "six fields"),
        (("--cron", "0 3 * * FOO"), "'FOO' is not a valid day of the week"),
        (("--cron", "0 3 * * 1", "--name", "../../elsewhere"), "--name '../../elsewhere': use 1 to 63 lower-case"),
        (("--cron", "0 3 * * 1", "--end", "2020-01-01"), "--end 2020-01-01: is past"),
        (("--cron", "0 3 * * 1", "--timezone-note", "Mars/Olympus"), "no such zone"),
        (("--cron", "0 3 * * 1", "--timezone-note", "../../etc/passwd"), "no such zone"),
    ],
)
def test_bad_times_are_one_line_and_nothing_is_asked(call, server, arguments, words):
    assert words in one_line(call("schedule", "config.yaml", *arguments, "--host", server.url))
    assert not server.requests


def test_a_schedule_needs_a_cron_and_local_takes_no_cluster(call):
    assert call("schedule", "config.yaml").code == 2
    assert call("schedule", "config.yaml", "--cron", "0 3 * * 1", "--local", "--host", "http://localhost:1").code == 2
