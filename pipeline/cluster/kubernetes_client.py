"""Kubernetes' own API, next to KFP's: the pod's cluster, else the kubeconfig's."""

import re

import kubernetes

from pipeline.cluster.api import Api

TIMEOUT = (3, 5)
"""Seconds to connect, and to wait for an answer."""
_LOOPBACK = re.compile(r"https?://(localhost|127\.0\.0\.1|\[::1\])(:|/|$)")


def is_same_cluster(api: Api) -> bool:
    """Return whether the kubeconfig's cluster is that of `api`; a port-forward is assumed to lead to it."""
    return not api.by_address or bool(_LOOPBACK.match(api.host))


def client() -> kubernetes.client.ApiClient | None:
    """Return a client for the pod's cluster, else the kubeconfig's; None where there is neither."""
    configuration = kubernetes.client.Configuration()
    for load in (kubernetes.config.load_incluster_config, kubernetes.config.load_kube_config):
        try:
            load(client_configuration=configuration)
        except (kubernetes.config.ConfigException, OSError, ValueError):
            continue
        configuration.retries = False
        return kubernetes.client.ApiClient(configuration)
    return None
