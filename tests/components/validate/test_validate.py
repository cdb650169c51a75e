"""Validation of real messages, and of splits that break a schema, with TFDV itself."""

import shutil

import pytest

from components.common import tracking
from components.common.errors import BerthError
from components.validate.step import validate_dataset
from tests.components.conftest import component_body, write_dataset


@pytest.fixture
def run(tmp_path):
    """Return a function that validates a dataset and returns the anomalies and the schema that was used."""

    def run(dataset, schema=""):
        out = tmp_path / "out"
        found = validate_dataset(dataset, schema, out / "statistics", out / "schema", out / "anomalies")
        assert sorted(path.name for path in (out / "statistics").iterdir()) == ["test.pb", "train.pb", "validation.pb"]
        assert len(list((out / "anomalies").iterdir())) == 3
        return [str(anomaly) for anomaly in found], (out / "schema").read_text()

    return run


def test_real_messages_hold_the_schema_that_is_inferred_from_train(run, dataset):
    found, schema = run(dataset)
    assert found == []
    assert 'value: "spam"' in schema
    assert schema.count("min_fraction: 1.0") == 2


def test_the_statistics_count_every_row(run, dataset, tmp_path):
    import tensorflow_data_validation as tfdv

    run(dataset)
    statistics = tfdv.load_stats_binary(str(tmp_path / "out/statistics/train.pb"))
    assert statistics.datasets[0].num_examples == 320


def test_free_text_is_no_vocabulary_however_few_texts_there_are(run, tmp_path):
    rows = {
        split: [(f"{split} {number}", "ab"[number % 2]) for number in range(10)]
        for split in ("train", "validation", "test")
    }
    found, schema = run(write_dataset(tmp_path / "few", rows, ["a", "b"]))
    assert found == []
    assert "train 1" not in schema


def test_a_label_that_train_does_not_have_is_an_anomaly(run, tmp_path, real_rows):
    rows = real_rows | {"test": [("new kind of text", "junk"), *real_rows["test"]]}
    found, _ = run(write_dataset(tmp_path / "junk", rows, ["ham", "junk", "spam"]))
    assert len(found) == 1
    assert found[0].startswith("test.label: Unexpected string values.")
    assert "junk" in found[0]


def test_a_domain_of_more_labels_than_tfdv_keeps_by_itself_is_whole(run, tmp_path):
    labels = [f"class {number:04d}" for number in range(1500)]
    rows = {
        split: [(f"{split} {number}", label) for number, label in enumerate(labels * copies)]
        for split, copies in (("train", 2), ("validation", 1), ("test", 1))
    }
    found, schema = run(write_dataset(tmp_path / "many", rows, labels))
    assert found == []
    assert schema.count("value: ") == 1500


def test_an_anomaly_of_many_values_is_one_short_line_that_says_its_kind_once(run, tmp_path, real_rows):
    junk = [(f"new kind of text {number}", f"junk {number}") for number in range(100)]
    rows = real_rows | {"test": real_rows["test"] + junk}
    labels = ["ham", *(label for _, label in junk), "spam"]
    found, _ = run(write_dataset(tmp_path / "junk", rows, labels))
    assert len(found) == 1
    assert len(found[0]) < 340
    assert "junk 0" in found[0]
    assert "junk 99" in (tmp_path / "out/anomalies/test.pbtxt").read_text()
    shutil.rmtree(tmp_path / "out")
    found, _ = run(tmp_path / "junk", 'feature { name: "text" type: BYTES }')
    assert found[0] == "train.label: New column (column in data but not in schema)"


def test_labels_that_are_numbers_or_truth_values_are_held_to_those_of_train(run, tmp_path):
    for low, high, other in (("0", "1", "7"), ("false", "true", "maybe")):
        rows = {split: [(f"{split} a", low), (f"{split} b", high)] * 5 for split in ("train", "validation", "test")}
        rows["test"].append(("another", other))
        found, _ = run(write_dataset(tmp_path / other, rows, [low, high, other]))
        assert len(found) == 1
        assert found[0].startswith("test.label: ")
        assert f'"{other}"' in found[0]
        shutil.rmtree(tmp_path / "out")


def test_a_schema_is_held_as_it_is_given(run, dataset):
    _, schema = run(dataset)
    stricter = (
        schema.replace('value: "spam"', 'value: "junk"')
        + 'feature { name: "age" type: INT presence { min_fraction: 1 } }'
    )
    shutil.rmtree(dataset.parent / "out")
    found, used = run(dataset, stricter)
    assert {line.split(":")[0] for line in found} == {
        f"{split}.{feature}" for split in ("train", "validation", "test") for feature in ("label", "age")
    }
    assert "junk" in used


def test_what_is_no_schema_is_said_and_nothing_is_written(dataset, tmp_path):
    with pytest.raises(BerthError, match="schema: not a TFDV schema"):
        validate_dataset(dataset, "feature { nam: 3 }", tmp_path / "s", tmp_path / "u", tmp_path / "a")
    assert not (tmp_path / "s").exists()


def call(artifact, dataset, schema):
    outputs = {name: artifact(name) for name in ("statistics", "used_schema", "anomalies")}
    component_body("validate", "validate")(
        dataset=artifact("dataset", dataset, fingerprint="f"), schema=schema, **outputs
    )
    return outputs


def test_the_step_logs_its_artifacts_and_says_what_came_out(store, artifact, dataset):
    outputs = call(artifact, dataset, "")
    assert outputs["anomalies"].metadata["summary"] == "no anomalies in 3 splits"
    (step,) = tracking.children(store.client, store.parent)
    assert outputs["anomalies"].metadata[tracking.RUN_ID] == step.info.run_id
    assert {item.path for item in store.client.list_artifacts(step.info.run_id)} == {
        "anomalies",
        "schema.pbtxt",
        "statistics",
    }
    assert step.data.metrics["anomalies"] == 0


def test_an_anomaly_fails_the_step_with_a_line_each_and_its_artifacts_stay(store, artifact, dataset, capsys):
    schema = """
    feature { name: "text" type: BYTES }
    feature { name: "label" type: BYTES }
    feature { name: "age" type: INT presence { min_count: 1 } }
    """
    with pytest.raises(
        BerthError, match=r"^3 anomalies in the data, such as train\.age: Column dropped.* Mend the data"
    ):
        call(artifact, dataset, schema)
    assert len([line for line in capsys.readouterr().out.splitlines() if line.startswith("anomaly ")]) == 3
    (step,) = tracking.children(store.client, store.parent)
    assert step.info.status == "FAILED"
    assert "train.age" in step.data.tags[tracking.ERROR]
    logged = {item.path for item in store.client.list_artifacts(step.info.run_id)}
    assert logged == {"anomalies", "schema.pbtxt", "statistics"}
