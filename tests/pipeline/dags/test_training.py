"""The DAG as Kubeflow reads it: the compiled pipeline.yaml."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from kfp import components

from pipeline import image_lock
from pipeline.config.run_config import RunConfig
from pipeline.dags import compiler
from pipeline.dags.pipelines import FILES
from tests.pipeline.dags.conftest import task

ROOT = Path(__file__).parents[3]


def test_pipeline_yaml_is_what_compile_writes(compiled, tmp_path):
    if (ROOT / image_lock.LOCK).exists():
        compiler.write_yaml(tmp_path / "by-digest.yaml", image_lock.locked(ROOT / image_lock.LOCK))
        compiled = (tmp_path / "by-digest.yaml").read_text(encoding="utf-8")
    assert (ROOT / "pipeline.yaml").read_text(encoding="utf-8") == compiled, "run: make compile"


def test_the_same_code_gives_the_same_bytes_in_another_process(compiled, tmp_path):
    write = f"compiler.write_yaml(Path({str(tmp_path / 'again.yaml')!r}))"
    code = f"from pathlib import Path; from pipeline.dags import compiler; {write}"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": "7"})
    assert (tmp_path / "again.yaml").read_text(encoding="utf-8") == compiled


@pytest.mark.parametrize("kind", FILES)
def test_no_input_is_a_text_made_of_parameters(kind):
    """KFP's launcher fills values into JSON without escaping them: a list or a line break ends it.

    kubeflow/pipelines, backend/src/v2/component/launcher_v2.go: compileCmdAndArgs. What is filled into a pod's settings
    is a quantity or the name of a resource, alone.
    """
    text = (ROOT / FILES[kind]).read_text(encoding="utf-8")
    ir, *_ = compiler.read(text)
    inputs = [
        (name, given["runtimeValue"]["constant"])
        for component in [ir["root"], *ir["components"].values()]
        for found in component.get("dag", {}).get("tasks", {}).values()
        for name, given in found.get("inputs", {}).get("parameters", {}).items()
        if "{{$.inputs" in str(given.get("runtimeValue", ""))
    ]
    pod = {"cpu_request", "memory_limit", "memory_request", "accelerator_type", "accelerator_count"}
    assert {name for name, _ in inputs} == pod
    assert all(re.fullmatch(r"\{\{\$\.inputs\.parameters\['[\w-]+'\]\}\}", text) for _, text in inputs)


def test_kfp_reads_what_was_written():
    assert components.load_component_from_file(str(ROOT / "pipeline.yaml")).name == "berth"


def test_config_fields_are_pipeline_parameters_with_defaults(ir):
    """Every field is checked."""
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


def test_ingest_takes_the_source_fingerprint_as_input(ir):
    """So the cache cannot serve a source that has changed."""
    parameter = task(ir, "ingest")["inputs"]["parameters"]["source_fingerprint"]
    assert parameter["taskOutputParameter"]["producerTask"] == "locate"


@pytest.mark.parametrize("name", ["validate", "train"])
def test_steps_that_use_the_encoder_take_its_fingerprint(ir, name):
    """So the cache cannot serve what was made with other files in the same place."""
    parameter = task(ir, name)["inputs"]["parameters"]["encoder_fingerprint"]
    assert "encoder_fingerprint" in str(parameter)


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


def test_every_gate_between_steps_is_a_boolean_or_a_number(ir):
    groups = [ir["root"], *ir["components"].values()]
    conditional = [
        group
        for component in groups
        for group in component.get("dag", {}).get("tasks", {}).values()
        if "condition" in group.get("triggerPolicy", {})
    ]
    assert len(conditional) == 3
    for group in conditional:
        condition = group["triggerPolicy"]["condition"]
        match = re.fullmatch(r"inputs\.parameter_values\['([^']+)'\] [=<>!]+ (true|false|-?[0-9.]+)", condition)
        assert match, condition
        parameters = ir["components"][group["componentRef"]["name"]]["inputDefinitions"]["parameters"]
        assert parameters[match[1]]["parameterType"] in ("BOOLEAN", "NUMBER_INTEGER", "NUMBER_DOUBLE")


def test_no_step_installs_packages_when_it_starts(compiled):
    assert "pip install" not in compiled


def test_the_exit_handler_sees_how_the_run_ended(ir):
    inputs = task(ir, "finish")["inputs"]["parameters"]
    assert any("taskFinalStatus" in parameter for parameter in inputs.values())


@pytest.mark.parametrize(
    ("step", "retries", "wait"),
    [
        ("locate", 2, "30s"),
        ("ingest", 2, "30s"),
        ("compare", 0, None),
        ("validate", 0, None),
        ("train", 3, "60s"),
        ("evaluate", 0, None),
        ("push", 2, "30s"),
        ("refuse", 2, "30s"),
        ("finish", 1, "30s"),
    ],
)
def test_transient_errors_are_retried_with_growing_pauses(ir, step, retries, wait):
    """A gate that refuses is not retried."""
    policy = task(ir, step).get("retryPolicy", {})
    assert policy.get("maxRetryCount", 0) == retries
    assert policy.get("backoffDuration") == wait
    assert policy.get("backoffFactor", 2) == 2


@pytest.mark.parametrize("step", ["locate", "ingest", "train", "push", "refuse", "finish"])
def test_a_step_that_runs_to_its_limit_is_retried(compiled, ir, step):
    """Argo starts no other try after maxDuration, counted from the first try's start.

    argo-workflows, workflow/controller/operator.go: processNodeRetries.
    """
    policy = task(ir, step)["retryPolicy"]
    platform = next(document for document in compiler.read(compiled) if "platforms" in document)["platforms"]
    limit = int(platform["kubernetes"]["deploymentSpec"]["executors"][f"exec-{step}"]["activeDeadlineSeconds"])
    seconds = {name: int(policy[name].removesuffix("s")) for name in ("backoffDuration", "backoffMaxDuration")}
    passed = 0
    for retry in range(policy["maxRetryCount"]):
        passed += limit + seconds["backoffDuration"] * 2**retry
        assert passed < seconds["backoffMaxDuration"]
    assert passed + limit < seconds["backoffMaxDuration"]  # or the last try is stopped before its own limit


def test_lock_names_every_image_by_digest(tmp_path):
    """None is named by a tag."""
    digests = {name: f"registry.example/{name}@sha256:{'0' * 64}" for name in ("berth-core", "berth-validate")}
    digests["berth-train"] = f"registry.example/berth-train@sha256:{'1' * 64}"
    compiler.write_yaml(tmp_path / "pipeline.yaml", digests)
    ir, *_ = compiler.read((tmp_path / "pipeline.yaml").read_text(encoding="utf-8"))
    images = {executor["container"]["image"] for executor in ir["deploymentSpec"]["executors"].values()}
    assert images == set(digests.values())
    assert all(re.fullmatch(r"[^@:]+@sha256:[0-9a-f]{64}", image) for image in images)


def test_exit_handler_runs_last_and_reads_parameters(ir):
    """What it reports comes from parameters."""
    found = task(ir, "finish")
    assert found["triggerPolicy"]["strategy"] == "ALL_UPSTREAM_TASKS_COMPLETED"
    (group,) = found["dependentTasks"]
    assert set(ir["root"]["dag"]["tasks"]) == {group, "finish"}
    inputs = found["inputs"]["parameters"]
    for name, taken_from in {"name": "name", "notify": "notify", "kfp_ui": "cluster_kfp_ui"}.items():
        assert inputs[name] == {"componentInputParameter": taken_from}


def test_no_credential_can_be_a_parameter(compiled, ir):
    names = set(ir["root"]["inputDefinitions"]["parameters"])
    for component in ir["components"].values():
        names |= set(component.get("inputDefinitions", {}).get("parameters", {}))
    assert not [name for name in names if re.search(r"password|token|credential|access_key|webhook_url", name, re.I)]
    config = RunConfig(
        name="n",
        source={"sql": "select 1", "connection": "env:DATABASE_URL"},
        notify={"on": "always", "webhook": "env:BERTH_WEBHOOK_URL"},
    )
    values = config.parameters()
    assert values["source"]["connection"] == "env:DATABASE_URL"
    assert values["notify"]["webhook"] == "env:BERTH_WEBHOOK_URL"
    assert not re.search(r"://[^/\s'\"]*:[^/\s'\"]*@", compiled)
