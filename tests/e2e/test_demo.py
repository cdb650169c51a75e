"""The demo's own configuration on a real subset: BERT learns to tell spam, and everything that a person uses works."""

import json
import math
import os
import re
import subprocess
from pathlib import Path

import mlflow
import pytest

from berth.tracking import run_tree, tags
from tests.support.browser import berth_ui, browser, chromium
from tests.support.calling import MESSAGES, ROOT, Done, berth, write_config

pytestmark = pytest.mark.timeout(600)  # whole runs

EPOCHS = 2
SPAM = "Congratulations! You have won a prize, call 09061701461 now"
HAM = "I'll be home late tonight, don't wait with dinner"


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def scratch(tmp_path_factory) -> Path:
    """The temporary folder of the first run and of a prediction."""
    return tmp_path_factory.mktemp("scratch")


@pytest.fixture(scope="module")
def first(folder, scratch) -> Done:
    (folder / "messages.tsv").write_text("".join(MESSAGES[::3]), encoding="utf-8")
    gates = {"min_accuracy": 0.95, "min_macro_f1": 0.9}
    write_config(folder, epochs=EPOCHS, gates=gates)
    return berth(folder, "run", "config.yaml", TMPDIR=str(scratch))


@pytest.fixture(scope="module")
def second(folder, first) -> Done:
    return berth(folder, "run", "config.yaml")


@pytest.fixture(scope="module")
def client(folder, first) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{folder / '.berth/mlflow.db'}")


def parents(client: mlflow.MlflowClient) -> list[mlflow.entities.Run]:
    """Return the pipeline runs, oldest first."""
    experiment = client.get_experiment_by_name("sms-spam")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    return [run for run in runs if "mlflow.parentRunId" not in run.data.tags]


def test_it_learns_and_is_blessed(first, client):
    assert first.returncode == 0, first.stdout + first.stderr
    (run, *_) = parents(client)
    assert run.info.status == "FINISHED"
    assert run.data.tags[tags.VERDICT].startswith("BLESSED")
    assert run.data.metrics["accuracy"] >= 0.95
    assert run.data.metrics["macro_f1"] >= 0.9


def test_the_terminal_shows_steps_and_verdict_in_80_columns(first):
    for step in ("ingest", "validate", "train", "evaluate", "push"):
        assert any(line.startswith(f"✓ {step}") for line in first.stdout.splitlines()), step
    assert "BLESSED" in first.stdout
    assert "predict sms-spam" in first.stdout
    assert max(len(line) for line in first.stdout.splitlines() if ".venv" not in line) <= 80
    assert first.stderr == ""


def test_every_step_is_a_run_nested_in_the_pipeline_run(client):
    (run, *_) = parents(client)
    children = run_tree.children(client, run.info.run_id)
    steps = [child.data.tags[tags.STEP] for child in children]
    assert steps == ["locate", "ingest", "compare", "validate", "train", "evaluate", "push"]
    assert {child.info.status for child in children} == {"FINISHED"}
    train = children[steps.index("train")]
    assert len(client.get_metric_history(train.info.run_id, "val_loss")) == EPOCHS
    ingest = children[steps.index("ingest")]
    assert {item.tags[0].value for item in ingest.inputs.dataset_inputs} == {"train", "validation", "test"}
    evaluate = children[steps.index("evaluate")]
    assert "report.html" in [item.path for item in client.list_artifacts(evaluate.info.run_id)]
    for name in (tags.KFP_RUN_ID, tags.FINGERPRINT, tags.CONFIG_FILE):
        assert run.data.tags[name]
    assert run.data.params["encoder"] == "minilm"


def test_report_shows_the_words_behind_the_mistakes(client, tmp_path):
    (run, *_) = parents(client)
    evaluate = next(one for one in run_tree.children(client, run.info.run_id) if one.data.tags[tags.STEP] == "evaluate")
    html = Path(client.download_artifacts(evaluate.info.run_id, "report.html", str(tmp_path))).read_text()
    assert ('class="word"' in html) == (run.data.metrics["accuracy"] < 1)


@pytest.fixture(scope="module")
def predicted(folder, first, scratch) -> Done:
    texts = f"{SPAM}\n\n{HAM}\n"
    return berth(folder, "predict", "sms-spam", "--json", stdin=texts, TMPDIR=str(scratch))


def test_run_and_predict_leave_no_temporary_files(predicted, scratch):
    assert not list(scratch.iterdir())


def test_the_champion_tells_spam_from_ham(predicted):
    assert predicted.returncode == 0, predicted.stderr
    answers = [json.loads(line) for line in predicted.stdout.splitlines()]
    assert [answer["text"] for answer in answers] == [SPAM, "", HAM]
    assert [answers[0]["label"], answers[2]["label"]] == ["spam", "ham"]
    assert sum(answers[0]["probabilities"].values()) == pytest.approx(1, abs=1e-4)


def test_the_registered_model_loads_with_mlflow_alone(folder, first):
    code = (
        "import mlflow\nmodel = mlflow.pyfunc.load_model('models:/sms-spam@champion')\n"
        f"print(list(model.predict([{SPAM!r}, {HAM!r}])['label']))"
    )
    python = ROOT / ".venv/train/bin/python"
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    done = subprocess.run(
        [str(python), "-c", code],
        cwd=folder,
        env={**environment, "MLFLOW_TRACKING_URI": f"sqlite:///{folder / '.berth/mlflow.db'}"},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip().endswith("['spam', 'ham']"), done.stderr


def test_the_serving_folder_holds_one_whole_version(folder, first):
    # TensorFlow Serving looks at numbers alone; the lock file of pushes is next to them.
    versions = [path for path in (folder / ".berth/serving/sms-spam").iterdir() if path.name != ".lock"]
    assert [path.name for path in versions] == ["1"]
    assert (versions[0] / "saved_model.pb").is_file()


def test_a_second_run_reuses_the_heavy_steps_and_pushes_again(second, client, folder):
    """Ingest, validate and train come from the cache."""
    assert second.returncode == 0, second.stdout + second.stderr
    for step, mark in (("ingest", "="), ("validate", "="), ("train", "="), ("evaluate", "✓"), ("push", "✓")):
        assert any(line.startswith(f"{mark} {step}") for line in second.stdout.splitlines()), step
    older, newer = parents(client)[:2]
    assert newer.data.metrics["accuracy"] == older.data.metrics["accuracy"]
    assert newer.data.params["encoder"] == "minilm"
    reused = [child.info.run_name for child in run_tree.children(client, newer.info.run_id)]
    assert {"ingest (cached)", "validate (cached)", "train (cached)"} <= set(reused)
    assert str(client.get_model_version_by_alias("sms-spam", "champion").version) == "2"


def test_runs_lists_both(folder, second):
    done = berth(folder, "runs")
    assert done.stdout.count("BLESSED") == 2


def test_mlflow_reads_well_in_a_browser(second, client, folder, screenshots):
    """Open what a person opens, click what a person clicks; `--screenshots docs/images` keeps what they see."""
    chromium()
    from playwright.sync_api import expect

    expect.set_options(timeout=30_000)
    run = parents(client)[1]
    said: list[str] = []
    asked: list[str] = []
    with berth_ui(folder) as address, browser() as context:
        context.on("console", lambda message: said.append(f"{message.type}: {message.text} {message.location['url']}"))
        context.on("weberror", lambda error: said.append(f"error: {error.error}"))
        context.on("request", lambda request: asked.append(request.url))
        page = context.new_page()
        page.goto(address)
        page.get_by_role("button", name="Close", exact=True).click()  # MLflow's assistant, which opens in a new browser
        page.get_by_text("Model training", exact=True).first.click()

        page.get_by_role("link", name="sms-spam").click()
        expect(page.get_by_role("link", name=run.info.run_name)).to_be_visible()
        page.get_by_role("button", name="Columns", exact=True).click()
        for column in ("Source", "Models", "accuracy", "macro_f1"):  # the first two away, the others in
            page.get_by_role("dialog").get_by_text(column, exact=True).click()
        page.keyboard.press("Escape")
        expect(page.get_by_role("columnheader", name="macro_f1").first).to_be_visible()
        name = page.get_by_role("gridcell").filter(has=page.get_by_role("link", name=run.info.run_name))
        name.get_by_role("button").click()  # the plus before the name
        expect(page.get_by_role("link", name="train (cached)")).to_be_visible()
        page.screenshot(path=screenshots / "mlflow-runs.png")

        page.get_by_role("link", name=run.info.run_name).click()
        for child in run_tree.children(client, run.info.run_id):
            expect(page.get_by_role("link", name=child.info.run_name, exact=True)).to_be_visible()
        page.get_by_text("Show more", exact=True).click()
        expect(page.get_by_role("strong").filter(has_text="BLESSED")).to_be_visible()
        expect(page.get_by_text(re.compile(r"^Data: [\d,]+ train, "))).to_be_visible()
        expect(page.get_by_role("cell", name="min_macro_f1").first).to_be_visible()
        expect(page.get_by_text("train split")).to_be_visible()
        page.screenshot(path=screenshots / "mlflow-run.png")

        with context.expect_page() as opened:
            page.get_by_role("link", name="the report of evaluate").click()
        report = opened.value
        expect(report.frame_locator("iframe").get_by_role("heading", name="Blessed")).to_be_visible()
        report.screenshot(path=screenshots / "mlflow-report.png")
        report.close()

        with context.expect_page() as opened:
            page.get_by_role("link", name="sms-spam version 2").click()
        version = opened.value
        expect(version.get_by_role("heading", name="Version 2")).to_be_visible()
        version.get_by_role("link", name="sms-spam", exact=True).first.click()
        expect(version.get_by_role("row").filter(has_text="Version 2").get_by_text("champion")).to_be_visible()
        version.screenshot(path=screenshots / "mlflow-model.png")
        version.close()

        page.get_by_role("link", name="train (cached)").click()
        expect(page.get_by_role("link", name="the run that made it")).to_be_visible()
        page.get_by_role("tab", name="Model metrics").click()
        page.get_by_placeholder("Search metric charts").fill("loss")
        expect(page.locator(".js-plotly-plot .point")).to_have_count(3 * EPOCHS)  # of train, validation, its error
        page.screenshot(path=screenshots / "mlflow-metrics.png")
    mlflow_s = ("/mlflow/users/current", "ResizeObserver loop")  # it asks for users that it has not; its charts resize
    assert [line for line in said if line.startswith("error") and not any(known in line for known in mlflow_s)] == []
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []


def test_runs_in_mlflow_hold_nothing_that_says_nothing(second, client):
    run = parents(client)[1]
    for one in (run, *run_tree.children(client, run.info.run_id)):
        assert all(map(math.isfinite, one.data.metrics.values())), one.info.run_name
        assert not {"", "None", "nan", "{}", "[]"} & set(one.data.params.values()), one.info.run_name
    shown = {name for name in run.data.tags if not name.startswith("mlflow.")}
    assert shown == {
        tags.KFP_RUN_ID,
        tags.CONFIG_FILE,
        tags.FINGERPRINT,
        tags.FINISHED,
        tags.VERDICT,
        tags.MODEL_VERSION,
    }
    assert {split.dataset.name for split in run.inputs.dataset_inputs} == {
        "train split",
        "validation split",
        "test split",
    }
    assert len(run.outputs.model_outputs) == 1
    assert run.data.params == parents(client)[0].data.params
