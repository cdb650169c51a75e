"""Settings and fixtures of every test: nothing but loopback is asked, and MLflow stays quiet."""

import os

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.pop("MLFLOW_RUN_ID", None)

pytest_plugins = [
    "tests.support.datasets",
    "tests.support.pretraining",
    "tests.support.pushes",
]
