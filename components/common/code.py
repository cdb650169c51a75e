"""Which code a step runs."""

import hashlib
from pathlib import Path

_COMPONENTS = Path(__file__).resolve().parents[1]


def code_version() -> str:
    """Return a digest of the steps' sources: the same in an image and in a checkout of the same commit."""
    digest = hashlib.sha256()
    for path in sorted(path for path in _COMPONENTS.rglob("*") if path.suffix in (".py", ".j2", ".css")):
        digest.update(str(path.relative_to(_COMPONENTS)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
