"""Secrets of a pod stay there: neither MLflow, nor outputs, nor logs hold it."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from berth import pod_secrets
from berth.data.dataset import Manifest
from berth.errors import BerthError
from berth.tracking import run_tree, tags
from pipeline.dags import pods
from tests.support.datasets import MESSAGES, component_body
from tests.support.web_server import Answer, served

VARIABLES = [  # not the user's name: MLflow shows who made a run
    *("BERTH_MLFLOW_PASSWORD", "BERTH_MLFLOW_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"),
    *(own for own, name in pod_secrets.STORE.items() if not name.endswith("_URL") or name in pod_secrets.ADDRESSES),
    *pods.NOTIFY_VARIABLES,
]


def test_secrets_reach_neither_mlflow_nor_outputs_nor_logs(on_cluster, artifact, monkeypatch, tmp_path, capfd):
    for name in pod_secrets.STORE.values():
        monkeypatch.setenv(name, "")  # a step sets it; this unsets it after the test
    for variable in VARIABLES:
        monkeypatch.setenv(variable, f"s3cr3t-{variable}")
    source = {"source": {"files": str(MESSAGES)}, "columns": ["label", "text"], "encoding": "", "text_column": "text"}
    source |= {"text_pair_column": "", "label_column": "label", "slice_columns": []}
    source |= {"split": {"train": 0.8, "validation": 0.1, "test": 0.1}}
    known = {"name": "secrets", "pipeline_run_id": on_cluster.run_id, "git_commit": "", "config_file": "c.yaml"}
    known |= {"encoder": "minilm", "preprocessor": "", "encoder_fingerprint": str(tmp_path / "encoder")}
    fingerprint = component_body("ingest", "locate")(**source, **known, kfp_ui="https://kfp.example")
    on_cluster.next_pod()
    dataset, rejected = artifact("dataset"), artifact("rejected")
    settings = {"task": "single_label", "label_separator": ",", "label_map": {}, "max_rows": 300, "stratified": True}
    settings |= {"cleaning": {}, "rare_labels": {}, "memory": "1GB", "rows_per_shard": 100_000}
    outputs = {"dataset": dataset, "rejected": rejected}
    component_body("ingest", "ingest")(**source, **settings, source_fingerprint=fingerprint, **outputs)
    on_cluster.next_pod()
    notify = {"on": "always", "webhook": "env:BERTH_WEBHOOK_URL", "smtp_host": "127.0.0.1", "smtp_port": 1}
    notify |= {"smtp_from": "ml@example.com", "smtp_to": ["a@example.com"]}
    status = SimpleNamespace(state="FAILED", error_message="")
    with pytest.raises(SystemExit):
        component_body("finish", "finish")(status=status, name="secrets", notify=notify, kfp_ui="", mlflow_ui="")

    (root,) = on_cluster.runs("secrets")
    assert root.data.tags[tags.KFP_RUN_URL] == f"https://kfp.example/#/runs/details/{on_cluster.run_id}"
    told = capfd.readouterr()
    assert told.out.count("warning: the ") == 2
    runs = [root, *run_tree.children(on_cluster.client, root.info.run_id)]
    assert len(runs) == 3
    held = [json.dumps(run.to_dictionary()) for run in runs]
    held += [json.dumps(dataset.metadata), json.dumps(rejected.metadata), told.out, told.err]
    assert not any("s3cr3t" in text for text in held)


def test_a_signed_source_is_recorded_by_its_variable_only(store, artifact, monkeypatch, tmp_path, capfd):
    """The address comes from a variable; its signature is in no parameter, tag, output, file, log or error."""
    rows = "".join(f"text number {number},{'ham' if number % 3 else 'spam'}\n" for number in range(200))
    answers = {"/a.csv": Answer(f"text,label\n{rows}".encode()), "/old.csv": Answer(b"", 403)}
    dataset, rejected = artifact("dataset"), artifact("rejected")
    source = {"source": {"files": "env:SOURCE_URL"}, "columns": [], "encoding": "", "text_column": "text"}
    source |= {"text_pair_column": "", "label_column": "label", "slice_columns": []}
    source |= {"split": {"train": 0.8, "validation": 0.1, "test": 0.1}}
    known = {"name": "n", "pipeline_run_id": "p", "git_commit": "", "config_file": "c.yaml", "kfp_ui": ""}
    known |= {"encoder": "minilm", "preprocessor": "", "encoder_fingerprint": str(tmp_path / "encoder")}
    settings = {"task": "single_label", "label_separator": ",", "label_map": {}, "max_rows": 0, "stratified": True}
    settings |= {"cleaning": {"near_duplicates": 0}, "rare_labels": {}, "memory": "1GB", "rows_per_shard": 100_000}
    outputs = {"dataset": dataset, "rejected": rejected}
    with served(answers) as site:
        monkeypatch.setenv("SOURCE_URL", f"{site}/a.csv?X-Amz-Signature=s3cr3t&token=s3cr3t#s3cr3t")
        fingerprint = component_body("ingest", "locate")(**source, **known)
        component_body("ingest", "ingest")(**source, **settings, source_fingerprint=fingerprint, **outputs)
        monkeypatch.setenv("SOURCE_URL", f"{site}/old.csv?sig=s3cr3t")
        with pytest.raises(
            BerthError, match=r"source: env:SOURCE_URL cannot be read \(the server answers 403"
        ) as caught:
            component_body("ingest", "locate")(**source, **known)
    assert [file.uri for file in Manifest.read(dataset.path).sources] == ["env:SOURCE_URL"]
    runs = [store.client.get_run(store.parent), *run_tree.children(store.client, store.parent)]
    assert runs[2].data.params["source"] == "env:SOURCE_URL"
    held = [json.dumps(run.to_dictionary()) for run in runs] + [str(caught.value), *capfd.readouterr()]
    held += [json.dumps(dataset.metadata), Path(dataset.path, "manifest.json").read_text(encoding="utf-8")]
    assert not any("s3cr3t" in text for text in held)
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and b"s3cr3t" in path.read_bytes()]
