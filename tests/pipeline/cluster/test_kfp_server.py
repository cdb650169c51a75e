"""The loopback KFP server of the tests: it refuses what the real one refuses."""

import pytest

from pipeline.cluster import runs
from tests.support.cluster_calls import one_line
from tests.support.kfp_models import Refused, checked


@pytest.mark.parametrize(
    "body",
    [
        {"display_name": "a", "colour": "red"},
        {"display_name": 1},
        {"run_id": "mine"},
        {"runtime_config": {"parameters": []}},
        {"pipeline_version_reference": {"pipeline": "x"}},
    ],
)
def test_the_loopback_server_refuses_what_the_official_models_do_not_have(body):
    with pytest.raises(Refused):
        checked("V2beta1Run", body)


def test_the_loopback_server_refuses_parameters_that_the_pipeline_does_not_take(call, server, folder, monkeypatch):
    real = runs.RunConfig.parameters
    monkeypatch.setattr(runs.RunConfig, "parameters", lambda self: real(self) | {"epochs": "three"})
    assert "epochs is 'three'" in one_line(call("submit", "config.yaml", "--host", server.url))
