"""Settings and fixtures of every test: nothing but loopback is asked, and MLflow stays quiet."""

import os
import tempfile
from collections.abc import Iterator
from multiprocessing.util import get_temp_dir

import pytest

os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.pop("MLFLOW_RUN_ID", None)

pytest_plugins = [
    "tests.support.datasets",
    "tests.support.pretraining",
    "tests.support.pushes",
]


@pytest.fixture(scope="session", autouse=True)
def temporary_folder(tmp_path_factory) -> Iterator[None]:
    """Have what tests and their processes leave in the temporary folder removed at the end, also if they are killed."""
    tmp_path_factory.getbasetemp()  # first: pytest keeps that one
    get_temp_dir()  # nor is multiprocessing's below it, which it removes itself, after this
    with (
        tempfile.TemporaryDirectory(prefix="berth-tests-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as patched,
    ):
        patched.setenv("TMPDIR", folder)
        patched.setattr(tempfile, "tempdir", folder)
        yield
