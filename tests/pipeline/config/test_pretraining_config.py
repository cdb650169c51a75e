"""The configuration of pre-training: what a file may say, and the line that a mistake ends in."""

import pytest

from berth.errors import BerthError
from pipeline.config.pretraining_config import PretrainingConfig
from pipeline.config.run_config import RunConfig

START = "pipeline: pretraining\nname: town\nsource: corpus.txt\n"


@pytest.fixture
def kind() -> type[PretrainingConfig]:
    return PretrainingConfig


def test_source_alone_goes_on_from_minilm(load, tmp_path):
    config = load(START)
    assert (config.encoder, config.model_name, config.new_encoder) == ("minilm", "town", None)
    assert config.source.files == str(tmp_path / "corpus.txt")
    assert config.parameters()["new_encoder"] == {}


def test_a_mapping_as_encoder_is_one_from_nothing(load):
    parameters = load(START + "encoder: {preset: tiny, vocabulary: 800}\n").parameters()
    assert parameters["encoder"] == ""
    assert (parameters["new_encoder"]["preset"], parameters["new_encoder"]["vocabulary"]) == ("tiny", 800)


def test_a_registered_encoder_needs_no_preprocessor(load):
    assert load(START + "encoder: models:/other@champion\n").encoder == "models:/other@champion"


def test_the_probes_paths_are_relative_to_the_file(load, tmp_path):
    probe = load(START + "probe: {source: labelled.csv}\n").parameters()["probe"]
    assert probe["source"]["files"] == str(tmp_path / "labelled.csv")


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("encoder: {prest: tiny}\n", "unknown key 'encoder.prest'. Did you mean 'preset'?"),
        ("encoder: {vocabulary: 50}\n", "encoder.vocabulary: input should be greater than or equal to 100, not 50"),
        ("pretraining: 5\n", "pretraining: input should be a mapping of settings, not 5"),
        ("encoder: https://tfhub.dev/x\n", "preprocessor: name the TF-Hub preprocessor"),
        ("encoder: {preset: tiny}\npreprocessor: some/folder\n", "preprocessor: a new encoder gets one"),
        ("gates: {max_probe_drop: 0.1}\n", "there is no probe"),
        ("documents: blank_line\nsource: {sql: SELECT 1}\n", "given twice|there already"),
        ("label_column: label\n", "unknown key 'label_column'"),
        ("cluster: {resources: {pretrian: {gpu_count: 2}}}\n", "Did you mean 'pretrain'?"),
    ],
)
def test_a_mistake_is_one_line_that_names_the_field(load, more, words):
    with pytest.raises(BerthError, match=words) as caught:
        load(START + more)
    assert "\n" not in str(caught.value)


def test_each_command_refuses_the_other_pipelines_file(load, tmp_path):
    with pytest.raises(BerthError, match="Call: berth run "):
        load(START.replace("pipeline: pretraining\n", ""))
    (tmp_path / "config.yaml").write_text(START)
    with pytest.raises(BerthError, match="Call: berth pretrain "):
        RunConfig.load(tmp_path / "config.yaml")
    with pytest.raises(BerthError, match="Write one of: training, pretraining"):
        load(START.replace("pretraining", "pre-training"))
