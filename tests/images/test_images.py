"""The images: what is in them, how they run, and the demo's DAG in containers of them."""

import json
import os
import re
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest
import yaml
from packaging.utils import canonicalize_name

from berth import images
from berth.code_version import code_version
from pipeline import checkout
from tests.images.conftest import docker
from tests.support.calling import ROOT, Done, berth

pytestmark = pytest.mark.timeout(600)  # builds, and runs in containers

LIMITS = {images.CORE: 700e6, images.VALIDATE: 4e9, images.TRAIN: 4e9}
"""Bytes, uncompressed."""
RUN = ("run", "--rm", "--network=host", "--read-only", "--tmpfs=/tmp", "--cap-drop=ALL")


@pytest.mark.parametrize("name", images.ALL)
def test_an_image_is_small_labelled_and_not_run_as_root(built, name):
    (image,) = json.loads(docker("image", "inspect", name))
    assert image["Size"] < LIMITS[name]
    labels = image["Config"]["Labels"]
    assert labels["org.opencontainers.image.revision"] == checkout.git_commit()
    assert labels["berth.code"] == code_version()
    assert image["Config"]["User"] == "10001:10001"
    assert "Healthcheck" not in image["Config"]
    assert f"{name}:{checkout.git_commit()}" in image["RepoTags"]


@pytest.mark.parametrize("name", images.ALL)
def test_an_image_has_its_lock_and_no_compiler_or_installer(built, name):
    lock = (ROOT / "docker" / name.removeprefix("berth-") / "requirements.lock").read_text()
    locked = re.findall(r"^([\w.-]+)==([^ ;\\]+)", lock, re.MULTILINE)
    code = (
        "import importlib.metadata, json, os, shutil, sys; json.dump({"
        "'packages': [(one.metadata['Name'], one.version) for one in importlib.metadata.distributions()],"
        "'tools': [tool for tool in ('gcc', 'g++', 'cc', 'make', 'uv', 'git') if shutil.which(tool)],"
        "'caches': [path for path in (os.path.expanduser('~root/.cache'), '/tmp/.cache', '/uv/bin')"
        " if os.path.exists(path)],"
        "'ids': [os.getuid(), os.getgid()]}, sys.stdout)"
    )
    found = json.loads(docker(*RUN, name, "python", "-c", code))
    assert {(canonicalize_name(package), version) for package, version in found["packages"]} <= {
        (canonicalize_name(package), version) for package, version in locked
    }
    assert found["tools"] == []
    assert found["caches"] == []
    assert found["ids"] == [10001, 10001]
    refused = subprocess.run(
        ["docker", *RUN, name, "python3", "-m", "pip", "--version"], capture_output=True, text=True
    )
    assert "No module named pip" in refused.stderr


def test_a_build_refuses_a_tensorflow_text_whose_ops_do_not_load(built, tmp_path):
    (tmp_path / "Dockerfile").write_text(
        f"FROM {images.TRAIN}\nUSER 0\nRUN find /opt/berth -path '*tensorflow_text*' -name '*.so' -delete\n"
        "COPY check.py /check.py\nRUN python /check.py\n"
    )
    (tmp_path / "check.py").write_bytes((ROOT / "docker/train/check.py").read_bytes())
    build = ["docker", "build", "--network=host", "--quiet", str(tmp_path)]
    done = subprocess.run(build, env={**os.environ, "DOCKER_BUILDKIT": "1"}, capture_output=True, text=True)
    assert done.returncode != 0
    assert "tensorflow_text" in done.stderr


@pytest.fixture(scope="module")
def runs(make_workspace, tmp_path_factory) -> tuple[Path, Done, Done]:
    """A workspace in which the DAG ran twice in containers."""
    folder = make_workspace(tmp_path_factory.mktemp("containers"))
    first = berth(folder, "run", "config.yaml", "--runner", "docker")
    assert first.returncode == 0, first.stdout + first.stderr + logs(folder)
    return folder, first, berth(folder, "run", "config.yaml", "--runner", "docker")


def logs(folder: Path) -> str:
    return "".join(f"== {path}\n{path.read_text()[-3000:]}" for path in sorted(folder.glob(".berth/logs/*/*.log")))


def test_the_demo_runs_in_its_images_to_a_served_model(runs):
    """It is registered, too, as the champion."""
    folder, first, _ = runs
    for step in ("ingest", "validate", "train", "evaluate", "push"):
        assert re.search(rf"✓ {step}\b", first.stdout)
    assert "BLESSED" in first.stdout
    assert (folder / ".berth/serving/sms-spam/1/saved_model.pb").is_file()
    with sqlite3.connect(folder / ".berth/mlflow.db") as store:
        statuses = dict(store.execute("SELECT name, status FROM runs"))
        aliases = store.execute("SELECT name, alias, version FROM registered_model_aliases").fetchall()
    assert set(statuses.values()) == {"FINISHED"}
    assert {"ingest", "validate", "train", "evaluate", "push"} <= statuses.keys()
    assert ("sms-spam", "champion") in {alias[:2] for alias in aliases}


def test_a_second_run_takes_the_heavy_steps_from_the_cache(runs):
    _, _, second = runs
    assert second.returncode == 0, second.stdout + second.stderr
    for step in ("ingest", "validate", "train"):
        assert re.search(rf"= {step} +cached", second.stdout)


def test_no_step_installs_anything(runs):
    folder, _, _ = runs
    steps = [path for path in folder.glob(".berth/logs/*/*.log") if path.stem != "kfp"]
    assert {"ingest", "validate", "train", "evaluate", "push", "finish"} <= {path.stem for path in steps}
    lines = [
        line for path in steps for line in path.read_text().splitlines() if not line.startswith("TFDV visualization")
    ]
    assert not [line for line in lines if re.search(r"\bpip\b|Collecting |Installing ", line)]


def test_a_model_made_in_containers_answers_in_the_image(runs):
    folder, _, _ = runs
    serving = folder / ".berth/serving/sms-spam/1"
    run = [*RUN, f"--volume={serving}:{serving}:ro", "--interactive", images.TRAIN]
    done = subprocess.run(
        ["docker", *run, "python", "-m", "berth.explaining.worker", str(serving)],
        input=json.dumps("call now to win a prize") + "\n",
        capture_output=True,
        text=True,
    )
    assert '"label"' in done.stdout, done.stderr[-2000:]


def test_no_container_is_left_and_files_have_one_owner(runs):
    folder, _, _ = runs
    assert docker("ps", "--all", "--quiet", "--filter", f"volume={folder / '.berth'}") == ""
    owner = os.getuid() or 10001
    made = folder.glob(".berth/pipeline/**/*")
    assert {path.stat().st_uid for path in made if path.is_file()} == {owner}


def test_a_failing_component_fails_the_run_with_its_one_line(make_workspace, tmp_path):
    folder = make_workspace(tmp_path, ["ham\tonly one label here\n", "ham\tand here\n"])
    done = berth(folder, "run", "config.yaml", "--runner", "docker")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: ingest failed: ")
    assert "a bug" not in line
    with sqlite3.connect(folder / ".berth/mlflow.db") as store:
        statuses = dict(store.execute("SELECT name, status FROM runs"))
    assert statuses.pop("locate") == "FINISHED"
    assert set(statuses.values()) == {"FAILED"}


def test_a_step_sees_only_the_files_that_the_config_names(make_workspace, tmp_path):
    folder = make_workspace(tmp_path)
    folder.chmod(0o755)
    values = yaml.safe_load((folder / "config.yaml").read_text())
    query = f"SELECT * FROM read_csv('{folder.parent / 'elsewhere.tsv'}', delim='\t', names=['label', 'text'])"
    (folder.parent / "elsewhere.tsv").write_text("ham\ta\n")
    (folder / "config.yaml").write_text(yaml.safe_dump({**values, "source": {"sql": query}, "columns": []}))
    done = berth(folder, "run", "config.yaml", "--runner", "docker")
    assert done.returncode == 1
    assert "No files found" in done.stderr


def test_a_missing_or_outdated_image_is_one_line(make_workspace, tmp_path):
    """An image with other code counts as outdated. Nothing starts."""
    folder = make_workspace(tmp_path)
    (identity,) = docker("image", "inspect", "--format={{.Id}}", images.VALIDATE).split()
    (tmp_path / "Dockerfile").write_text(f"FROM {images.VALIDATE}\nLABEL berth.code=0123456789abcdef\n")
    try:
        docker("build", "--quiet", "--tag", images.VALIDATE, str(tmp_path))
        other = berth(folder, "run", "config.yaml", "--runner", "docker")
        docker("image", "rm", images.VALIDATE)
        missing = berth(folder, "run", "config.yaml", "--runner", "docker")
    finally:
        docker("tag", identity, images.VALIDATE)
    assert (other.returncode, missing.returncode) == (1, 1)
    assert other.stderr == "error: the image berth-validate holds other code than this checkout. Call: make images\n"
    assert missing.stderr == "error: the image berth-validate has not been built. Call: make images\n"
    assert not list(folder.glob(".berth/logs/*"))


def test_an_interrupted_run_leaves_no_container(make_workspace, tmp_path):
    """Its run in MLflow is KILLED."""
    folder = make_workspace(tmp_path)
    program = ROOT / ".venv/core/bin/berth"
    with subprocess.Popen(
        [program, "run", "config.yaml", "--runner", "docker"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        while not docker("ps", "--quiet", "--filter", f"volume={folder / '.berth'}"):
            assert process.poll() is None
            time.sleep(0.2)
        process.terminate()
        process.communicate()
    assert process.returncode == 130
    assert docker("ps", "--all", "--quiet", "--filter", f"volume={folder / '.berth'}") == ""
    with sqlite3.connect(folder / ".berth/mlflow.db") as store:
        assert "KILLED" in {status for (status,) in store.execute("SELECT status FROM runs")}
