"""`berth submit`, `runs --host`, `cancel` and `retry`, held against a KFP API on loopback."""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import kfp
import pytest
import yaml

from pipeline import image_lock
from pipeline.cluster import api, follow, package, runs
from pipeline.dags import training
from tests.support.cluster_calls import give_up_early, one_line, references, write_config
from tests.support.kfp_models import Refused, checked
from tests.support.kfp_server import Fault

README = Path(__file__).parents[3] / "README.md"
CREATES = {
    "pipeline": "POST .*/pipelines$",
    "version": "POST .*/upload_version$",
    "experiment": "POST .*/experiments$",
    "run": "POST .*/runs$",
}


def test_submit_uploads_a_version_named_by_its_hash_and_starts_a_run_with_the_configs_parameters(call, server, folder):
    write_config(folder, epochs=2, gates={"min_accuracy": 0.9})
    called = call("submit", "config.yaml", "--host", server.url)
    assert called.code == 0, called.err
    (version,) = server.versions.values()
    uploaded = server.asked("upload_version")[0].encode()
    assert version["display_name"] == f"berth-{hashlib.sha256(uploaded).hexdigest()[:16]}"
    (run,) = server.runs.values()
    assert run["pipeline_version_reference"]["pipeline_version_id"] == version["pipeline_version_id"]
    given = run["runtime_config"]["parameters"]
    assert (given["epochs"], given["gates"]["min_accuracy"], given["name"]) == (2, 0.9, "sms-spam")
    assert given["source"] == {"files": "s3://texts/messages.tsv"}
    assert given["config_file"] == "config.yaml"
    assert given["on_unchanged"] == "train"
    assert run["plugins_input"] == {"mlflow": {"experiment_name": "sms-spam"}}
    (experiment,) = server.experiments.values()
    assert experiment["display_name"] == "sms-spam"


def test_the_version_names_images_by_digest_and_is_the_same_bytes_each_time(call, server, folder):
    for _ in range(2):
        assert call("submit", "config.yaml", "--host", server.url).code == 0
    assert len(server.runs) == 2
    assert len(server.versions) == len(server.pipelines) == len(server.experiments) == 1
    spec = next(iter(server.versions.values()))["pipeline_spec"]
    used = {executor["container"]["image"] for executor in spec["deploymentSpec"]["executors"].values()}
    assert used == set(references("0").values())
    image_lock.write_lock(folder / image_lock.LOCK, references("1"))
    assert call("submit", "config.yaml", "--host", server.url).code == 0
    assert len(server.versions) == 2


def test_what_is_uploaded_is_what_compile_writes_with_the_same_images(call, server, folder, compiled):
    call("submit", "config.yaml", "--host", server.url)
    assert server.asked("upload_version")[0] == compiled.read_text()


def test_a_claim_for_checkpoints_is_compiled_in_and_named_by_a_parameter(call, server, folder):
    write_config(folder, cluster={"checkpoint_claim": "train-checkpoints", "gpu_count": 2})
    called = call("submit", "config.yaml", "--host", server.url)
    assert called.code == 0, called.err
    assert "pvcMount" in server.asked("upload_version")[0]
    (run,) = server.runs.values()
    given = run["runtime_config"]["parameters"]
    assert (given["cluster_checkpoint_claim"], given["cluster_gpu_count"]) == ("train-checkpoints", "2")


def test_submit_prints_the_link_to_kubeflow_and_the_one_to_mlflow(call, server, folder, monkeypatch):
    called = call("submit", "config.yaml", "--host", server.url)
    (run_id,) = server.runs
    assert f"{server.url}/#/runs/details/{run_id}" in called.out
    assert "mlflow" not in called.out
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://somebody:hunter2@mlflow.example/")
    called = call("submit", "config.yaml", "--host", server.url)
    assert "https://mlflow.example/#/experiments" in called.out
    server.mlflow_url = "https://mlflow.example/#/experiments/3/runs/abc"
    monkeypatch.setenv("KF_PIPELINES_UI_ENDPOINT", "https://kubeflow.example/pipeline")
    called = call("submit", "config.yaml", "--host", server.url)
    assert "https://mlflow.example/#/experiments/3/runs/abc" in called.out
    assert "https://kubeflow.example/pipeline/#/runs/details/" in called.out
    server.mlflow_url = ""
    pages = {"kfp_ui": "https://kfp.example/", "mlflow_ui": "https://ml.example"}
    write_config(folder, cluster=pages)
    called = call("submit", "config.yaml", "--host", server.url)
    assert "kubeflow  https://kfp.example/#/runs/details/" in called.out
    assert "mlflow    https://ml.example/#/experiments" in called.out


def test_the_experiment_is_the_named_one_and_kfps_variable_overrides_it(call, server, monkeypatch):
    call("submit", "config.yaml", "--host", server.url, "--experiment", "mine")
    monkeypatch.setenv("KF_PIPELINES_OVERRIDE_EXPERIMENT_NAME", "of-the-team")
    call("submit", "config.yaml", "--host", server.url, "--experiment", "mine")
    assert [one["display_name"] for one in server.experiments.values()] == ["mine", "of-the-team"]


# the run is followed

RUNNING = ("RUNNING", {"locate": "SUCCEEDED", "train": "RUNNING"})
DONE = {"locate": "SUCCEEDED", "train": "SUCCEEDED", "evaluate": "SUCCEEDED", "finish": "SUCCEEDED"}


@pytest.mark.parametrize(
    ("state", "tasks", "flags", "code", "verdict"),
    [
        ("SUCCEEDED", DONE | {"push": "SUCCEEDED", "refuse": "SKIPPED"}, [], 0, "BLESSED"),
        ("SUCCEEDED", DONE | {"refuse": "SUCCEEDED"}, [], 0, "NOT BLESSED"),
        ("SUCCEEDED", DONE | {"refuse": "SUCCEEDED"}, ["--fail-if-not-blessed"], 3, "NOT BLESSED"),
        ("SUCCEEDED", {"locate": "SUCCEEDED"}, ["--fail-if-not-blessed"], 0, "UNCHANGED"),
        ("FAILED", {"locate": "SUCCEEDED", "train": "FAILED", "finish": "SUCCEEDED"}, [], 1, ""),
        ("CANCELED", {"locate": "SUCCEEDED", "train": "CANCELED"}, [], 1, ""),
    ],
)
def test_wait_shows_each_steps_states_once_and_ends_with_the_verdict(call, server, state, tasks, flags, code, verdict):
    server.script = [("PENDING", {}), RUNNING, RUNNING, (state, tasks)]
    called = call("submit", "config.yaml", "--host", server.url, "--wait", *flags)
    assert called.code == code, called
    lines = [line for line in called.out.splitlines() if line.startswith(("… train", "✓ train", "✗ train"))]
    assert len(lines) == (2 if "train" in tasks else 1)
    if verdict:
        assert called.out.splitlines()[-1] == f"verdict   {verdict}"
    elif state == "FAILED":
        assert "error: train failed. train ended with exit code 1. 'berth retry sms-spam-" in called.err
    else:
        assert "canceled" in called.err


def test_conditions_and_groups_of_the_pipeline_are_not_shown_as_steps(call, server):
    server.script = [("SUCCEEDED", DONE | {"condition-something-new-1": "SUCCEEDED", "root": "SUCCEEDED"})]
    called = call("submit", "config.yaml", "--host", server.url, "--wait")
    assert "condition" not in called.out
    assert "root" not in called.out


def test_ctrl_c_while_waiting_leaves_the_run_going_and_says_so(call, server, monkeypatch):
    server.script = [RUNNING]
    main_thread = threading.main_thread().ident
    monkeypatch.setattr(follow, "POLL", 5)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it

    def interrupt() -> None:
        while not server.asked(r"GET .*/runs/"):
            time.sleep(0.02)
        time.sleep(0.2)
        signal.pthread_kill(main_thread, signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    try:
        called = call("submit", "config.yaml", "--host", server.url, "--wait")
    finally:
        signal.signal(signal.SIGINT, before)
    assert called.code == 130
    assert "the run continues; 'berth cancel sms-spam-" in called.err
    assert not server.asked(":terminate")


def test_waiting_outlives_an_api_that_is_away_for_a_while(call, server):
    server.script = [("SUCCEEDED", DONE | {"push": "SUCCEEDED"})]
    server.faults = [Fault(r"GET .*/runs/", 503, 12)]
    called = call("submit", "config.yaml", "--host", server.url, "--wait")
    assert called.code == 0, called.err
    assert "verdict   BLESSED" in called.out


# trouble on the way


@pytest.mark.parametrize("kind", ["drop", "lost", "hang", "late", 429, 500, 502, 503, 504])
@pytest.mark.parametrize("thing", CREATES)
def test_whatever_becomes_of_a_request_or_its_answer_there_is_one_of_everything(call, server, monkeypatch, thing, kind):
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
def test_trouble_that_stays_ends_in_one_line_after_a_bounded_number_of_requests(call, server, kind):
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


def test_an_answer_that_says_when_to_come_back_is_waited_for(call, server, monkeypatch):
    slept: list[float] = []
    monkeypatch.setattr(api.time, "sleep", slept.append)
    server.faults = [Fault(CREATES["experiment"], 429, headers={"Retry-After": "7"})]
    assert call("submit", "config.yaml", "--host", server.url).code == 0
    assert 7 in slept


# who may, and where


def test_no_cluster_is_one_line_that_says_how_to_reach_one(call):
    line = one_line(call("submit", "config.yaml"))
    assert "no cluster" in line
    assert "--host http://localhost:8080" in line


def test_a_localhost_that_refuses_names_the_port_forward(call, server):
    server.server_close()
    line = one_line(call("runs", "--host", server.url))
    assert "kubectl port-forward -n kubeflow svc/ml-pipeline-ui 8080:80" in line


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("https://localhost:{port}", "no TLS connection"),
        ("no-such-host.invalid", "cannot be reached"),
        ("http://[", "not an address"),
        ("http://me:hunter2@localhost:{port}", "an address with a user or password in it"),
    ],
)
def test_a_wrong_host_is_one_line(call, server, host, words):
    line = one_line(call("runs", "--host", host.format(port=server.server_address[1])))
    assert words in line
    assert "hunter2" not in line


@pytest.mark.parametrize(
    ("health", "older", "words"),
    [
        ({}, None, "not a Kubeflow Pipelines API"),
        ({}, {"tag_name": "1.8.5"}, "Kubeflow Pipelines 1.8.5 lacks"),
        ({"multi_user": False}, {"tag_name": "2.5.0"}, "Kubeflow Pipelines 2.5.0 lacks GPUs, node settings"),
        ({"multi_user": False, "apiServerTagName": "2.13.1"}, None, "Update it to 2.14 or newer"),
    ],
)
def test_an_older_backend_is_refused_with_what_it_lacks(call, server, health, older, words):
    server.health, server.older_health = health, older
    assert words in one_line(call("submit", "config.yaml", "--host", server.url))
    assert not server.asked("POST")


@pytest.mark.parametrize("tag", ["2.14.0", "2.17.1", "3.0.0", "v2.15.0-rc.1", "dev", "master-1f2e3d", ""])
def test_a_backend_that_is_new_enough_or_does_not_tell_is_taken(call, server, tag):
    server.older_health = {"tag_name": tag}
    assert call("submit", "config.yaml", "--host", server.url).code == 0


def test_a_way_to_a_login_page_is_not_followed(call, server):
    server.faults = [Fault("GET .*/healthz", 302, 9, headers={"Location": f"{server.url}/login"})]
    line = one_line(call("submit", "config.yaml", "--host", server.url))
    assert "asks who you are (302)" in line
    assert not server.requests


def test_a_page_instead_of_an_answer_is_one_line(call, server):
    server.faults = [Fault("GET .*/healthz", "html", 9)]
    assert "not a Kubeflow Pipelines API" in one_line(call("submit", "config.yaml", "--host", server.url))


@pytest.mark.parametrize(
    ("namespace", "words"),
    [
        ("", "Name yours: --namespace"),
        ("nowhere", "not found in the namespace 'nowhere'"),
        ("theirs", "no permission in the namespace 'theirs'"),
        ("Not A Name", "not a name that a namespace can have"),
    ],
)
def test_a_wrong_namespace_is_one_line_and_nothing_is_made(call, server, namespace, words):
    server.health["multi_user"] = True
    server.namespaces, server.forbidden = {"mine", "theirs"}, {"theirs"}
    line = one_line(call("submit", "config.yaml", "--host", server.url, "--namespace", namespace))
    assert words in line
    assert not any((server.pipelines, server.experiments, server.runs))


def test_with_several_users_everything_is_made_in_ones_own_namespace(call, server):
    server.health["multi_user"] = True
    server.namespaces = {"mine"}
    access = ("--host", server.url, "--namespace", "mine")
    assert call("submit", "config.yaml", *access).code == 0
    assert "sms-spam-" in call("runs", *access).out
    assert {one["namespace"] for kept in (server.pipelines, server.runs) for one in kept.values()} == {"mine"}


def test_a_token_file_is_read_anew_for_each_request_and_its_token_is_never_shown(call, server, folder):
    server.token = "s3cr3t-token"
    (folder / "token").write_text("s3cr3t-token\n")
    access = ("--host", server.url, "--token-file", "token")
    assert call("submit", "config.yaml", *access).code == 0
    server.faults = [Fault(CREATES["run"], "echo")]
    called = call("submit", "config.yaml", *access)
    assert "authorization" in called.err
    assert "Bearer ***" in called.err
    assert "s3cr3t" not in called.err + called.out
    server.token = "rotated"
    expired = one_line(call("runs", *access))
    assert "(401)" in expired
    assert "--token-file" in expired
    assert "s3cr3t" not in expired


@pytest.mark.parametrize("content", [None, "", "two words", "\x1b[31m", b"\xff\xfe"])
def test_a_token_file_without_a_token_is_one_line_that_does_not_show_it(call, server, folder, content):
    if content is not None:
        (folder / "token").write_bytes(content if isinstance(content, bytes) else content.encode())
    line = one_line(call("runs", "--host", server.url, "--token-file", "token"))
    assert "--token-file: token" in line
    assert "two words" not in line


def test_kfps_own_variables_name_the_cluster_and_the_token(call, server, folder, monkeypatch):
    server.token = "of-the-variable"
    (folder / "token").write_text("of-the-variable")
    monkeypatch.setenv("KF_PIPELINES_ENDPOINT", server.url)
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(folder / "token"))
    assert call("submit", "config.yaml").code == 0


def test_in_a_pod_the_service_and_the_pods_token_are_found(call, server, folder, monkeypatch):
    server.token = "of-the-pod"
    (folder / "token").write_text("of-the-pod")
    monkeypatch.setattr("kubernetes.config.load_incluster_config", lambda **_: None)
    monkeypatch.setattr(kfp.Client, "_IN_CLUSTER_DNS_NAME", server.url)
    monkeypatch.setenv("KF_PIPELINES_SA_TOKEN_PATH", str(folder / "token"))
    called = call("submit", "config.yaml")
    assert called.code == 0, called.err
    assert "(cluster.kfp_ui makes this a link)" in called.out


@pytest.fixture
def kubeconfig(folder, server):
    """A kubeconfig whose cluster is the loopback server."""
    entries = {
        "clusters": [{"name": "c", "cluster": {"server": server.url}}],
        "users": [{"name": "u", "user": {"token": "of-the-kubeconfig"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    (folder / ".kube").mkdir()
    path = folder / ".kube" / "config"
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "x", **entries}))


def test_a_kubeconfig_leads_to_kfp_through_kubernetes_own_api(call, server, kubeconfig):
    server.token = "of-the-kubeconfig"
    called = call("submit", "config.yaml")
    assert called.code == 0, called.err
    assert len(server.runs) == 1


@pytest.mark.parametrize("command", [["submit", "config.yaml"], ["schedule", "config.yaml", "--cron", "0 3 * * 1"]])
def test_a_secret_that_does_not_exist_is_named_before_anything_is_made(call, server, folder, kubeconfig, command):
    write_config(folder, cluster={"store_secret": "of-the-store", "mlflow_secret": "of-mlflow"})
    server.secrets = {("kubeflow", "of-mlflow")}
    line = one_line(call(*command))
    assert "cluster.store_secret: the namespace 'kubeflow' has no secret 'of-the-store'" in line
    assert not server.asked("POST")
    server.secrets.add(("kubeflow", "of-the-store"))
    assert call(*command).code == 0


@pytest.mark.parametrize("why", ["no permission", "defaults", "no kubeconfig", "another cluster"])
def test_secrets_that_cannot_be_seen_or_need_not_exist_are_no_hindrance(
    call, server, folder, why, request, monkeypatch
):
    if why != "no kubeconfig":
        request.getfixturevalue("kubeconfig")
    if why == "no permission":
        server.secrets = None
    if why == "another cluster":
        monkeypatch.setattr("pipeline.cluster.secrets_check._LOOPBACK", re.compile("https://kubernetes.example"))
    write_config(folder, cluster={} if why == "defaults" else {"store_secret": "of-the-store"})
    called = call("submit", "config.yaml", "--host", server.url)
    assert called.code == 0, called.err


# before anything is asked


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"source": "messages.tsv"}, "source: "),
        ({"source": {"train": "s3://a/b.csv", "test": "test.csv"}}, "source.test: "),
        ({"encoder": "bert", "preprocessor": "https://tfhub.dev/x/1"}, "encoder: "),
        ({"push_to": "serving"}, "push_to: "),
        ({"checkpoints": "checkpoints"}, "checkpoints: "),
        ({"push_to": ""}, "push_to: a cluster's steps have no folder that stays"),
    ],
)
def test_a_path_of_this_machine_is_refused_before_anything_is_sent(call, server, folder, changes, words):
    write_config(folder, **changes)
    line = one_line(call("submit", "config.yaml", "--host", server.url))
    assert words in line
    assert "s3://" in line
    assert not server.requests


@pytest.mark.parametrize("missing", ["file", "image"])
def test_an_image_that_is_not_in_the_lock_is_refused_before_anything_is_sent(call, server, folder, missing):
    lock = folder / image_lock.LOCK
    if missing == "file":
        lock.unlink()
    else:
        values = yaml.safe_load(lock.read_text())
        del values["images"]["berth-train"]
        lock.write_text(yaml.safe_dump(values))
    line = one_line(call("submit", "config.yaml", "--host", server.url))
    assert "images.lock.yaml" in line
    assert "make push-images REGISTRY=" in line
    assert not server.requests


def test_the_verdict_cannot_be_asked_for_without_waiting(call, server):
    called = call("submit", "config.yaml", "--host", server.url, "--fail-if-not-blessed")
    assert called.code == 2


# runs, cancel, retry


def test_runs_lists_a_clusters_runs_newest_first_over_several_pages(call, server, monkeypatch):
    monkeypatch.setattr(api, "_PAGE", 2)
    for _ in range(5):
        call("submit", "config.yaml", "--host", server.url)
    names = [run["display_name"] for run in server.runs.values()]
    lines = call("runs", "--host", server.url, "-n", "4").out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == names[:0:-1]
    assert "PENDING" in lines[1]
    assert "sms-spam-" in call("runs", "sms-spam", "--host", server.url).out
    assert "no experiment of the name 'other'" in one_line(call("runs", "other", "--host", server.url))


def test_a_run_is_cancelled_by_name_or_id_and_only_while_it_goes_on(call, server):
    call("submit", "config.yaml", "--host", server.url)
    ((run_id, run),) = server.runs.items()
    assert call("cancel", run["display_name"], "--host", server.url).code == 0
    assert run["state"] == "CANCELING"
    run["state"] = "CANCELED"
    assert "has ended already (CANCELED)" in one_line(call("cancel", run_id, "--host", server.url))
    assert "no run has the name or id 'nothing'" in one_line(call("cancel", "nothing", "--host", server.url))
    unknown = "00000000-0000-0000-0000-000000000000"
    assert "not found" in one_line(call("cancel", unknown, "--host", server.url))


@pytest.mark.parametrize("kind", [None, "lost", 503])
def test_a_failed_run_is_tried_again_once_whatever_becomes_of_the_answer(call, server, kind):
    call("submit", "config.yaml", "--host", server.url)
    (run,) = server.runs.values()
    assert "Only a run that failed" in one_line(call("retry", run["display_name"], "--host", server.url))
    run["state"] = "FAILED"
    server.faults = [Fault(":retry", kind)] if kind else []
    called = call("retry", run["display_name"], "--host", server.url)
    assert called.code == 0, called.err
    assert run["state"] == "RUNNING"
    assert len(server.asked(":retry")) == 1


# the README


def test_the_readmes_commands_work_as_they_are_written(server, folder):
    section = README.read_text(encoding="utf-8").partition("## On a cluster")[2].partition("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n)+", section, re.MULTILINE)
    (config,) = [block for block in blocks if block.startswith("    name: reviews")]
    (folder / "reviews.yaml").write_text(textwrap.dedent(config))
    (script,) = [textwrap.dedent(block) for block in blocks if "berth submit" in block]
    export, *commands = script.replace("http://localhost:8080", server.url).splitlines()
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    for command in commands:
        (run,) = server.runs.values() or [{"display_name": ""}]
        run["state"] = "FAILED" if " retry " in command else "RUNNING"
        called = command.replace("RUN ", f"{run['display_name']} ")
        bash = ["bash", "-euc", f"{export}\n{called}"]
        done = subprocess.run(bash, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, called + done.stdout + done.stderr
    assert [len(server.asked(f":{action}$")) for action in ("terminate", "retry", "disable", "enable")] == [1, 1, 1, 2]
    assert not server.schedules


# the server itself


@pytest.mark.parametrize(
    "body",
    [
        {"display_name": "a", "colour": "red"},
        {"display_name": 1},
        {"run_id": "mine"},
        {"runtime_config": {"parameters": []}},
        {"pipeline_version_reference": {"pipeline": "x"}},
    ],
)
def test_the_loopback_server_refuses_what_the_official_models_do_not_have(body):
    with pytest.raises(Refused):
        checked("V2beta1Run", body)


def test_the_loopback_server_refuses_parameters_that_the_pipeline_does_not_take(call, server, folder, monkeypatch):
    real = runs.RunConfig.parameters
    monkeypatch.setattr(runs.RunConfig, "parameters", lambda self: real(self) | {"epochs": "three"})
    assert "epochs is 'three'" in one_line(call("submit", "config.yaml", "--host", server.url))


def test_the_package_of_the_demo_has_the_pipelines_steps_and_no_others(folder, monkeypatch):
    monkeypatch.undo()
    monkeypatch.chdir(folder)
    config = runs.RunConfig.load(write_config(folder))
    made = package.make_package(config, Path("config.yaml"))
    dags = json.dumps(made.parameters)
    assert "sms-spam" in dags
    assert set(made.steps) >= {"locate", "ingest", "compare", "validate", "train", "evaluate", "push", "refuse"}
    assert not [step for step in made.steps if "condition" in step or "handler" in step]
    assert training.berth.name == "berth"
