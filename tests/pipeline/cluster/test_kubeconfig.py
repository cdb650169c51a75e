"""A cluster that a kubeconfig leads to, and the secrets in it that a run needs."""

import re

import pytest

from tests.support.cluster_calls import one_line, write_config


def test_a_kubeconfig_leads_to_kfp_through_kubernetes_own_api(call, server, kubeconfig):
    server.token = "of-the-kubeconfig"
    called = call("submit", "config.yaml")
    assert called.code == 0, called.err
    assert len(server.runs) == 1


@pytest.mark.parametrize("command", [["submit", "config.yaml"], ["schedule", "config.yaml", "--cron", "0 3 * * 1"]])
def test_missing_secret_is_reported_before_anything_is_created(call, server, folder, kubeconfig, command):
    write_config(folder, cluster={"store_secret": "of-the-store", "mlflow_secret": "of-mlflow"})
    server.secrets = {("kubeflow", "of-mlflow")}
    line = one_line(call(*command))
    assert "cluster.store_secret: the namespace 'kubeflow' has no secret 'of-the-store'" in line
    assert not server.asked("POST")
    server.secrets.add(("kubeflow", "of-the-store"))
    assert call(*command).code == 0


@pytest.mark.parametrize("why", ["no permission", "defaults", "no kubeconfig", "another cluster"])
def test_unreadable_or_optional_secrets_do_not_block(call, server, folder, why, request, monkeypatch):
    """Without permission or a kubeconfig, or for optional secrets, the submission goes on."""
    if why != "no kubeconfig":
        request.getfixturevalue("kubeconfig")
    if why == "no permission":
        server.secrets = None
    if why == "another cluster":
        monkeypatch.setattr("pipeline.cluster.kubernetes_client._LOOPBACK", re.compile("https://kubernetes.example"))
    write_config(folder, cluster={} if why == "defaults" else {"store_secret": "of-the-store"})
    called = call("submit", "config.yaml", "--host", server.url)
    assert called.code == 0, called.err
