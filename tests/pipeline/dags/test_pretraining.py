"""The compiled pre-training pipeline: as committed, with every step's limits, and no cache where one would lie."""

from pathlib import Path

import pytest

from berth.cluster_settings import STEPS
from pipeline import image_lock
from pipeline.dags import compiler
from tests.pipeline.dags.conftest import task

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def pretraining(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("ir") / "pretraining.yaml"
    images = image_lock.locked(ROOT / image_lock.LOCK) if (ROOT / image_lock.LOCK).exists() else None
    compiler.write_yaml(path, images, kind="pretraining")
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def documents(pretraining) -> list[dict]:
    return compiler.read(pretraining)


def test_pretraining_yaml_is_what_compile_writes(pretraining):
    assert (ROOT / "pretraining.yaml").read_text(encoding="utf-8") == pretraining, "run: make compile"


def test_its_steps_are_those_that_a_configuration_can_name(documents):
    names = {name.removeprefix("exec-") for name in documents[0]["deploymentSpec"]["executors"]}
    assert {name.replace("-", "_") for name in names} == set(STEPS["pretraining"])
    assert documents[1]["platforms"]["kubernetes"]["deploymentSpec"]["executors"].keys() == {
        f"exec-{name}" for name in names
    }


@pytest.mark.parametrize("name", ["ingest-probe", "evaluate-encoder", "push-encoder", "refuse-encoder", "locate"])
def test_what_depends_on_the_day_is_never_cached(documents, name):
    assert not task(documents[0], name).get("cachingOptions", {}).get("enableCache", False)


@pytest.mark.parametrize("name", ["pretrain", "evaluate-encoder"])
def test_the_gpu_is_a_parameter_of_the_step(documents, name):
    resources = documents[0]["deploymentSpec"]["executors"][f"exec-{name}"]["container"]["resources"]
    assert f"cluster_{name.replace('-', '_')}_gpu_count" in str(resources["accelerator"])


def test_labels_of_the_probe_are_read_before_training(documents):
    assert "ingest-probe" in task(documents[0], "pretrain")["dependentTasks"]


def test_pretraining_takes_the_encoders_fingerprint(documents):
    assert "encoder_fingerprint" in task(documents[0], "pretrain")["inputs"]["parameters"]
