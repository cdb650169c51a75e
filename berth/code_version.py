"""The version of the code that a step runs."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = ("berth", "components")


def code_version(packages: Sequence[str] = _PACKAGES) -> str:
    """Return a digest of the sources of steps and library, the same in an image and in a checkout of one commit.

    Args:
        packages: The folders of code that count, relative to the root of the checkout.

    Returns:
        The first 16 hexadecimal digits of a SHA-256.

    Example:
        >>> len(code_version()), code_version(["berth"]) == code_version(["berth"])
        (16, True)
    """
    digest = hashlib.sha256()
    sources = (path for package in packages for path in (_ROOT / package).rglob("*"))
    for path in sorted(path for path in sources if path.suffix in (".py", ".j2", ".css")):
        digest.update(str(path.relative_to(_ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
