"""Validation of real messages, and of splits that something is wrong with, by TFDV itself."""

from pathlib import Path

import pytest

from berth.data.dataset import Manifest, split_dir
from berth.errors import BerthError
from berth.settings import Checks
from tests.components.validate.conftest import SCHEMA, SPLITS, kinds, lines
from tests.support.datasets import write_dataset


def test_real_messages_fit_the_schema_inferred_from_train(run, dataset, tmp_path):
    validation = run(dataset)
    assert [found for found in validation.anomalies if found.kind != "skew"] == []
    assert validation.schema_source == "inferred from the train split"
    schema = (tmp_path / "out/schema").read_text()
    assert 'value: "spam"' in schema
    assert schema.count("min_fraction: 1.0") == 2
    assert "token_count" not in schema


def test_statistics_count_all_rows_and_have_derived_features(run, dataset, tmp_path):
    import tensorflow_data_validation as tfdv

    run(dataset)
    (statistics,) = tfdv.load_stats_binary(str(tmp_path / "out/statistics/train.pb")).datasets
    assert statistics.num_examples == 320
    features = {".".join(feature.path.step): feature for feature in statistics.features}
    assert features.keys() >= {"text", "label", "token_count", "unknown_share", "letter_share", "script", "language"}
    tokens = features["token_count"].num_stats
    assert tokens.common_stats.num_non_missing == 320
    assert 10 < tokens.mean < 40
    assert features["script"].string_stats.rank_histogram.buckets[0].label == "Latin"


def test_free_text_is_no_vocabulary_however_few_texts_there_are(run, tmp_path):
    rows = {split: [(f"{split} text {number}", "ab"[number % 2]) for number in range(10)] for split in SPLITS}
    assert run(write_dataset(tmp_path / "few", rows, ["a", "b"])).errors == []
    assert "train text 1" not in (tmp_path / "out/schema").read_text()


def test_label_outside_the_schema_is_reported(run, tmp_path, real_rows):
    """The report gives counts and rows."""
    junk = [(f"a new kind of text {number}", "junk") for number in range(5)]
    rows = real_rows | {"test": real_rows["test"] + junk}
    validation = run(write_dataset(tmp_path / "junk", rows, ["ham", "junk", "spam"]), SCHEMA)
    (error,) = validation.errors
    assert str(error) == (
        "test.label: expected one of the schema's labels ('ham', 'spam'), found 'junk' in 5 of 45 rows; such as "
        '"a new kind of text 0", "a new kind of text 1", "a new kind of text 2"'
    )
    report = (tmp_path / "out/report").read_text()
    assert "1 error" in report
    assert "a new kind of text 1" in report


def test_large_label_domain_is_kept_whole(run, tmp_path):
    """The domain has more labels than TFDV keeps by default."""
    labels = [f"class {number:04d}" for number in range(1500)]
    rows = {
        split: [(f"{split} text {number}", label) for number, label in enumerate(labels * copies)]
        for split, copies in (("train", 2), ("validation", 1), ("test", 1))
    }
    validation = run(write_dataset(tmp_path / "all", rows, labels), min_label_share=0)
    assert validation.errors == []
    assert (tmp_path / "out/schema").read_text().count("value: ") == 1500


def test_many_unknown_labels_give_one_short_line(run, tmp_path, real_rows):
    """The artifact lists all of them."""
    junk = [(f"new kind of text {number}", f"junk {number}") for number in range(100)]
    rows = real_rows | {"test": real_rows["test"] + junk}
    labels = ["ham", *(label for _, label in junk), "spam"]
    (error,) = run(write_dataset(tmp_path / "junk", rows, labels)).errors
    assert len(str(error)) < 500
    assert "and 95 more" in str(error)
    assert "junk 99" in (tmp_path / "out/anomalies/test.pbtxt").read_text()


def test_number_and_boolean_labels_are_checked_against_train(run, tmp_path):
    for low, high, other in (("0", "1", "7"), ("false", "true", "maybe")):
        rows = {split: [(f"{split} text {n}", (low, high)[n % 2]) for n in range(10)] for split in SPLITS}
        rows["test"].append(("another text", other))
        (error,) = run(write_dataset(tmp_path / other, rows, [low, high, other])).errors
        assert error.kind == "unexpected_label"
        assert f"'{other}' in 1 of 11 rows" in str(error)


def test_a_schema_is_held_as_it_is_given(run, dataset, tmp_path):
    stricter = SCHEMA.replace("spam", "junk") + 'feature { name: "age" type: INT presence { min_fraction: 1 } }'
    validation = run(dataset, stricter)
    assert {(found.split, found.feature) for found in validation.errors} == {
        (split, feature) for split in SPLITS for feature in ("label", "age")
    }
    assert "train.age: expected a column 'age', which the schema names, found none" in lines(validation)
    assert validation.schema_source == "the configuration's"
    assert "junk" in (tmp_path / "out/schema").read_text()


def test_slice_columns_stay_out_of_schema_and_statistics(run, dataset, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    before = run(dataset, SCHEMA)
    own = features(tmp_path / "out/statistics/train.pb")
    for split in SPLITS:
        path = dataset / split / "part-00000.parquet"
        table = pq.read_table(path)
        for name in ("language", "text.x", "region"):  # the first is a derived feature's name
            table = table.append_column(name, pa.array([f"{name} {row}" for row in range(table.num_rows)]))
        pq.write_table(table, path)
    after = run(dataset, SCHEMA)
    assert lines(after) == lines(before)
    assert features(tmp_path / "out/statistics/train.pb") == own
    run(dataset)
    assert "region" not in (tmp_path / "out/schema").read_text()


def features(path: Path) -> dict[str, str]:
    import tensorflow_data_validation as tfdv

    (found,) = tfdv.load_stats_binary(str(path)).datasets
    return {".".join(feature.path.step): feature.WhichOneof("stats") for feature in found.features}


def test_what_is_no_schema_is_said_and_nothing_is_written(run, dataset, tmp_path):
    for text, message in (("feature { nam: 3 }", "schema: not a TFDV schema"), ("# none", "schema: has no feature")):
        with pytest.raises(BerthError, match=message):
            run(dataset, text)
        assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("texts", "kind", "expected"),
    [
        (["\u200d\u200d"] * 3, "empty_texts", "at least one token"),
        (["hi"] * 20, "short_texts", "at most 10.0% very short texts, found"),
        (["word " * 200] * 20, "truncated_texts", "at most 10.0% of the texts to be cut off by sequence_length"),
        (["\u1681\u1682 \u1683\u1684 \u1685"] * 20, "unknown_tokens", "at most 5.0% unknown tokens, found"),
    ],
)
def test_texts_are_looked_at_in_the_encoders_own_tokens(run, tmp_path, real_rows, texts, kind, expected):
    odd = [
        (f"{text}{chr(0x200B) * number}" if kind == "empty_texts" else text, "ham") for number, text in enumerate(texts)
    ]
    rows = real_rows | {"test": real_rows["test"] + odd}
    validation = run(write_dataset(tmp_path / kind, rows, ["ham", "spam"]))
    (found,) = [found for found in validation.anomalies if found.kind == kind]
    assert found.split == "test"
    assert expected in str(found)
    assert found.examples[0].startswith(texts[0][:10])
    assert "CUSTOM_VALIDATION" in (tmp_path / "out/anomalies/test.pbtxt").read_text()


def test_long_texts_that_are_read_in_windows_are_no_anomaly(run, tmp_path, real_rows):
    rows = real_rows | {"test": [*real_rows["test"], *[("word " * 200, "ham")] * 20]}
    dataset = write_dataset(tmp_path / "long", rows, ["ham", "spam"])
    assert "truncated_texts" in {found.kind for found in run(dataset).anomalies}
    read = Checks.model_validate({}).of("windows").severity
    assert "truncated_texts" not in {found.kind for found in run(dataset, severity=read).anomalies}


def test_windows_are_advised_for_single_texts_only(run, tmp_path, real_rows):
    """The configuration rejects `long_texts: windows` with pairs."""
    import pyarrow.parquet as pq

    rows = real_rows | {"test": [*real_rows["test"], *[("word " * 200, "ham")] * 20]}
    dataset = write_dataset(tmp_path / "long", rows, ["ham", "spam"])
    for pairs in (False, True):
        for split in SPLITS if pairs else ():
            part = split_dir(dataset, split) / "part-00000.parquet"
            table = pq.read_table(part)
            pq.write_table(table.append_column("text_pair", table["text"]), part)
        Manifest.read(dataset).model_copy(update={"pairs": pairs}).write(dataset)
        (found,) = [found for found in run(dataset).anomalies if found.kind == "truncated_texts"]
        assert ("windows" in str(found)) is not pairs


def test_texts_without_a_token_are_found_outside_the_sample(run, tmp_path, real_rows):
    """Whether a run stops does not depend on the sample."""
    rows = real_rows | {"train": [*real_rows["train"], ("\u00ad", "ham"), ("\u0301\u200e", "ham")]}
    validation = run(write_dataset(tmp_path / "odd", rows, ["ham", "spam"]), sample=1)
    (found,) = [found for found in validation.anomalies if found.kind == "empty_texts"]
    assert str(found).startswith("train.text: expected texts of at least one token, but for 0.0%, found ")
    assert "0.0% empty" not in str(found)
    assert found.examples == ["\u00ad", "\u0301\u200e"]


@pytest.mark.parametrize("severity", ["error", "warn"])
def test_errors_are_found_on_all_texts_and_warnings_on_a_sample(run, dataset, tmp_path, severity):
    import tensorflow_data_validation as tfdv

    run(dataset, sample=10, severity={"short_texts": severity})
    (found,) = tfdv.load_stats_binary(str(tmp_path / "out/statistics/test.pb")).datasets
    (counts,) = [one for one in found.features if ".".join(one.path.step) == "token_count"]
    assert counts.num_stats.common_stats.num_non_missing == (found.num_examples if severity == "error" else 10)


RUSSIAN = "\u0434\u0430 \u043d\u0435\u0442"


@pytest.mark.parametrize("rest", ["yes no", RUSSIAN], ids=["English", "Russian"])
def test_an_error_of_a_sample_counts_if_it_holds_for_all_texts(run, tmp_path, capsys, rest):
    """The first texts of the test split are Russian; the error stays only if the others are as well."""
    rows = {split: [(f"{n} yes no", "ab"[n % 2]) for n in range(400)] for split in ("train", "validation")}
    rows["test"] = [(f"{n} {rest if n > 50 else RUSSIAN}", "ab"[n % 2]) for n in range(400)]
    bounds = {"skew_numbers": 1.0, "skew_categories": 0.5, "severity": {"skew": "error", "duplicates": "ignore"}}
    validation = run(write_dataset(tmp_path / "russian", rows, ["a", "b"]), sample=50, **bounds)
    assert "an error rests on a sample" in capsys.readouterr().out
    assert ("script" in {found.feature for found in validation.errors}) == (rest != "yes no")


def test_a_sample_does_not_hide_skew(run, tmp_path, capsys):
    """The first 50 texts of the test split are as those of train; all of them are not."""
    rows = {split: [(f"{n} yes no", "ab"[n % 2]) for n in range(400)] for split in ("train", "validation")}
    rows["test"] = [(f"{n} {RUSSIAN if n > 200 else 'yes no'}", "ab"[n % 2]) for n in range(400)]
    bounds = {"skew_numbers": 1.0, "skew_categories": 0.3, "severity": {"skew": "error", "duplicates": "ignore"}}
    validation = run(write_dataset(tmp_path / "hidden", rows, ["a", "b"]), sample=50, **bounds)
    assert "near its bound: all of them are looked at" in capsys.readouterr().out
    assert "script" in {found.feature for found in validation.errors}


def test_without_a_vocabulary_a_token_is_a_word(run, dataset, tmp_path):
    run(dataset, vocabulary=False)
    assert "words, as there is no vocabulary" in (tmp_path / "out/report").read_text()


def test_what_is_wrong_between_the_splits_is_seen(run, tmp_path, real_rows):
    text, label = real_rows["train"][0]
    other = "spam" if label == "ham" else "ham"
    rows = {
        "train": [*real_rows["train"], ("a rare one", "rare")],
        "validation": real_rows["validation"],
        "test": [*real_rows["test"], (text, other)],
    }
    validation = run(write_dataset(tmp_path / "odd", rows, ["ham", "rare", "spam"]))
    found = {anomaly.kind: str(anomaly) for anomaly in validation.anomalies}
    shown = f'such as "{text[:45]}'
    assert found["duplicates"].startswith("test.text: expected texts that no earlier split has, found 1 that one has; ")
    assert found["two_labels"].startswith("train.label: expected one label for a text, found 1 texts that carry ")
    assert shown in found["duplicates"]
    assert shown in found["two_labels"]
    assert "none of 'rare'" in found["missing_label"]
    assert found["label_balance"].startswith(
        "train.label: expected each label in at least 1.0% of the rows, found 'rare'"
    )
    assert {anomaly.kind for anomaly in validation.errors} == {"duplicates", "two_labels"}


def test_many_rare_labels_are_one_warning(run, tmp_path):
    """It has the five rarest and how many more there are."""
    rows = [(f"text {number}", f"label{number % 150:03}") for number in range(600)]
    labels = sorted({label for _, label in rows})
    validation = run(write_dataset(tmp_path / "many", dict.fromkeys(("train", "validation", "test"), rows), labels))
    (found,) = [str(anomaly) for anomaly in validation.anomalies if anomaly.kind == "label_balance"]
    assert "found 'label000' in 0.67%, 'label001' in 0.67%" in found
    assert "'label004' in 0.67% and 145 more" in found


def test_rejected_rows_and_kept_near_duplicates_are_counted(run, dataset):
    manifest = Manifest.read(dataset)
    changed = manifest.model_copy(
        update={"rows_read": 500, "rejected": {"empty text": 100}, "near_duplicates": 9, "near_duplicates_kept": True}
    )
    changed.write(dataset)
    found = {anomaly.kind: str(anomaly) for anomaly in run(dataset).anomalies}
    assert found["rejected_rows"].endswith("found 20.0% (100 empty text)")
    assert found["near_duplicates"].endswith("found 9 in validation and test")


def test_anomaly_severity_follows_the_configuration(run, tmp_path, real_rows):
    """Each kind is an error, a warning or ignored."""
    rows = real_rows | {"test": [("new kind of text", "junk"), *real_rows["test"]]}
    dataset = write_dataset(tmp_path / "junk", rows, ["ham", "junk", "spam"])
    assert ("unexpected_label", "error", "test") in kinds(run(dataset))
    validation = run(dataset, severity={"unexpected_label": "warn"})
    assert ("unexpected_label", "warn", "test") in kinds(validation)
    assert validation.errors == []
    validation = run(dataset, severity={"unexpected_label": "ignore", "skew": "ignore"})
    assert "unexpected_label" not in {found.kind for found in validation.anomalies}


def test_text_from_data_is_shown_in_the_report_and_not_run(run, tmp_path, real_rows):
    evil = "<script>alert(1)</script>"
    rows = real_rows | {"test": [(f"{evil} {n}", f"<b>{n}</b>") for n in range(3)] + real_rows["test"]}
    run(write_dataset(tmp_path / "evil", rows, ["<b>0</b>", "<b>1</b>", "<b>2</b>", "ham", "spam"]))
    report = (tmp_path / "out/report").read_text()
    assert "<script" not in report
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in report
    assert "<b>1</b>" not in report
    assert "default-src &#39;none&#39;" in report or "default-src 'none'" in report
