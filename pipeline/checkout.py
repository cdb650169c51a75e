"""The checkout: its code, commit and environments."""

import hashlib
import subprocess
from pathlib import Path

from berth.code_version import code_version
from berth.errors import BerthError

CHECKOUT = Path(__file__).resolve().parents[1]


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
