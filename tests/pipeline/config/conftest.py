"""Fixtures of the tests of configurations."""

import pytest

from pipeline.config.run_config import RunConfig


@pytest.fixture
def load(tmp_path):
    def load(text: str) -> RunConfig:
        (tmp_path / "config.yaml").write_text(text)
        return RunConfig.load(tmp_path / "config.yaml")

    return load
