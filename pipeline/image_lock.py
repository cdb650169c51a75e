"""The file images.lock.yaml: where each image was pushed, by digest.

A tag can be moved to another image, and KFP's cache does not see that: a compiled pipeline names images by digest.

    python -m pipeline.image_lock ENGINE REGISTRY

is `make push-images`: ENGINE is the command docker or podman.
"""

import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import yaml

from berth.code_version import code_version
from berth.errors import BerthError
from berth.images import ALL

LOCK = "images.lock.yaml"
CODE_LABEL = "berth.code"
REVISION_LABEL = "org.opencontainers.image.revision"
_REGISTRY = re.compile(r"[a-z0-9][a-z0-9.\-]*(:[0-9]+)?(/[a-z0-9][a-z0-9._\-]*)*")
_BY_DIGEST = re.compile(r"[a-z0-9][\w.\-:/]*@sha256:[0-9a-f]{64}")
_ADVICE = "Call: make push-images REGISTRY=..."


def locked(path: Path) -> dict[str, str]:
    """Return the reference by digest of each image, by its name in berth/images.py.

    Raises:
        BerthError: the file cannot be read, an image is missing or is not named by digest, or the images hold other
            code than this checkout.
    """
    lock = _read(path)
    found = lock.get("images")
    references = found if isinstance(found, dict) else {}
    if missing := [name for name in ALL if name not in references]:
        raise BerthError(f"{path}: the image {missing[0]} is missing. {_ADVICE}")
    for name in ALL:
        if not _BY_DIGEST.fullmatch(str(references[name])):
            raise BerthError(f"{path}: {name} is {references[name]!r}, which is not by digest (@sha256:...). {_ADVICE}")
    if lock.get("code") != code_version():
        raise BerthError(f"{path}: the images hold other code than this checkout. Call: make images, then push-images.")
    return {name: references[name] for name in ALL}


def write_lock(path: Path, references: dict[str, str]) -> None:
    """Write the `references` of images that hold this checkout's code to `path`, whole or not at all."""
    lock = {"code": code_version(), "images": references}
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as stream:
        stream.write("# Written by `make push-images`; `berth compile` names the images as this file does.\n")
        yaml.safe_dump(lock, stream, sort_keys=False)
    Path(stream.name).chmod(0o644)
    Path(stream.name).replace(path)


def push(engine: str, registry: str) -> dict[str, str]:
    """Push the built images to `registry` and return their references by digest.

    Raises:
        BerthError: an image has not been built of this checkout's code, or the engine or the registry refuses.
    """
    if not _REGISTRY.fullmatch(registry):
        raise BerthError(f"REGISTRY is {registry!r}. Write host[:port][/path]: make push-images REGISTRY=ghcr.io/me")
    revisions = {name: _revision(engine, name) for name in ALL}
    references = {}
    for name, revision in revisions.items():
        _call(engine, "tag", name, f"{registry}/{name}:{revision}")
        _call(engine, "push", f"{registry}/{name}:{revision}")
        found = json.loads(_call(engine, "image", "inspect", f"{registry}/{name}:{revision}"))[0]["RepoDigests"]
        references[name] = next(reference for reference in found if reference.startswith(f"{registry}/{name}@"))
        print(f"pushed {references[name]}")
    return references


def _revision(engine: str, name: str) -> str:
    try:
        image = json.loads(_call(engine, "image", "inspect", name))[0]
    except BerthError as error:
        raise BerthError(f"the image {name} has not been built ({error}). Call: make images") from None
    labels = image["Config"].get("Labels") or {}
    if labels.get(CODE_LABEL) != code_version():
        raise BerthError(f"the image {name} holds other code than this checkout. Call: make images")
    return str(labels[REVISION_LABEL])


def _call(engine: str, *arguments: str) -> str:
    """Call the `engine` and return what it prints; its last line is the error."""
    try:
        done = subprocess.run([engine, *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        raise BerthError(f"{engine}: {error.strerror}. Install docker or podman, or set ENGINE=...") from None
    if done.returncode:
        words = (done.stderr.strip().splitlines() or ["without an error message"])[-1]
        raise BerthError(f"{Path(engine).name} {' '.join(arguments[:2])} fails: {words}")
    return done.stdout


def _read(path: Path) -> dict[str, Any]:
    try:
        lock = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BerthError(f"{path}: cannot be read ({error.strerror}). {_ADVICE}") from None
    except (UnicodeDecodeError, yaml.YAMLError):
        raise BerthError(f"{path}: is not YAML. {_ADVICE}") from None
    return lock if isinstance(lock, dict) else {}


if __name__ == "__main__":
    try:
        write_lock(Path(LOCK), push(*sys.argv[1:]))
    except BerthError as error:
        sys.exit(f"error: {error}")
    print(f"wrote {LOCK}")
