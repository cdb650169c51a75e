"""Configurations of either pipeline."""

from pathlib import Path

from pipeline.config.pipeline_config import PIPELINE, PipelineConfig, check_kind, read
from pipeline.config.pretraining_config import PretrainingConfig
from pipeline.config.run_config import RunConfig


def load(path: str | Path) -> PipelineConfig:
    """Read the configuration file at `path`, of the pipeline that its key `pipeline` names; without one, training.

    Raises:
        BerthError: the file is missing, is not YAML, or does not describe a run.
    """
    found = {config.kind: config for config in (RunConfig, PretrainingConfig)}
    kind = read(Path(path), RunConfig.start_from).get(PIPELINE, RunConfig.kind)
    check_kind(Path(path), kind, kind)
    return found[kind].load(path)
