"""Steps in containers, and what they see of this machine."""

import pytest

from pipeline.config.run_config import RunConfig
from pipeline.local import containers


@pytest.mark.parametrize("files", ["reviews.csv", "*.csv"])
def test_container_reads_the_files_that_a_variable_names(tmp_path, monkeypatch, files):
    """`source: env:REVIEWS`: the variable is passed on, and what it names is mounted, of a glob its folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "reviews.csv").write_text("text,label\n")
    address = str(tmp_path / "data" / files)
    monkeypatch.setenv("REVIEWS", f" {address}")  # spaces do not matter to the step
    monkeypatch.setenv("OTHER", "not named")
    config = RunConfig.model_validate({"name": "reviews", "source": "env:REVIEWS"})
    variables = containers._variables(config)
    assert variables["REVIEWS"].strip() == address
    assert "OTHER" not in variables
    mounted = tmp_path / "data" / files if files == "reviews.csv" else tmp_path / "data"
    assert mounted in containers._readable(config)
