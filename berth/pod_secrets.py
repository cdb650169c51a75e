"""Variables that a pod has from its secrets, under names of Berth's own, and what the libraries call them.

KFP's launcher runs in the same container and moves artifacts to and from its own store: under their usual names, AWS's
variables would send it to ours, with our credentials. MLflow's would clash with those of KFP's MLflow plugin, which
Kubernetes refuses.
"""

import os

MLFLOW = {
    f"BERTH_MLFLOW_{name}": f"MLFLOW_TRACKING_{name}"
    for name in ("URI", "USERNAME", "PASSWORD", "TOKEN", "INSECURE_TLS")
}
ADDRESSES = ("DATABASE_URL", "SOURCE_URL", "VALIDATION_URL", "TEST_URL")
"""The variables that a configuration may name, `env:NAME`, on a cluster: of a database, and of files."""
STORE = {
    f"BERTH_STORE_{name}": name
    for name in (
        *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"),
        *("MLFLOW_S3_ENDPOINT_URL", *ADDRESSES),
    )
}
"""The keys of two secrets by the variables that they become in a pod. A key that a secret lacks is not set."""


def take() -> None:
    """Give the variables the names that libraries know, in this process and those that it starts.

    MLflow's are left out where KFP's plugin has given its address: its credentials belong to it.

    Example:
        >>> from unittest import mock
        >>> with mock.patch.dict(os.environ, BERTH_STORE_AWS_DEFAULT_REGION="eu-west-1"):
        ...     take()
        ...     print(os.environ["AWS_DEFAULT_REGION"])
        eu-west-1
    """
    chosen = STORE if os.environ.get("MLFLOW_TRACKING_URI") else STORE | MLFLOW
    os.environ.update({known: os.environ[name] for name, known in chosen.items() if os.environ.get(name)})
