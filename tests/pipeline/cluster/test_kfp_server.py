"""The loopback KFP server of the tests: it refuses what the real one refuses."""

import pytest

from pipeline.config.run_config import RunConfig
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
def test_loopback_server_refuses_fields_the_models_lack(body):
    """The models are the official ones."""
    with pytest.raises(Refused):
        checked("V2beta1Run", body)


def test_loopback_server_refuses_unknown_parameters(call, server, folder, monkeypatch):
    """These are parameters that the pipeline does not take."""
    real = RunConfig.parameters
    monkeypatch.setattr(RunConfig, "parameters", lambda self: real(self) | {"epochs": "three"})
    assert "epochs is 'three'" in one_line(call("submit", "config.yaml", "--host", server.url))
