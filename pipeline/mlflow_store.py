"""The MLflow store in use: a server, or the working folder's own; and `berth ui`, which shows it."""

import os
import re
import socket
import sys
import sysconfig
import urllib.error
import urllib.request

from berth.errors import BerthError, first_line
from berth.tracking import pipeline_run, sqlite_store
from pipeline import mlflow_database
from pipeline.home import writable_home

_REFUSALS = ("UNAUTHENTICATED", "PERMISSION_DENIED", "TEMPORARILY_UNAVAILABLE")
_BROKEN = "INTERNAL_ERROR"
_REFUSED = re.compile(r"failed with error code (401|403|5\d\d)\b|too many 5\d\d error responses")
_TIMEOUT_SECONDS = 10
"""Seconds that an MLflow server may take to answer."""
_FIRST = 300
"""Characters of a server's answer that are shown: it may be a whole page."""


def refusal(error: Exception) -> BerthError | None:
    """Return in one line what `error` says where it is MLflow's server that refuses or is down; None: it is not."""
    from mlflow.exceptions import MlflowException, RestException

    uri = redacted(os.environ.get("MLFLOW_TRACKING_URI", ""))
    if not isinstance(error, MlflowException) or not uri.startswith(("http://", "https://")):
        return None
    refused = error.error_code in _REFUSALS or (isinstance(error, RestException) and error.error_code == _BROKEN)
    if not refused and not _REFUSED.search(str(error)):
        return None
    first = first_line(error)
    return BerthError(
        f"MLflow at {uri} refused: {first[:_FIRST].rstrip('.')}. Check MLFLOW_TRACKING_URI and its credentials."
    )


def serve_ui(port: int) -> None:
    """Become `mlflow ui` on 127.0.0.1:`port`, on the store in use."""
    if tracking_uri().startswith(("http://", "https://")):
        raise BerthError(f"MLFLOW_TRACKING_URI is a server: open {redacted(tracking_uri())} in a browser.")
    uri = use_tracking_uri()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            raise BerthError(f"port {port} on 127.0.0.1 is taken. Choose another with --port.") from None
    print(f"MLflow on http://127.0.0.1:{port} (Ctrl-C ends it)", flush=True)
    os.environ.setdefault("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")  # workers for what Berth has no use for
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else it asks a server on the internet what to report
    os.environ["PYTHONSAFEPATH"] = "1"  # else a working folder with an mlflow.py would come before MLflow
    os.environ["UVICORN_APP_DIR"] = sysconfig.get_path("stdlib")  # else uvicorn looks into the working folder first
    one_person = ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]  # each worker imports MLflow for itself
    arguments = ["-m", "mlflow", "ui", "--backend-store-uri", uri, *one_person]
    os.execv(sys.executable, [sys.executable, *arguments])


def tracking_uri() -> str:
    """Return MLFLOW_TRACKING_URI, or the SQLite store under .berth/, whose folder is then made."""
    return os.environ.get("MLFLOW_TRACKING_URI") or sqlite_store.uri_of(writable_home() / "mlflow.db")


def use_tracking_uri() -> str:
    """Point MLflow, here and in every process started from here, at the store in use, and return its URI.

    Raises:
        BerthError: the URI is a server that does not answer (MLflow itself would try for minutes), or the store of the
            working folder cannot be made.
    """
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        mlflow_database.prepare(writable_home())
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri()
    pipeline_run.hide_credentials()
    uri = os.environ["MLFLOW_TRACKING_URI"]
    if uri.startswith(("http:", "https:")):
        _greet(uri)
    return uri


def _greet(server: str) -> None:
    """Raise unless something at the address of `server` speaks HTTP, whatever it says."""
    try:
        urllib.request.urlopen(f"{server.rstrip('/')}/health", timeout=_TIMEOUT_SECONDS).close()
    except urllib.error.HTTPError:
        pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise BerthError(f"MLflow at {server} does not answer: {reason}. Check MLFLOW_TRACKING_URI.") from None


def redacted(uri: str) -> str:
    """Return `uri` without the user and password that it may carry."""
    return re.sub(r"//[^/@]*@", "//", uri)
