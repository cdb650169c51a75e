"""images.lock.yaml, and the pipeline that is compiled with it."""

import re
from pathlib import Path

import pytest

from berth.errors import BerthError
from berth.images import ALL
from pipeline import image_lock
from pipeline.dags import compiler
from tests.support.forks import berth

DOCKER = Path(__file__).parents[2] / "docker"
REFERENCES = {
    name: f"registry.example.com:5000/ml/{name}@sha256:{digit * 64}" for name, digit in zip(ALL, "abc", strict=True)
}


def test_what_was_written_is_read_back(tmp_path):
    image_lock.write_lock(tmp_path / "images.lock.yaml", REFERENCES)
    assert image_lock.locked(tmp_path / "images.lock.yaml") == REFERENCES
    assert [path.name for path in tmp_path.iterdir()] == ["images.lock.yaml"]


def test_every_step_runs_in_its_image_by_digest(tmp_path):
    compiler.write_yaml(tmp_path / "pipeline.yaml", REFERENCES)
    compiler.write_yaml(tmp_path / "names.yaml")
    by_digest, by_name = (executors(tmp_path / name) for name in ("pipeline.yaml", "names.yaml"))
    assert set(by_name.values()) == set(ALL)
    assert by_digest == {step: REFERENCES[name] for step, name in by_name.items()}


def executors(path: Path) -> dict[str, str]:
    documents = compiler.read(path.read_text(encoding="utf-8"))
    spec = next(document["deploymentSpec"] for document in documents if "root" in document)
    return {step: executor["container"]["image"] for step, executor in spec["executors"].items()}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"berth-validate": None}, "the image berth-validate is missing"),
        ({"berth-train": "registry.example.com/berth-train:latest"}, "berth-train:latest', which is not by digest"),
        ({"berth-core": "registry.example.com/berth-core@sha256:abc"}, "which is not by digest"),
        ({"berth-core": 7}, "berth-core is 7, which is not by digest"),
    ],
)
def test_an_image_that_is_missing_or_not_by_digest_is_one_line(tmp_path, changes, words):
    changed = {name: value for name, value in (REFERENCES | changes).items() if value is not None}
    image_lock.write_lock(tmp_path / "images.lock.yaml", changed)
    with pytest.raises(BerthError, match=r"Call: make push-images REGISTRY=\.\.\.$") as error:
        image_lock.locked(tmp_path / "images.lock.yaml")
    assert words in str(error.value)


def test_images_of_other_code_are_refused(tmp_path, monkeypatch):
    with monkeypatch.context() as earlier:
        earlier.setattr(image_lock, "code_version", lambda: "0123456789abcdef")
        image_lock.write_lock(tmp_path / "images.lock.yaml", REFERENCES)
    with pytest.raises(BerthError, match="hold other code than this checkout"):
        image_lock.locked(tmp_path / "images.lock.yaml")


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file"), (b"images: [", "is not YAML"), (b"\xff\xfe", "is not YAML"), (b"- 1\n", "is missing")],
)
def test_a_lock_that_cannot_be_read_is_one_line(tmp_path, content, words):
    if content is not None:
        (tmp_path / "images.lock.yaml").write_bytes(content)
    with pytest.raises(BerthError, match=words):
        image_lock.locked(tmp_path / "images.lock.yaml")


def test_compile_uses_the_lock_file_or_refuses_it_in_one_line(tmp_path):
    """The lock is the one in the working directory."""
    image_lock.write_lock(tmp_path / "images.lock.yaml", REFERENCES)
    done = berth(tmp_path, "compile")
    assert (done.returncode, done.stdout) == (0, "wrote pipeline.yaml with the images of images.lock.yaml\n")
    assert set(executors(tmp_path / "pipeline.yaml").values()) == set(REFERENCES.values())

    (tmp_path / "images.lock.yaml").rename(tmp_path / "other.yaml")
    (tmp_path / "pipeline.yaml").unlink()
    refused = berth(tmp_path, "compile", "--images", "images.lock.yaml")
    assert refused.returncode == 1
    assert refused.stderr.startswith("error: images.lock.yaml: cannot be read")
    assert refused.stderr.count("\n") == 1
    assert not (tmp_path / "pipeline.yaml").exists()


def test_container_run_without_an_engine_gives_one_line(tmp_path):
    """Nothing is created."""
    (tmp_path / "config.yaml").write_text("name: x\nsource: messages.tsv\n")
    done = berth(tmp_path, "run", "config.yaml", "--runner", "docker", DOCKER_HOST=f"unix://{tmp_path}/none.sock")
    assert done.returncode == 1
    assert done.stderr == (
        f"error: no container engine answers at unix://{tmp_path}/none.sock. Start it, set DOCKER_HOST, "
        "or leave out --runner docker.\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


@pytest.mark.parametrize(
    "lock", sorted(DOCKER.glob("*/requirements*.lock")), ids=lambda lock: f"{lock.parent.name}/{lock.stem}"
)
def test_every_image_can_sign_in_as_kfps_mlflow_plugin_asks(lock):
    """Its default auth is `kubernetes`, for which MLflow imports that package in every step."""
    assert re.search(r"^kubernetes==", lock.read_text(encoding="utf-8"), re.MULTILINE)
    kept_out = lock.with_name("not-in-image.txt")
    assert not kept_out.exists() or "kubernetes" not in kept_out.read_text(encoding="utf-8").splitlines()
