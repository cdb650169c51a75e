"""Drift from the champion's train split and skew between the splits, by TFDV itself."""

from dataclasses import replace

import pytest

from components.validate.step import Baseline, tokens_of
from tests.components.validate.conftest import kinds
from tests.support.datasets import write_dataset


@pytest.fixture
def baseline(run, dataset, tmp_path) -> Baseline:
    """What the champion that was trained on the real messages left."""
    run(dataset)
    out = tmp_path / "out"
    return Baseline((out / "schema").read_text(), (out / "statistics/train.pb").read_bytes())


def test_the_first_run_has_no_baseline_and_says_so(run, dataset, tmp_path):
    validation = run(dataset)
    assert {distance.kind for distance in validation.distances} == {"skew"}
    assert "No champion of other data to compare with" in (tmp_path / "out/report").read_text()
    assert Baseline.read(None, None) is None


def test_the_same_data_do_not_drift_from_the_champions(run, dataset, baseline, tmp_path):
    validation = run(dataset, baseline=baseline)
    assert validation.errors == []
    assert validation.schema_source == "the champion's"
    drift = {found.feature: found.value for found in validation.distances if found.kind == "drift"}
    assert drift.keys() == {"label", "script", "language", "token_count", "letter_share"}
    assert max(drift.values()) < 1e-6
    assert "the champion&#39;s train" in (tmp_path / "out/report").read_text()


def test_token_counts_of_another_vocabulary_are_no_drift(run, dataset, tmp_path):
    """The champion's texts were counted in words, as those of an encoder whose vocabulary cannot be read."""
    run(dataset, vocabulary=False)
    out = tmp_path / "out"
    older = Baseline((out / "schema").read_text(), (out / "statistics/train.pb").read_bytes())
    assert {error.feature for error in run(dataset, baseline=older).errors} == {"token_count"}
    known = run(dataset, baseline=replace(older, vocabulary=tokens_of(None)))
    assert known.errors == []
    assert {found.feature for found in known.distances if found.kind == "drift"} >= {"label", "letter_share"}


def test_swapped_shares_and_longer_texts_are_reported_as_drift(run, tmp_path, real_rows, baseline):
    """The drift is described in words."""
    ham = [row for row in real_rows["train"] if row[1] == "ham"]
    spam = [row for row in real_rows["train"] if row[1] == "spam"]
    train = [(f"{text} {text} {text}", label) for text, label in ham[:20] + spam]
    validation = run(
        write_dataset(tmp_path / "drift", real_rows | {"train": train}, ["ham", "spam"]), baseline=baseline
    )
    found = {anomaly.feature: str(anomaly) for anomaly in validation.errors}
    assert found.keys() >= {"label", "token_count"}
    assert found["label"].startswith(
        "train.label: expected values as in the champion's train split (L-infinity at most 0.2), found '"
    ), "0.1, were there more texts"
    assert "where it was" in found["label"]
    assert "found a mean of" in found["token_count"]
    assert found["token_count"].count('"') == 6
    loose = run(tmp_path / "drift", baseline=baseline, drift_categories=1, drift_numbers=1)
    assert loose.errors == []


def test_texts_of_another_language_or_script_drift(run, tmp_path, real_rows, baseline):
    german = "Ich komme heute Abend leider etwas später nach Hause, bitte wartet nicht mit dem Essen auf mich, Nummer"
    russian = "Сегодня вечером я приду домой немного позже, пожалуйста, не ждите меня к ужину, номер"
    for texts, feature, value in ((german, "language", "'de'"), (russian, "script", "'Cyrillic'")):
        odd = [(f"{texts} {number}", label) for number, (_, label) in enumerate(real_rows["train"][:160])]
        rows = real_rows | {"train": odd + real_rows["train"][160:]}
        validation = run(write_dataset(tmp_path / feature, rows, ["ham", "spam"]), baseline=baseline)
        (found,) = [one for one in validation.errors if one.feature == feature]
        assert found.kind == "drift"
        assert "where it was" in str(found)
        assert value in str(found) or "'Latin'" in str(found) or "'en'" in str(found)


def test_a_split_that_is_unlike_train_is_skewed(run, tmp_path, real_rows):
    test = [(f"{text} {text} {text} {text}", label) for text, label in real_rows["test"]]
    validation = run(write_dataset(tmp_path / "skew", real_rows | {"test": test}, ["ham", "spam"]))
    assert ("skew", "warn", "test") in kinds(validation)
    assert "as in train" in next(str(one) for one in validation.anomalies if one.feature == "token_count")


def test_few_texts_differ_only_by_what_is_not_chance(run, tmp_path, real_rows):
    few = {
        "train": real_rows["train"][:14],
        "validation": real_rows["validation"][:2],
        "test": real_rows["test"],
    }
    validation = run(write_dataset(tmp_path / "few", few, ["ham", "spam"]))
    assert not [found for found in validation.anomalies if found.kind == "skew"]
    few["test"] = [(f"привет, как дела {number}", "ham") for number in range(30)]
    validation = run(write_dataset(tmp_path / "other", few, ["ham", "spam"]))
    assert {"script", "language"} <= {found.feature for found in validation.anomalies if found.kind == "skew"}
