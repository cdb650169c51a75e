"""The gate on data: a reviewed schema, drift against the champion, and a run that ends early with nothing new."""

import shutil
import socket
from pathlib import Path

import mlflow
import pytest

from berth.tracking import run_tree, tags
from tests.support.browser import browser
from tests.support.calling import DEMO, GOOD, MESSAGES, Done, berth, set_trap, write_config

pytestmark = pytest.mark.timeout(600)  # whole runs


def store(folder: Path) -> mlflow.MlflowClient:
    return mlflow.MlflowClient(f"sqlite:///{folder / '.berth/mlflow.db'}")


def newest_run(folder: Path, experiment: str) -> mlflow.entities.Run:
    client = store(folder)
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    return next(run for run in runs if "mlflow.parentRunId" not in run.data.tags)


def test_a_run_with_nothing_new_says_so_and_ends_before_training(champion, tiny_bert):
    folder = champion
    write_config(folder, **GOOD, **tiny_bert, on_unchanged="skip")
    (folder / "messages.tsv").write_text("".join(reversed(MESSAGES[:2000])), encoding="utf-8")  # the same rows
    again = berth(folder, "run", "config.yaml")
    assert again.returncode == 0, again.stdout + again.stderr
    said = " ".join(again.stdout.split())
    assert "verdict UNCHANGED why data, settings and code are those of sms-spam version 1 " in said
    assert not any(line.startswith(("✓ train", "= train", "✓ validate")) for line in again.stdout.splitlines())
    run = newest_run(folder, "sms-spam")
    assert run.info.status == "FINISHED"
    assert run.data.tags[tags.VERDICT].startswith("UNCHANGED")
    assert "UNCHANGED" in run.data.tags["mlflow.note.content"]


@pytest.fixture(scope="module")
def drifted(champion, tiny_bert) -> tuple[Path, Done]:
    """The champion's folder, and the run of the example of drifted data there, with the champion's encoder."""
    folder = champion / "drifted"
    folder.mkdir()
    for name in ("sms_spam_collection.tsv", "schema.pbtxt"):
        shutil.copy(DEMO / name, folder)
    example = (DEMO / "drifted.yaml").read_text(encoding="utf-8")
    encoder = "".join(f"{key}: {value}\n" for key, value in tiny_bert.items())
    (folder / "drifted.yaml").write_text(example + encoder, encoding="utf-8")
    return champion, berth(champion, "run", "drifted/drifted.yaml")


def test_drifted_data_stop_the_run_at_validate_with_the_reasons(drifted):
    """The anomalies are printed, and nothing is trained or pushed."""
    folder, done = drifted
    assert done.returncode == 1
    assert len([line for line in done.stdout.splitlines() if line.startswith("error ")]) == 5
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: validate failed: 5 errors in the data: ")
    for reason in (
        "train.label: expected one of the schema's labels ('ham', 'spam'), found 'prize' in ",
        "train.label: expected values as in the champion's train split (L-infinity at most 0.1), found 'ham' in ",
        "train.token_count: expected values as in the champion's train split (Jensen-Shannon at most 0.1), found a",
    ):
        assert reason in line
    assert not list(folder.glob(".berth/logs/sms-spam-drifted-*/train.log"))
    assert [str(version.version) for version in store(folder).search_model_versions()] == ["1"]
    (log,) = folder.glob(".berth/logs/sms-spam-drifted-*/validate.log")
    run = newest_run(folder, "sms-spam-drifted")
    assert run.info.status == "FAILED"
    said = line.removeprefix("error: validate failed: ").partition(" Log: ")[0]
    assert run.data.tags[tags.ERROR] == f"validate: {said}"
    assert said in log.read_text(encoding="utf-8")


def test_the_report_opens_without_an_error_and_asks_for_nothing(drifted):
    folder, _ = drifted
    reports = sorted(folder.glob(".berth/artifacts/**/validation_report.html"))
    assert len(reports) == 2
    with browser(1280, 720) as context:
        for report in reports:
            page = context.new_page()
            said: list[str] = []
            asked: list[str] = []
            page.on("console", lambda message, said=said: said.append(message.text))
            page.on("pageerror", lambda error, said=said: said.append(str(error)))
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.goto(report.as_uri())
            assert said == []
            assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]
            assert page.locator("h2", has_text="Label balance").is_visible()
            assert page.locator("svg.histogram").count() == 3
            wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
            assert not wide
            page.close()


@pytest.fixture(scope="module")
def changed(drifted, tiny_bert) -> tuple[Path, Done, str]:
    """The champion's folder, the run of changed data and an encoder that does not answer there, and its address."""
    folder, _ = drifted
    with socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"127.0.0.1:{closed.getsockname()[1]}"
    more = [*MESSAGES[:2000], "ham\t\n", "ham\tA message that no one has sent before\n"]
    (folder / "messages.tsv").write_text("".join(more), encoding="utf-8")
    write_config(folder, **GOOD | tiny_bert | {"encoder": f"http://{address}/bert.tar.gz"})
    return folder, berth(folder, "run", "config.yaml"), address


def test_changed_data_is_read_again_and_compared_with_the_old(changed):
    """The champion's data are the old."""
    folder, done, _ = changed
    assert any(line.startswith("✓ ingest") for line in done.stdout.splitlines())
    assert "rejected" in " ".join(done.stdout.split())
    steps = run_tree.children(store(folder), newest_run(folder, "sms-spam").info.run_id)
    validate = next(run for run in steps if run.info.run_name == "validate")
    assert validate.data.metrics["drift/train/label"] < 0.01, "compared with the champion's data"


def test_an_encoder_that_does_not_resolve(changed):
    folder, done, address = changed
    assert done.returncode == 1
    assert done.stderr.startswith("error: train failed: ")
    assert address in done.stderr
    assert done.stderr.count("\n") == 1
    assert [str(version.version) for version in store(folder).search_model_versions()] == ["1"]


def test_a_schema_is_inferred_written_and_compared_in_words(tmp_path):
    """Modules in the working folder that have the names of Berth's are not imported."""
    set_trap(tmp_path)
    (tmp_path / "messages.csv").write_text("text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(99)))
    (tmp_path / "mine.yaml").write_text("name: mine\nsource: messages.csv\ncleaning: {near_duplicates: 0}\n")
    done = berth(tmp_path, "schema", "diff", "mine.yaml")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Write one with 'berth schema infer CONFIG'" in done.stderr
    done = berth(tmp_path, "schema", "infer", "mine.yaml")
    assert done.stdout.startswith("wrote schema.pbtxt; ")
    (tmp_path / "mine.yaml").write_text((tmp_path / "mine.yaml").read_text() + "schema: schema.pbtxt\n")
    with (tmp_path / "messages.csv").open("a") as stream:
        stream.writelines(f"another text {number},c\n" for number in range(50))
    assert berth(tmp_path, "schema", "diff", "mine.yaml").stdout == "label: new value 'c'\n"
    (tmp_path / "mine.yaml").write_text("name: mine\nsource: gone.csv\n")
    done = berth(tmp_path, "schema", "infer", "mine.yaml")
    assert done.stderr.startswith("error: source: no file ")
