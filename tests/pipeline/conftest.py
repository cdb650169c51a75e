"""The fixtures of a cluster, and of the processes of the train environment."""

from tests.support.cluster_calls import call, compiled, folder, kubeconfig, server  # noqa: F401
from tests.support.train_forks import _train_bin, train_forks  # noqa: F401
