"""Helpers for tests of a cluster's commands: a KFP server on loopback, and `berth` called in this process."""

import dataclasses
import functools
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from berth.cluster_settings import Cluster
from berth.images import ALL
from pipeline import image_lock
from pipeline.cli.app import main
from pipeline.cluster.package import Package
from pipeline.dags import compiler
from tests.support.kfp_server import KfpServer, kfp_server

CONFIG = {
    "name": "sms-spam",
    "source": "s3://texts/messages.tsv",
    "columns": ["label", "text"],
    "push_to": "s3://models/serving",
}
CREATES = {
    "pipeline": "POST .*/pipelines$",
    "version": "POST .*/upload_version$",
    "experiment": "POST .*/experiments$",
    "run": "POST .*/runs$",
}
"""The requests that make something, by what they make."""


@dataclass(frozen=True)
class Called:
    code: int
    out: str
    err: str


Call = Callable[..., Called]


@pytest.fixture(scope="session")
def compiled(tmp_path_factory) -> Path:
    """The real pipeline, compiled once: it takes a second each time."""
    path = tmp_path_factory.mktemp("compiled") / "pipeline.yaml"
    compiler.write_yaml(path, images=references("0"))
    return path


@pytest.fixture
def folder(tmp_path, monkeypatch, compiled) -> Path:
    """A working folder with a configuration for a cluster and an images.lock.yaml; no cluster is in its environment."""

    compiles = compiler.write_yaml

    def write(path: Path, images: dict[str, str], cluster: Cluster, kind: str = "training") -> None:
        if cluster.compiles or kind != "training":
            compiles(path, images, cluster, kind)
            return
        digest = next(iter(images.values())).rpartition(":")[2]
        text = compiled.read_text(encoding="utf-8")
        path.write_text(text.replace("0" * 64, digest), encoding="utf-8")

    monkeypatch.setattr(compiler, "write_yaml", write)
    monkeypatch.setattr(image_lock, "code_version", _code_version)
    monkeypatch.setattr(Package, "pinned", _pinned)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "100")
    for variable in ("KF_PIPELINES_ENDPOINT", "KF_PIPELINES_UI_ENDPOINT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(variable, raising=False)
    image_lock.write_lock(tmp_path / image_lock.LOCK, references("0"))
    write_config(tmp_path)
    return tmp_path


_code_version = functools.cache(image_lock.code_version)
"""The code is the same in every test, and takes as long to read as a request."""
_pin = Package.pinned


def _pinned(package: Package) -> Package:
    """Pin as a package does, once for each pipeline and parameters: it takes longer than the rest of a test."""
    parameters = json.dumps(package.parameters, sort_keys=True)
    return dataclasses.replace(package, pipeline=_pinned_pipeline(package.pipeline, parameters))


@functools.cache
def _pinned_pipeline(pipeline: bytes, parameters: str) -> bytes:
    return _pin(Package("", pipeline, json.loads(parameters), [])).pipeline


@pytest.fixture
def server(monkeypatch) -> Iterator[KfpServer]:
    monkeypatch.setattr("pipeline.cluster.api.PAUSES", (0.01, 0.01, 0.01, 0.05))
    monkeypatch.setattr("pipeline.cluster.follow.POLL", 0.01)
    with kfp_server() as made:
        yield made


@pytest.fixture
def kubeconfig(folder, server) -> None:
    """A kubeconfig whose cluster is the loopback server."""
    entries = {
        "clusters": [{"name": "c", "cluster": {"server": server.url}}],
        "users": [{"name": "u", "user": {"token": "of-the-kubeconfig"}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
    }
    (folder / ".kube").mkdir()
    path = folder / ".kube" / "config"
    path.write_text(yaml.safe_dump({"apiVersion": "v1", "kind": "Config", "current-context": "x", **entries}))


@pytest.fixture
def call(monkeypatch, capsys, folder) -> Call:
    """Call `berth` as its program does, without the seconds that a new process takes."""

    def call(*arguments: str) -> Called:
        monkeypatch.setattr(sys, "argv", ["berth", *arguments])
        capsys.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return Called(code, captured.out, captured.err)

    return call


def give_up_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the client give requests up before the server's `hang` and `late` end, and look again after them."""
    monkeypatch.setattr("pipeline.cluster.api.TIMEOUT", (0.5, 0.5))
    monkeypatch.setattr("pipeline.cluster.api.PAUSES", (0.01, 0.01, 0.01, 1.0))


def references(digit: str) -> dict[str, str]:
    return {name: f"registry.example/berth/{name}@sha256:{digit * 64}" for name in ALL}


def write_config(folder: Path, **changes: object) -> Path:
    path = folder / "config.yaml"
    path.write_text(yaml.safe_dump(CONFIG | changes))
    return path


def one_line(called: Called) -> str:
    """Return the error of a command that ended in exactly one line of one."""
    assert called.code in (1, 2), called
    lines = called.err.splitlines()
    assert len(lines) == 1, called.err
    assert lines[0].startswith("error: "), called.err
    assert "Traceback" not in called.err
    return lines[0]
