"""What a pod has from secrets stays there: neither MLflow, nor outputs, nor logs hold it."""

import json
from types import SimpleNamespace

from berth.tracking import run_tree, tags
from pipeline.dags import pods
from tests.support.datasets import MESSAGES, component_body

VARIABLES = [  # not the user's name: MLflow shows who made a run
    *("BERTH_MLFLOW_PASSWORD", "BERTH_MLFLOW_TOKEN", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN"),
    *(name for name in pods.STORE_VARIABLES if not name.endswith("_URL") or name == "DATABASE_URL"),
    *pods.NOTIFY_VARIABLES,
]


def test_secrets_reach_neither_mlflow_nor_outputs_nor_logs(on_cluster, artifact, monkeypatch, capfd):
    for variable in VARIABLES:
        monkeypatch.setenv(variable, f"s3cr3t-{variable}")
    source = {"source": {"files": str(MESSAGES)}, "columns": ["label", "text"], "text_column": "text"}
    source |= {"text_pair_column": "", "label_column": "label", "slice_columns": []}
    source |= {"split": {"train": 0.8, "validation": 0.1, "test": 0.1}}
    known = {"name": "secrets", "pipeline_run_id": on_cluster.run_id, "git_commit": "", "config_file": "c.yaml"}
    fingerprint = component_body("ingest", "locate")(**source, **known, kfp_ui="https://kfp.example")
    on_cluster.next_pod()
    dataset, rejected = artifact("dataset"), artifact("rejected")
    settings = {"task": "single_label", "label_separator": ",", "label_map": {}, "max_rows": 300, "stratified": True}
    settings |= {"cleaning": {}, "memory": "1GB", "rows_per_shard": 100_000}
    outputs = {"dataset": dataset, "rejected": rejected}
    component_body("ingest", "ingest")(**source, **settings, source_fingerprint=fingerprint, **outputs)
    on_cluster.next_pod()
    notify = {"on": "always", "webhook": "env:BERTH_WEBHOOK_URL", "smtp_host": "127.0.0.1", "smtp_port": 1}
    notify |= {"smtp_from": "ml@example.com", "smtp_to": ["a@example.com"]}
    status = SimpleNamespace(state="FAILED", error_message="")
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
