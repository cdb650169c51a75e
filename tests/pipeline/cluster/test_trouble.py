"""Requests to a KFP API that fail on the way: asked again where that is safe, and never done twice."""

import pytest

from pipeline.cluster import api
from tests.support.cluster_calls import CREATES, give_up_early, one_line
from tests.support.kfp_server import Fault


@pytest.mark.parametrize("kind", ["drop", "lost", "hang", "late", 429, 500, 502, 503, 504])
@pytest.mark.parametrize("thing", CREATES)
def test_request_faults_never_create_duplicates(call, server, monkeypatch, thing, kind):
    """Whatever becomes of a request or its answer, exactly one of everything exists."""
    if kind in ("late", "hang"):
        if thing in ("pipeline", "version"):
            pytest.skip("as lost, for what KFP holds unique itself")
        give_up_early(monkeypatch)
    server.faults = [Fault(CREATES[thing], kind)]
    called = call("submit", "config.yaml", "--host", server.url)
    assert called.code == 0, called.err
    assert not server.faults[0].times
    assert len(server.pipelines) == len(server.versions) == len(server.experiments) == 1
    assert len([run for run in server.runs.values() if run["state"] != "CANCELING"]) == 1
    (shown,) = [run_id for run_id in server.runs if run_id in called.out]
    assert server.runs[shown]["state"] == "PENDING"


def test_a_run_that_was_made_by_the_last_request_of_all_is_found(call, server):
    server.faults = [Fault(CREATES["run"], "drop", 4), Fault(CREATES["run"], "lost")]
    called = call("submit", "config.yaml", "--host", server.url)
    assert called.code == 0, called.err
    assert len(server.runs) == 1


@pytest.mark.parametrize("thing", ["pipeline", "version", "experiment"])
def test_somebody_else_making_the_same_thing_at_once_is_no_error(call, server, thing):
    server.faults = [Fault(CREATES[thing], "rival")]
    called = call("submit", "config.yaml", "--host", server.url)
    assert called.code == 0, called.err
    assert len(server.asked(CREATES[thing])) == 2
    assert len(server.pipelines) == len(server.versions) == len(server.experiments) == len(server.runs) == 1


@pytest.mark.parametrize("kind", [503, "drop"])
def test_lasting_trouble_ends_in_one_line(call, server, kind):
    """The number of requests is bounded."""
    server.faults = [Fault(CREATES["run"], kind, 99)]
    line = one_line(call("submit", "config.yaml", "--host", server.url))
    assert server.url in line
    assert 99 - server.faults[0].times == len(api.PAUSES) + 1
    assert not server.runs


@pytest.mark.parametrize("status", [400, 403, 404, 405, 422])
def test_a_refusal_is_not_asked_for_again(call, server, status):
    server.faults = [Fault(CREATES["run"], status, 99)]
    assert f"({status}): trouble {status}." in one_line(call("submit", "config.yaml", "--host", server.url))
    assert server.faults[0].times == 98


@pytest.mark.parametrize(
    ("thing", "kind", "words"),
    [
        ("run", "compile", "refused (500): Failed to compile job"),
        ("version", "upload", "refused (400): no pipeline spec is provided."),
    ],
)
def test_what_kfp_cannot_compile_is_asked_for_once(call, server, thing, kind, words):
    server.faults = [Fault(CREATES[thing], kind, 99)]
    assert words in one_line(call("submit", "config.yaml", "--host", server.url))
    assert server.faults[0].times == 98


def test_an_answer_that_says_when_to_come_back_is_waited_for(call, server, monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(api.time, "sleep", slept.append)
    server.faults = [Fault(CREATES["experiment"], 429, headers={"Retry-After": "7"})]
    assert call("submit", "config.yaml", "--host", server.url).code == 0
    assert 7 in slept
