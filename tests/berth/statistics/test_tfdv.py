"""The statistics are the same in one process, in several, and on Apache Beam's multi-process runner."""

from pathlib import Path

import pytest

from berth.data.dataset import Manifest
from berth.encoders.wordpiece import find_vocabulary
from berth.errors import BerthError
from berth.settings import Checks
from berth.statistics.text_features import DERIVED, TextFeatures
from berth.statistics.tfdv import in_memory, with_beam
from tests.support.datasets import MESSAGES, write_dataset

BEAM = ["--runner=DirectRunner", "--direct_running_mode=multi_processing", "--direct_num_workers=2"]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Path:
    """All real messages, the train split in five shards."""
    import pyarrow.parquet as pq

    lines = [line.split("\t", 1) for line in MESSAGES.read_text(encoding="utf-8").splitlines()]
    rows = [(text, label) for label, text in lines]
    folder = tmp_path_factory.mktemp("scale") / "dataset"
    write_dataset(folder, {"train": rows[:5000], "validation": rows[5000:5300], "test": rows[5300:]}, ["ham", "spam"])
    whole = pq.read_table(folder / "train/part-00000.parquet")
    for number in range(5):
        pq.write_table(whole.slice(number * 1000, 1000), folder / f"train/part-{number:05}.parquet")
    return folder


@pytest.fixture
def features() -> TextFeatures:
    return TextFeatures(find_vocabulary("minilm", ""), 128, Checks(), pairs=False)


def by_name(statistics) -> dict:
    (found,) = statistics.datasets
    return {".".join(feature.path.step): feature for feature in found.features}


def same(one, other) -> None:
    """Assert that two statistics agree: counts exactly, means closely, quantiles within the sketch's error."""
    left, right = by_name(one), by_name(other)
    assert one.datasets[0].num_examples == other.datasets[0].num_examples
    assert left.keys() == right.keys()
    for name, feature in left.items():
        pair = feature, right[name]
        kind = "num_stats" if feature.HasField("num_stats") else "string_stats"
        first, second = (getattr(found, kind) for found in pair)
        assert first.common_stats.num_non_missing == second.common_stats.num_non_missing, name
        if kind == "num_stats":
            assert first.mean == pytest.approx(second.mean)
            assert first.std_dev == pytest.approx(second.std_dev)
            assert (first.min, first.max) == (second.min, second.max)
            span = (first.max - first.min) or 1
            for quantiles in zip(first.histograms[1].buckets, second.histograms[1].buckets, strict=True):
                low, high = (bucket.high_value for bucket in quantiles)
                assert abs(low - high) <= 0.05 * span, name
        elif name != "text":
            tops = [{value.value: value.frequency for value in found.top_values} for found in (first, second)]
            assert tops[0] == tops[1]
        else:
            assert first.unique == pytest.approx(second.unique, rel=0.03)


def test_several_processes_give_the_statistics_that_one_gives(dataset, features):
    one, scan = in_memory(dataset, "train", features, 0, processes=1)
    two, other = in_memory(dataset, "train", features, 0, processes=2)
    same(one, two)
    assert sum(map(len, scan.hashes)) == sum(map(len, other.hashes)) == 5000
    assert sorted(scan.lengths) == sorted(other.lengths)
    assert scan.tokens == other.tokens


def test_beam_statistics_match_within_the_sketch_error(dataset, features, tmp_path):
    for sample, arguments in ((0, BEAM), (500, ["--runner=DirectRunner", f"--temp_location={tmp_path}"])):
        memory, _ = in_memory(dataset, "train", features, sample)
        beam = with_beam(dataset, "train", features, sample, arguments)
        same(memory, beam)
    assert list(tmp_path.glob("berth-*.pb*"))


def test_beam_validation_matches_the_one_in_memory(tmp_path, real_rows):
    from components.validate.step import Outputs, validate_dataset

    odd = [*real_rows["test"], *[("word " * 200, "junk")] * 20, real_rows["train"][0]]
    folder = write_dataset(tmp_path / "odd", real_rows | {"test": odd}, ["ham", "junk", "spam"])
    said = []
    for name, arguments in (("memory", []), ("beam", ["--runner=DirectRunner"])):
        outputs = Outputs(*(tmp_path / name / part for part in ("statistics", "schema", "anomalies", "report")))
        validation = validate_dataset(
            folder,
            "",
            outputs,
            checks=Checks.model_validate({"sample": 0}),
            vocabulary=find_vocabulary("minilm", ""),
            sequence_length=128,
            beam_args=arguments,
        )
        said.append([str(anomaly) for anomaly in validation.anomalies])
        assert "Length in tokens" in outputs.report.read_text(encoding="utf-8")
    assert said[0] == said[1]
    assert {"unexpected_label", "truncated_texts", "duplicates"} <= {found.kind for found in validation.anomalies}


def test_beam_arguments_that_are_wrong_are_one_line(dataset, features):
    with pytest.raises(BerthError, match="beam_args: "):
        with_beam(dataset, "test", features, 0, ["--runner=NoSuchRunner"])


def test_sample_has_the_requested_number_of_rows(dataset, features):
    """Rows outside the sample have no derived features."""
    statistics, scan = in_memory(dataset, "train", features, 500)
    assert scan.sampled == 500
    found = by_name(statistics)
    assert set(DERIVED) <= found.keys()
    assert found["token_count"].num_stats.common_stats.num_non_missing == 500
    assert found["token_count"].num_stats.common_stats.num_missing == 4500
    assert found["label"].string_stats.common_stats.num_non_missing == 5000


def test_a_sample_is_like_the_whole(dataset, features):
    whole, part = (by_name(in_memory(dataset, "train", features, sample)[0]) for sample in (0, 2000))
    for name, within in (("token_count", 1.5), ("letter_share", 0.02), ("is_truncated", 0.01)):
        assert abs(whole[name].num_stats.mean - part[name].num_stats.mean) < within


def test_labels_of_several_and_pairs_have_statistics_too(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = write_dataset(
        tmp_path / "d", {name: [("a", "x")] * 3 for name in ("train", "validation", "test")}, ["x", "y"]
    )
    columns = {"text": ["one", "two"], "text_pair": ["three", "four"], "label": [["x", "y"], []]}
    pq.write_table(pa.table(columns), folder / "train/part-00000.parquet")
    Manifest.read(folder).model_copy(update={"task": "multi_label", "pairs": True}).write(folder)
    statistics, scan = in_memory(folder, "train", TextFeatures(None, 128, Checks(), pairs=True), 0)
    found = by_name(statistics)
    assert found["text_pair"].string_stats.common_stats.num_non_missing == 2
    assert found["label"].string_stats.common_stats.max_num_values == 2
    assert found["token_count"].num_stats.mean == 2
    assert {name for name in scan.examples if name.startswith("label:")} == {"label:x\x1fy", "label:"}
