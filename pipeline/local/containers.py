"""Steps in containers of their images, on this machine: `berth run --runner docker`.

A container sees the host's network, .berth/ and what the configuration names, at the paths that they have outside,
and nothing else of this machine. Its root file system is read-only and it runs as the caller; as the image's own user
where the caller is root.
"""

import codecs
import contextlib
import glob
import hashlib
import os
import re
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

from docker.client import DockerClient, from_env
from docker.errors import APIError, DockerException, ImageNotFound
from docker.models.containers import Container
from docker.models.images import Image
from docker.types import Mount
from kfp import local
from requests import RequestException

from berth import images
from berth.code_version import code_version
from berth.errors import BerthError
from berth.tracking import sqlite_store
from pipeline import home, mlflow_store
from pipeline.config.pipeline_config import PipelineConfig
from pipeline.image_lock import CODE_LABEL
from pipeline.local.runner import StepRunner

_PASSED_ON = ("AWS_", "BERTH_", "GOOGLE_", "KAGGLE_", "MLFLOW_", "TF_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
"""How the names of the variables begin that a step may need: stores, their credentials, proxies."""
_NAMED = re.compile(r'"env:(\w+)"')
"""How the configuration names a variable of its own."""
_ESCAPED = re.compile(r"\[([*?[])\]")
"""A character of a glob that stands for itself, as `glob.escape` writes it."""
_CREDENTIAL_FILES = ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE", "GOOGLE_APPLICATION_CREDENTIALS")
_TIMEOUT_SECONDS = 10
"""Seconds that an interrupted step may take to say so."""


def containers(config: PipelineConfig) -> StepRunner:
    """Return the runner of steps as containers, each of its image.

    Raises:
        BerthError: no engine answers, or it has no image that holds this checkout's code.
    """
    client = _connect()
    found = {name: _image(client, name) for name in images.ALL}
    writable, readable = _writable(config), _readable(config)
    user = f"{os.getuid()}:{os.getgid()}" if os.getuid() else None
    if user is None:
        _check_open(readable)
    for path in writable:
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise BerthError(f"{path}: cannot be made ({error.strerror}). Name a folder that can.") from None
    runner = local.DockerRunner(
        network_mode="host",
        read_only=True,
        tmpfs={"/tmp": ""},
        user=user,
        cap_drop=["ALL"],
        # Without SELinux's labels: for a container to read the user's files they would have to be relabelled.
        security_opt=["no-new-privileges:true", "label=disable"],
        mounts=[
            *(Mount(str(path), str(path), "bind") for path in writable),
            *(Mount(str(path), str(path), "bind", read_only=True) for path in readable if path not in writable),
        ],
    )

    def execute(
        image: str, command: list[str], variables: dict[str, str], log: Path, tell: Callable[[str], None]
    ) -> int:
        if user is None:
            _give(writable, *_ids(found[image]))
        create = partial(client.containers.create, found[image].id, command, **runner.container_run_args)
        return _execute(create, {**_variables(config), **variables}, log, tell)

    identities = "".join(str(image.id) for image in found.values())
    return StepRunner(runner, hashlib.sha256(identities.encode()).hexdigest()[:16], execute)


def _connect() -> DockerClient:
    host = os.environ.get("DOCKER_HOST") or "unix:///var/run/docker.sock"
    try:
        client = from_env()
        client.ping()
    except (DockerException, RequestException, OSError, ValueError) as error:
        if "Permission denied" in str(error):
            raise BerthError(
                f"the container engine at {host} refuses you (permission denied). Join its group, mostly 'docker', or "
                "leave out --runner docker."
            ) from None
        raise BerthError(
            f"no container engine answers at {host}. Start it, set DOCKER_HOST, or leave out --runner docker."
        ) from None
    return client


def _image(client: DockerClient, name: str) -> Image:
    try:
        image = client.images.get(name)
    except ImageNotFound:
        raise BerthError(f"the image {name} has not been built. Call: make images") from None
    except APIError as error:
        raise BerthError(f"the container engine cannot show the image {name} ({error.explanation}).") from None
    if image.labels.get(CODE_LABEL) != code_version():
        raise BerthError(f"the image {name} holds other code than this checkout. Call: make images")
    return image


def _writable(config: PipelineConfig) -> list[Path]:
    """Return the folders that steps write to: .berth/, those that the configuration names, that of a SQLite store."""
    found = [home.writable_home()]
    found += [Path(name) for name in (config.push_to, config.checkpoints) if name and "://" not in name]
    if store := sqlite_store.file_of(mlflow_store.tracking_uri()):
        found.append(store.parent)
    return [path for path in dict.fromkeys(found) if path == found[0] or not path.is_relative_to(found[0])]


def _readable(config: PipelineConfig) -> list[Path]:
    """Return what the configuration names on this machine, as far as it is there: what is not, its step says."""
    source = config.source
    named = [place for field, place in config.places() if field not in ("push_to", "checkpoints")]
    if source.sql and not source.connection:
        named.append(source.folder)
    named += [os.environ.get(name.removeprefix("env:"), "").strip() for name in named if name.startswith("env:")]
    if source.connection:
        address = os.environ.get(source.connection.removeprefix("env:"), "")
        named += [address.removeprefix("sqlite:///")] if address.startswith("sqlite:///") else []
    named += [os.environ.get(name, "") for name in _CREDENTIAL_FILES]
    paths = [_without_magic(Path(name)) for name in named if name.startswith("/")]
    return [path for path in dict.fromkeys(paths) if path.exists()]


def _check_open(paths: list[Path]) -> None:
    """Raise unless everybody may read `paths`: for root's runs, the image's user is a stranger."""
    for path in paths:
        needed = 0o005 if path.is_dir() else 0o004
        if path.stat().st_mode & needed != needed:
            raise BerthError(
                f"{path}: cannot be read by the images' user. Call: chmod o+rX {path}, or do not run berth as root."
            )


def _without_magic(path: Path) -> Path:
    """Return `path`, or for a glob the folder in which it looks."""
    if path.exists():
        return path
    folder = Path()
    for part in path.parts:
        if glob.has_magic(_ESCAPED.sub("", part)):
            break
        folder /= _ESCAPED.sub(r"\1", part)
    return folder


def _variables(config: PipelineConfig) -> dict[str, str]:
    named = set(_NAMED.findall(config.model_dump_json()))
    passed_on = {
        name: value for name, value in os.environ.items() if name.upper().startswith(_PASSED_ON) or name in named
    }
    encoders = home.berth_home() / "encoders"
    return passed_on | {"XDG_CACHE_HOME": str(encoders), "TFHUB_CACHE_DIR": str(encoders / "tfhub")}


def _ids(image: Image) -> tuple[int, int]:
    """Return the user's and the group's id as which `image` runs."""
    user, _, group = image.attrs["Config"]["User"].partition(":")
    return int(user), int(group)


def _give(folders: Iterable[Path], user: int, group: int) -> None:
    """Make `user` the owner of the `folders` and of what is in them."""
    for folder in folders:
        for path in (folder, *folder.rglob("*")):
            with contextlib.suppress(FileNotFoundError):  # a database's journal comes and goes
                if path.lstat().st_uid != user:
                    os.chown(path, user, group, follow_symlinks=False)


def _execute(
    create: Callable[..., Container], variables: dict[str, str], log: Path, tell: Callable[[str], None]
) -> int:
    """See StepRunner. kfp's own function is not used: it mistakes a container that ended at once for a success."""
    with log.open("a", encoding="utf-8") as stream:
        try:
            container = create(environment=variables)
        except APIError as error:
            stream.write(f"berth: the container engine refuses the step: {error.explanation}\n")
            return 1
        try:
            container.start()
            for line in _lines(container.logs(stream=True, follow=True)):
                stream.write(f"{line}\n")
                stream.flush()
                tell(line)
            return int(container.wait()["StatusCode"])
        except APIError as error:
            stream.write(f"berth: the container engine gave the step up: {error.explanation}\n")
            return 1
        except BaseException:
            with contextlib.suppress(DockerException, RequestException):
                container.exec_run(["sh", "-c", "kill -INT 1 -1"])
                container.wait(timeout=_TIMEOUT_SECONDS)
            raise
        finally:
            with contextlib.suppress(DockerException, RequestException):
                container.remove(force=True)


def _lines(chunks: Iterable[bytes]) -> Iterator[str]:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    for chunk in chunks:
        *lines, rest = (rest + decoder.decode(chunk)).split("\n")
        yield from lines
    if rest:
        yield rest
