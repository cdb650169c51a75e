"""The fixtures of a cluster."""

from tests.support.cluster_calls import call, compiled, folder, kubeconfig, server  # noqa: F401
