"""TensorFlow Serving's side of a push: `<push_to>/<model>/<version>/`, visible whole or not at all."""

import os
import shutil
from pathlib import Path

from components.common.errors import BerthError

_INCOMING = ".incoming-"


def prepare(push_to: str, model_name: str) -> Path:
    """Return `<push_to>/<model_name>`, made if need be, without what killed pushes left in it.

    Raises:
        BerthError: it is no folder that can be written.
    """
    if "://" in push_to:
        raise BerthError(f"push_to: {push_to} is an address; Berth pushes to folders of this machine. Name one.")
    folder = Path(push_to) / model_name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for left in folder.glob(f"{_INCOMING}*"):
            if not _alive(left.name.removeprefix(_INCOMING)):
                shutil.rmtree(left)
        probe = folder / f"{_INCOMING}{os.getpid()}"
        probe.mkdir(exist_ok=True)
        probe.rmdir()
    except OSError as error:
        raise BerthError(f"push_to: {folder} cannot be written ({error.strerror}). Name a folder that can.") from None
    return folder


def publish(saved_model: str | Path, folder: Path, version: str) -> Path:
    """Copy the SavedModel to `<folder>/<version>` and return that folder; it appears whole, on disk.

    Raises:
        BerthError: the version is there already, or the disk does not take it.
    """
    target = folder / version
    if target.exists():
        raise BerthError(
            f"push_to: {target} is there already, from another model registry. Name another push_to, or move it away."
        )
    incoming = folder / f"{_INCOMING}{os.getpid()}"
    try:
        shutil.copytree(saved_model, incoming)
        for path in (*incoming.rglob("*"), incoming):
            _sync(path)
        incoming.rename(target)
        _sync(folder)
    except OSError as error:
        shutil.rmtree(incoming, ignore_errors=True)
        raise BerthError(
            f"push_to: {target} cannot be written ({error.strerror}). Make room, or name another."
        ) from None
    return target


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _alive(pid: str) -> bool:
    return pid.isdigit() and Path(f"/proc/{pid}").exists()
