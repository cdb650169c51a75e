"""Helpers for tests of several steps: a dataset in the steps' layout, an MLflow store, artifacts."""

import __future__

import ast
import shutil
import uuid
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from berth.data.dataset import SPLITS, Manifest, SourceFile, split_dir
from tests.support.once import once

MESSAGES = Path(__file__).parents[2] / "examples/sms-spam/sms_spam_collection.tsv"


def write_dataset(
    folder: Path, rows: dict[str, list[tuple[str, Any]]], labels: list[str], task: str = "single_label", **slices: Any
) -> Path:
    """Write `rows`, (text, label) by split, as ingest would; `slices` are the test split's slice columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    for split in SPLITS:
        split_dir(folder, split).mkdir(parents=True)
        own = slices if split == "test" else {name: [""] * len(rows[split]) for name in slices}
        texts, truth = [text for text, _ in rows[split]], [label for _, label in rows[split]]
        table = pa.table({"text": texts, "label": truth, **own})
        pq.write_table(table, split_dir(folder, split) / "part-00000.parquet")
    counts = {
        split: {label: sum(label == own or label in own for _, own in rows[split]) for label in labels}
        for split in SPLITS
    }
    Manifest(
        sources=[SourceFile(uri="messages.tsv", size=1, version="", rows=sum(map(len, rows.values())))],
        rows_read=sum(map(len, rows.values())),
        duplicates=0,
        rejected={},
        task=task,
        slice_columns=list(slices),
        labels=labels,
        rows={split: len(rows[split]) for split in SPLITS},
        label_counts=counts,
        fingerprint="0123456789abcdef" * 4,
    ).write(folder)
    return folder


def component_body(step: str, name: str) -> Callable[..., Any]:
    """Return the function `name` of the step's component.py as an image runs it: the bare source, no kfp around it."""
    source = (Path(__file__).parents[2] / "components" / step / "component.py").read_text(encoding="utf-8")
    (function,) = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef) and node.name == name)
    function.decorator_list = []
    module = ast.Module(body=[function], type_ignores=[])
    namespace: dict[str, Any] = {}
    exec(
        compile(module, f"{step}/component.py", "exec", flags=__future__.annotations.compiler_flag, dont_inherit=True),
        namespace,
    )
    return namespace[name]


@pytest.fixture(scope="session")
def real_rows() -> dict[str, list[tuple[str, str]]]:
    """400 distinct real messages, split 320, 40 and 40."""
    rows: dict[str, str] = {}
    for line in MESSAGES.read_text(encoding="utf-8").splitlines():
        label, text = line.split("\t", 1)
        rows.setdefault(text, label)
    chosen = list(rows.items())[:400]
    return {"train": chosen[:320], "validation": chosen[320:360], "test": chosen[360:]}


@pytest.fixture
def dataset(tmp_path, real_rows) -> Path:
    return write_dataset(tmp_path / "dataset", real_rows, ["ham", "spam"])


@pytest.fixture(scope="session")
def store_file(tmp_path_factory) -> Path:
    """An MLflow SQLite store of this process's own: a copy of one that is made once, which takes seconds."""

    def make(folder: Path) -> None:
        import mlflow

        folder.mkdir()
        mlflow.MlflowClient(f"sqlite:///{folder / 'mlflow.db'}").search_experiments()

    return Path(shutil.copy(once(tmp_path_factory, "store", make) / "mlflow.db", tmp_path_factory.mktemp("mlflow")))


@pytest.fixture
def store(store_file, monkeypatch):
    """A client of the MLflow store that this process now logs to, as a step of a pipeline run of its own."""
    import mlflow

    from berth.tracking import pipeline_run

    for name in ("MLFLOW_RUN_ID", "BERTH_PARENT_RUN_ID", "BERTH_STEP_RUN_ID", "KFP_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{store_file}")
    run_id = pipeline_run.create_parent("tests", "parent", {})
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    # parent_run() takes the variable's place while a test runs; this puts it back afterwards.
    monkeypatch.setenv("BERTH_PARENT_RUN_ID", run_id)
    return SimpleNamespace(client=mlflow.MlflowClient(), parent=run_id)


@pytest.fixture
def on_cluster(store, monkeypatch):
    """This process as a pod of a new KFP run, without KFP's MLflow plugin: `run_id`, and `runs` of an experiment."""
    for name in ("MLFLOW_RUN_ID", "BERTH_PARENT_RUN_ID"):
        monkeypatch.delenv(name)
    run_id = str(uuid.uuid4())
    monkeypatch.setenv("KFP_RUN_ID", run_id)
    # What a process finds out it keeps in its environment; this takes it away again after the test.
    monkeypatch.setenv("BERTH_PARENT_RUN_ID", "")
    monkeypatch.delenv("BERTH_PARENT_RUN_ID")

    def runs(experiment: str) -> list[Any]:
        found = store.client.get_experiment_by_name(experiment)
        in_it = store.client.search_runs([found.experiment_id]) if found else []
        return [run for run in in_it if run.data.tags.get("kfp.pipeline_run_id") == run_id]

    def next_pod() -> None:
        for name in ("BERTH_PARENT_RUN_ID", "BERTH_STEP_RUN_ID"):
            monkeypatch.delenv(name, raising=False)

    return SimpleNamespace(client=store.client, run_id=run_id, runs=runs, next_pod=next_pod)


@pytest.fixture
def artifact(tmp_path):
    """Return a function that makes what a step sees of an artifact: a path and metadata."""

    def make(name: str, path: Path | None = None, **metadata: object) -> SimpleNamespace:
        logged: dict[str, float] = {}
        return SimpleNamespace(
            path=str(path or tmp_path / "outputs" / name),
            uri=str(path or tmp_path / "outputs" / name),
            metadata=metadata,
            logged=logged,
            log_metric=logged.__setitem__,
            log_confusion_matrix=lambda *values: logged.__setitem__("confusion", values),
            log_roc_curve=lambda *values: logged.__setitem__("roc", values),
        )

    (tmp_path / "outputs").mkdir()
    return make


@pytest.fixture(scope="session")
def preprocessors_loaded_once() -> Iterator[None]:
    """A process loads a preprocessor once for all tests: it has no state, and loading takes a second and a half."""
    from berth.encoders import loading, resolve  # TensorFlow: some tests here have none

    load_anything = loading.load
    loaded = cache(partial(load_anything, "preprocessor"))

    def load(field: str, folder: str, handle: str) -> object:
        return loaded(folder, handle) if field == "preprocessor" else load_anything(field, folder, handle)

    with pytest.MonkeyPatch.context() as patched:
        for module in (loading, resolve):
            patched.setattr(module, "load", load)
        yield


@pytest.fixture(scope="session")
def tiny(tmp_path_factory, preprocessors_loaded_once) -> SimpleNamespace:
    """The folders of a tiny random BERT's encoder and preprocessor.

    It has one layer: each training loads and traces all of them. tests/e2e has two, `encoder: minilm` six.
    """
    from tests.support import tiny_bert

    folder = once(tmp_path_factory, "tiny", partial(tiny_bert.build, layers=1))
    return SimpleNamespace(encoder=str(folder / "encoder"), preprocessor=str(folder / "preprocessor"))
