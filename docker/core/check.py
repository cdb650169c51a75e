"""Run while the image is built: the packages that its steps need have to work, or there is no image."""
# ruff: noqa: F401  to be imported is the check

import os
import tempfile

import botocore.session
import duckdb
import fsspec
import kfp.dsl.executor_main
import kubernetes
import mlflow
import psycopg
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet

texts = pa.table({"text": ["one", "two", "two"]})
assert duckdb.sql("SELECT count(DISTINCT text) FROM texts").fetchall() == [(2,)]
for scheme in ("s3", "gs", "https"):
    fsspec.get_filesystem_class(scheme)
for service in ("s3", "sts", "sso", "sso-oidc"):
    botocore.session.get_session().create_client(service, region_name="us-east-1")
with tempfile.TemporaryDirectory() as folder:
    os.chdir(folder)
    mlflow.set_tracking_uri("sqlite:///mlflow.db")
    mlflow.MlflowClient().create_registered_model("check")
    with mlflow.start_run():
        mlflow.log_dict({"works": True}, "check.json")
print(f"kfp {kfp.__version__}, mlflow {mlflow.__version__}, duckdb {duckdb.__version__}")
