"""The DAG as Kubeflow reads it: the compiled pipeline.yaml."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kfp import components

from pipeline import dag, images
from pipeline.config import RunConfig

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def compiled(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("ir") / "pipeline.yaml"
    dag.write_yaml(path)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def ir(compiled) -> dict:
    return next(document for document in yaml.safe_load_all(compiled) if "root" in document)


def task(ir: dict, name: str) -> dict:
    for component in [ir["root"], *ir["components"].values()]:
        for key, found in component.get("dag", {}).get("tasks", {}).items():
            if key == name:
                return found
    raise KeyError(name)


def test_pipeline_yaml_is_what_compile_writes(compiled, tmp_path):
    if (ROOT / images.LOCK).exists():
        dag.write_yaml(tmp_path / "by-digest.yaml", images.locked(ROOT / images.LOCK))
        compiled = (tmp_path / "by-digest.yaml").read_text(encoding="utf-8")
    assert (ROOT / "pipeline.yaml").read_text(encoding="utf-8") == compiled, "run: make compile"


def test_the_same_code_gives_the_same_bytes_in_another_process(compiled, tmp_path):
    code = f"from pathlib import Path; from pipeline import dag; dag.write_yaml(Path({str(tmp_path / 'again.yaml')!r}))"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "7"})
    assert (tmp_path / "again.yaml").read_text(encoding="utf-8") == compiled


def test_kfp_reads_what_was_written():
    assert components.load_component_from_file(str(ROOT / "pipeline.yaml")).name == "berth"


def test_every_config_field_is_a_pipeline_parameter_with_its_default(ir):
    parameters = ir["root"]["inputDefinitions"]["parameters"]
    config = RunConfig(name="n", source="s").parameters()
    assert parameters.keys() == config.keys() | {"git_commit", "config_file"}
    for name, parameter in parameters.items():
        if name in ("name", "source"):
            assert "defaultValue" not in parameter
        elif name not in ("git_commit", "config_file", "model_name"):
            assert parameter["defaultValue"] == config[name]
        assert parameter["description"]


@pytest.mark.parametrize("name", ["locate", "compare", "evaluate", "push", "refuse", "finish"])
def test_what_must_run_every_time_is_never_cached(ir, name):
    assert not task(ir, name)["cachingOptions"].get("enableCache")


@pytest.mark.parametrize("name", ["ingest", "validate", "train"])
def test_what_depends_on_its_inputs_alone_is_cached(ir, name):
    assert task(ir, name)["cachingOptions"]["enableCache"]


def test_ingest_takes_the_fingerprint_of_the_source_so_that_the_cache_cannot_serve_a_changed_one(ir):
    parameter = task(ir, "ingest")["inputs"]["parameters"]["source_fingerprint"]
    assert parameter["taskOutputParameter"]["producerTask"] == "locate"


def test_training_waits_for_validation(ir):
    assert "validate" in task(ir, "train")["dependentTasks"]


def conditions(ir: dict) -> dict[str, str]:
    """Return the condition of every group of tasks that has one, by the tasks in it."""
    found = {}
    for component in ir["components"].values():
        for group in component.get("dag", {}).get("tasks", {}).values():
            if condition := group.get("triggerPolicy", {}).get("condition"):
                tasks = ir["components"][group["componentRef"]["name"]]["dag"]["tasks"]
                found[" ".join(sorted(tasks))] = condition
    return found


def test_what_is_blessed_is_pushed_and_what_is_not_is_refused(ir):
    found = conditions(ir)
    assert len(found) == 3
    assert found["push"].endswith("evaluate-Output'] == true")
    assert found["refuse"].endswith("evaluate-Output'] == false")


def test_no_step_installs_packages_when_it_starts(compiled):
    assert "pip install" not in compiled


def test_the_exit_handler_sees_how_the_run_ended(ir):
    inputs = task(ir, "finish")["inputs"]["parameters"]
    assert any("taskFinalStatus" in parameter for parameter in inputs.values())
