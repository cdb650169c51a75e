"""images.lock.yaml: where each image was pushed, by digest.

A tag can be moved to another image, and KFP's cache does not see that: a compiled pipeline names images by digest.
"""

import re
import tempfile
from pathlib import Path
from typing import Any

import yaml

from components.common.code import code_version
from components.common.errors import BerthError
from components.common.images import ALL

LOCK = "images.lock.yaml"
_BY_DIGEST = re.compile(r"[a-z0-9][\w.\-:/]*@sha256:[0-9a-f]{64}")
_MEND = "Call: make push-images REGISTRY=..."


def locked(path: Path) -> dict[str, str]:
    """Return the reference by digest of each image, by its name in components/common/images.py.

    Raises:
        BerthError: the file cannot be read, an image is missing or is not named by digest, or the images hold other
            code than this checkout.
    """
    lock = _read(path)
    found = lock.get("images")
    references = found if isinstance(found, dict) else {}
    if missing := [name for name in ALL if name not in references]:
        raise BerthError(f"{path}: the image {missing[0]} is missing. {_MEND}")
    for name in ALL:
        if not _BY_DIGEST.fullmatch(str(references[name])):
            raise BerthError(f"{path}: {name} is {references[name]!r}, which is not by digest (@sha256:...). {_MEND}")
    if lock.get("code") != code_version():
        raise BerthError(f"{path}: the images hold other code than this checkout. Call: make images, then push-images.")
    return {name: references[name] for name in ALL}


def write_lock(path: Path, references: dict[str, str], commit: str = "") -> None:
    """Write the `references` of images that hold this checkout's code to `path`, whole or not at all."""
    lock = {"commit": commit, "code": code_version(), "images": references}
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
        stream.write("# Written by `make push-images`; `berth compile` names the images as this file does.\n")
        yaml.safe_dump(lock, stream, sort_keys=False)
    Path(stream.name).chmod(0o644)
    Path(stream.name).replace(path)


def _read(path: Path) -> dict[str, Any]:
    try:
        lock = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BerthError(f"{path}: cannot be read ({error.strerror}). {_MEND}") from None
    except (UnicodeDecodeError, yaml.YAMLError):
        raise BerthError(f"{path}: is not YAML. {_MEND}") from None
    return lock if isinstance(lock, dict) else {}
