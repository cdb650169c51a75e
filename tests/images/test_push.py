"""`make push-images` into a real registry on loopback, and the pipeline that is compiled with what it wrote."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from berth.images import ALL
from pipeline import image_lock
from pipeline.dags import compiler
from tests.images.conftest import docker
from tests.support.calling import ROOT

pytestmark = pytest.mark.timeout(600)  # builds, and runs in containers


@pytest.fixture
def registry(tmp_path) -> Iterator[str]:
    """The address of a registry server."""
    program = shutil.which("docker-registry")
    if program is None:
        if os.environ.get("BERTH_CONTAINERS") == "required":
            pytest.fail("no docker-registry on the PATH, and BERTH_CONTAINERS is 'required'")
        pytest.skip("no docker-registry on the PATH: apt-get install docker-registry")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    storage = {"filesystem": {"rootdirectory": str(tmp_path / "registry")}}
    settings = {"version": 0.1, "log": {"level": "warn"}, "storage": storage, "http": {"addr": address}}
    (tmp_path / "registry.yml").write_text(yaml.safe_dump(settings))
    with subprocess.Popen([program, "serve", str(tmp_path / "registry.yml")], stderr=subprocess.DEVNULL) as server:
        for _ in range(100):
            try:
                urllib.request.urlopen(f"http://{address}/v2/").close()
                break
            except OSError:
                time.sleep(0.1)
        yield address
        server.terminate()


@pytest.fixture
def small(engine, built, tmp_path) -> Iterator[None]:
    """The images' names on images of a few bytes with the labels of the real ones, which come back afterwards."""
    real = {}
    for name in ALL:
        (image,) = json.loads(docker("image", "inspect", name))
        real[name] = image["Id"]
        labels = "".join(f"LABEL {key}={json.dumps(value)}\n" for key, value in image["Config"]["Labels"].items())
        (tmp_path / "Dockerfile").write_text(f"FROM scratch\nCOPY Dockerfile /{name}\n{labels}")
        docker("build", "--quiet", "--tag", name, str(tmp_path))
    try:
        yield
    finally:
        for name, identity in real.items():
            docker("tag", identity, name)


def push(folder: Path, registry: str) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / ".venv/core/bin/python"), "-m", "pipeline.image_lock", "docker", registry]
    return subprocess.run(
        command, cwd=folder, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )


def test_the_registrys_digests_go_into_lock_and_pipeline(registry, small, tmp_path):
    done = push(tmp_path, f"{registry}/ml")
    assert done.returncode == 0, done.stderr
    references = image_lock.locked(tmp_path / "images.lock.yaml")
    for name, reference in references.items():
        repository, digest = reference.removeprefix(f"{registry}/").split("@")
        assert repository == f"ml/{name}"
        accept = {"Accept": "application/vnd.docker.distribution.manifest.v2+json"}
        request = urllib.request.Request(f"http://{registry}/v2/{repository}/manifests/{digest}", headers=accept)
        with urllib.request.urlopen(request) as answer:
            assert answer.headers["Docker-Content-Digest"] == digest
    compiler.write_yaml(tmp_path / "pipeline.yaml", references)
    assert (tmp_path / "pipeline.yaml").read_text().count(f"@{digest}") >= 1


def test_a_push_that_fails_leaves_the_lock_as_it_was(small, tmp_path):
    (tmp_path / "images.lock.yaml").write_text("images: {}\n")
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        done = push(tmp_path, f"127.0.0.1:{closed.getsockname()[1]}")
    assert done.returncode == 1
    assert done.stderr.startswith("error: docker push 127.0.0.1:")
    assert done.stderr.count("\n") == 1
    assert (tmp_path / "images.lock.yaml").read_text() == "images: {}\n"


@pytest.mark.parametrize("registry", ["", "https://ghcr.io/me", "Me/berth"])
def test_a_registry_that_is_none_is_one_line(registry, tmp_path):
    done = push(tmp_path, registry)
    assert done.returncode == 1
    advice = "Write host[:port][/path]: make push-images REGISTRY=ghcr.io/me"
    assert done.stderr == f"error: REGISTRY is {registry!r}. {advice}\n"
