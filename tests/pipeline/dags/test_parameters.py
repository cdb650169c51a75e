"""The pipeline function that a configuration's fields are the parameters of."""

import inspect

import pytest
from kfp import dsl

from berth.cluster_settings import Cluster
from pipeline.config.run_config import RunConfig
from pipeline.dags import training
from pipeline.dags.parameters import with_parameters


def test_building_the_pipeline_reads_no_source_files(monkeypatch):
    """kfp asks for the whole stack, source lines included, for each setting of a step: it took seconds of each run."""
    monkeypatch.setattr(inspect, "stack", lambda *_: pytest.fail("the stack with its source was read"))
    training.build(Cluster.model_validate({}))


def test_kfp_error_names_the_setting_that_is_wrong():
    def body(p):
        """Set what only a step has."""
        training.berth(**{name: vars(p)[name] for name in ("name", "source")}).set_retry(1).set_env_variable("a", "b")

    with pytest.raises(ValueError, match=r"^set_env_variable can only be used on single-step components"):
        dsl.pipeline(name="outer")(with_parameters(body, RunConfig))
