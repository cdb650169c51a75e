"""Comparison of data, settings and code with the champion's."""

import mlflow
import pytest

from berth.code_version import code_version
from berth.tracking import tags
from components.compare.step import canonical, compare_with_champion
from tests.support.datasets import component_body

SETTINGS = {
    **dict.fromkeys(("encoding", "text_column", "text_pair_column", "label_column", "task", "label_separator"), ""),
    **dict.fromkeys(("encoder", "encoder_fingerprint", "preprocessor", "pooling", "long_texts", "recipe"), ""),
    **dict.fromkeys(("threshold_metric", "positive_label", "behaviour"), ""),
    **{key: {} for key in ("label_map", "rare_labels", "cleaning", "checks", "training", "evaluation", "gates")},
    **dict.fromkeys(("max_rows", "sequence_length", "batch_size", "learning_rate", "seed"), 0),
    **{"warmup_fraction": 0.1, "weight_decay": 0.01, "columns": ["a"], "slice_columns": [], "stratified": True},
    **{"epochs": 3, "split": {"train": 0.8, "seed": 0}, "schema": "feature {\n}\n"},
}


@pytest.fixture
def champion(store, request):
    """A model whose champion was made of the data `f`, SETTINGS and this code by the run `r`."""
    name = f"compare-{abs(hash(request.node.name))}"
    store.client.create_registered_model(name)
    own_tags = {
        tags.FINGERPRINT: "f",
        tags.SETTINGS: compare_with_champion("nobody", "f", SETTINGS).settings_digest,
        tags.CODE: code_version(),
        tags.PIPELINE_RUN: "r",
    }
    version = store.client.create_model_version(name, "file:///nothing", tags=own_tags)
    store.client.set_registered_model_alias(name, tags.CHAMPION, version.version)
    return name


def test_without_a_champion_everything_is_new(store):
    found = compare_with_champion("nobody", "f", SETTINGS)
    assert (found.champion_run, found.unchanged) == ("", False)


def test_the_same_data_settings_and_code_are_nothing_new(champion):
    found = compare_with_champion(champion, "f", SETTINGS)
    assert found.unchanged
    assert found.champion_run == ""  # there is no drift to look for
    assert found.verdict == f"UNCHANGED: data, settings and code are those of {champion} version 1"


def test_other_data_other_settings_and_other_code_are_new(champion, monkeypatch):
    other = compare_with_champion(champion, "g", SETTINGS)
    assert (other.champion_run, other.unchanged) == ("r", False)
    assert not compare_with_champion(champion, "f", SETTINGS | {"epochs": 4}).unchanged
    assert not compare_with_champion(champion, "f", SETTINGS | {"encoder_fingerprint": "other"}).unchanged
    monkeypatch.setattr("components.compare.step.code_version", lambda: "other")
    assert not compare_with_champion(champion, "f", SETTINGS).unchanged


def test_key_order_and_number_format_do_not_count():
    other = SETTINGS | {"epochs": 3.0, "split": {"seed": 0.0, "train": 0.8}}
    assert canonical(SETTINGS) == canonical(dict(reversed(other.items())))


@pytest.mark.parametrize(("on_unchanged", "go_on"), [("skip", False), ("train", True)])
def test_the_step_ends_the_run_only_when_it_is_told_to(store, champion, artifact, tmp_path, on_unchanged, go_on):
    answer = component_body("compare", "compare")(
        dataset=artifact("dataset", fingerprint="f"),
        name=champion,
        model_name="",
        **SETTINGS,
        on_unchanged=on_unchanged,
        champion=str(tmp_path / "champion"),
        settings_digest=str(tmp_path / "digest"),
    )
    assert answer is go_on
    assert (tmp_path / "champion").read_text() == ""
    assert len((tmp_path / "digest").read_text()) == 16
    verdict = mlflow.MlflowClient().get_run(store.parent).data.tags.get(tags.VERDICT)
    assert (verdict is None) == go_on
