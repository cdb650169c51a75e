"""Fixtures of the tests of configurations."""

import pytest

from pipeline.config.run_config import RunConfig


@pytest.fixture
def kind() -> type[RunConfig]:
    """What `load` loads; the tests of another kind of configuration override it."""
    return RunConfig


@pytest.fixture
def load(tmp_path, kind):
    def load(text: str):
        (tmp_path / "config.yaml").write_text(text)
        return kind.load(tmp_path / "config.yaml")

    return load
