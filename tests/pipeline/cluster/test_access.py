"""The cluster that a command speaks to: its address, its version, the namespace and the token."""

import kfp
import pytest

from tests.support.cluster_calls import CREATES, one_line
from tests.support.kfp_server import Fault


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
        ({"multi_user": False}, {"tag_name": "2.5.0"}, "Kubeflow Pipelines 2.5.0 lacks the MLflow plugin's settings"),
        ({"multi_user": False, "apiServerTagName": "2.16.1"}, None, "Update it to 2.17 or newer"),
    ],
)
def test_an_older_backend_is_refused_with_what_it_lacks(call, server, health, older, words):
    server.health, server.older_health = health, older
    assert words in one_line(call("submit", "config.yaml", "--host", server.url))
    assert not server.asked("POST")


@pytest.mark.parametrize("tag", ["2.17.0", "2.17.1", "3.0.0", "v2.18.0-rc.1", "dev", "master-1f2e3d", ""])
def test_a_backend_that_is_new_enough_or_does_not_tell_is_taken(call, server, tag):
    server.older_health = {"tag_name": tag}
    assert call("submit", "config.yaml", "--host", server.url).code == 0


@pytest.mark.parametrize(("version", "words"), [("2.15.0", "securityContext"), ("2.16.1", "plugins_input")])
def test_an_older_backend_that_does_not_tell_its_version_refuses(call, server, version, words):
    """It parses strictly: what it does not know is an error of one line."""
    server.older_health, server.version = {"tag_name": ""}, version
    line = one_line(call("submit", "config.yaml", "--host", server.url))
    assert "refused (400)" in line
    assert f'unknown field "{words}"' in line
    assert not server.runs


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


def test_multi_user_mode_creates_everything_in_own_namespace(call, server):
    server.health["multi_user"] = True
    server.namespaces = {"mine"}
    access = ("--host", server.url, "--namespace", "mine")
    assert call("submit", "config.yaml", *access).code == 0
    assert "sms-spam-" in call("runs", *access).out
    assert {one["namespace"] for kept in (server.pipelines, server.runs) for one in kept.values()} == {"mine"}


def test_token_file_is_read_per_request_and_never_shown(call, server, folder):
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
def test_empty_token_file_gives_one_line_without_its_content(call, server, folder, content):
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
