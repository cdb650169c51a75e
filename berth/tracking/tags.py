"""The names of MLflow tags, aliases and metadata: what one step or command writes and another reads."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


KFP_RUN_ID = "kfp.pipeline_run_id"
KFP_RUN_URL = "kfp.pipeline_run_url"
"""The names that KFP's MLflow plugin has for its tags."""
GIT_COMMIT = "mlflow.source.git.commit"
CONFIG_FILE = "berth.config_file"
FINGERPRINT = "berth.data_fingerprint"
SETTINGS = "berth.settings_digest"
CODE = "berth.code_version"
PIPELINE_RUN = "berth.run_id"
STEP = "berth.step"
REUSED_FROM = "berth.reused_from"
VERDICT = "berth.verdict"
ERROR = "berth.error"
FINAL = "berth.final"
"""On a failed step: the error is one that the user has to mend, so that trying again is no use."""
DESCRIPTION = "mlflow.note.content"
"""Markdown that MLflow shows on a run's page."""

CHAMPION = "champion"
"""The registry's alias that users follow."""
PREVIOUS = "previous"
"""The alias of what was champion before: where a rollback goes."""
CHALLENGER = "challenger"
"""The alias of the newest version that was not blessed."""

MODEL_VERSION = "berth.model_version"
"""On a pipeline run: the version that its model became, NAME/VERSION."""
GATE = "berth.gate."
"""On a version, with the gate's name behind it: how the gate failed, in words."""
DIGEST = "berth.sha256"
"""On a version: the digest of its model's SHA256SUMS."""
SERVING_FOLDER = "berth.serving_folder"
"""On a version: `<push_to>/<model>`, the folder of versions that TensorFlow Serving reads."""
PUBLISHED = "berth.published"
"""On a version: `pending` from its registration until its files are in the serving folder, then `yes`."""
WITHDRAWN = "berth.withdrawn"
"""On a version that a rollback or a promotion took from users: no push makes it the champion again."""
AUDIT = "berth.audit."
"""On a version, with the time behind it: who made it the champion by hand, or took it back, and why."""

RUN_ID = "mlflow_run_id"
"""The key under which an output artifact's metadata names the MLflow run of the step that wrote it."""

PARENT = "mlflow.parentRunId"
"""On a nested run: the run that it is nested in."""
SOURCE = {"mlflow.source.name": "berth", "mlflow.source.type": "PROJECT"}
"""On every run: what MLflow shows as its source."""


TAG_LIMIT = 4000
