"""Where things are: the checkout with its environments, and the .berth/ folder in which berth runs."""

import hashlib
import os
import re
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from components.common import pipeline_run
from components.common.code import code_version
from components.common.errors import BerthError

CHECKOUT = Path(__file__).resolve().parents[1]
_PATIENCE = 10
"""Seconds that an MLflow server may take to say anything."""


def berth_home() -> Path:
    """Return the folder that holds this working directory's runs, cache, logs and models."""
    return Path.cwd() / ".berth"


def writable_home() -> Path:
    """Return the folder of `berth_home`, made if need be.

    Raises:
        BerthError: it cannot be written.
    """
    home = berth_home()
    try:
        home.mkdir(exist_ok=True)
        if not os.access(home, os.W_OK):
            raise PermissionError
    except OSError:
        raise BerthError(f"{home}: cannot be written. Run berth in a folder of your own.") from None
    return home


def tracking_uri() -> str:
    """Return MLFLOW_TRACKING_URI, or the SQLite store under .berth/, whose folder is then made."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{writable_home() / 'mlflow.db'}"


def use_tracking_uri() -> str:
    """Point MLflow, here and in every process started from here, at the store in use, and return its URI.

    Raises:
        BerthError: the URI is a server that does not answer; MLflow itself would try for minutes.
    """
    os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
    os.environ["MLFLOW_TRACKING_URI"] = tracking_uri()
    pipeline_run.hide_credentials()
    uri = os.environ["MLFLOW_TRACKING_URI"]
    if uri.startswith(("http:", "https:")):
        _greet(uri)
    return uri


def _greet(server: str) -> None:
    """Raise unless something at the address of `server` speaks HTTP, whatever it says."""
    try:
        urllib.request.urlopen(f"{server.rstrip('/')}/health", timeout=_PATIENCE).close()
    except urllib.error.HTTPError:
        pass
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise BerthError(f"MLflow at {server} does not answer: {reason}. Check MLFLOW_TRACKING_URI.") from None


def redacted(uri: str) -> str:
    """Return `uri` without the user and password that it may carry."""
    return re.sub(r"//[^/@]*@", "//", uri)


def relative(path: Path) -> str:
    """Return `path` as seen from the working directory, where it is below it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def environment_bin(image: str) -> Path:
    """Return the folder of executables of the environment that stands for `image`.

    Raises:
        BerthError: the environment has not been made.
    """
    folder = CHECKOUT / ".venv" / image.removeprefix("berth-") / "bin"
    if not (folder / "python3").exists():
        raise BerthError(f"the environment of the image {image} is missing. Run 'make setup' in {CHECKOUT}.")
    return folder


def code_digest() -> str:
    """Return a digest of what the steps run: their code and the lock files of their images."""
    digest = hashlib.sha256(code_version().encode())
    for path in sorted(CHECKOUT.glob("docker/*/*.lock")):
        digest.update(str(path.relative_to(CHECKOUT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def git_commit() -> str:
    """Return the checkout's commit, with `-dirty` when files differ from it; empty outside a git checkout."""
    command = ["git", "-C", str(CHECKOUT), "describe", "--always", "--abbrev=40", "--exclude=*", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
