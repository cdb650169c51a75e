"""The probe's labelled texts: any source that ingest takes."""

import pytest

from berth.data.dataset import SPLITS, Manifest, read_split
from berth.errors import BerthError
from tests.components.ingest.conftest import ROWS, write
from tests.support.datasets import component_body


@pytest.fixture
def ingest_probe(store, artifact):
    """Return a function that calls the component and returns its dataset."""

    def ingest_probe(**probe):
        labelled = artifact("labelled")
        options = {"cleaning": {"near_duplicates": 0.0}, "memory": "1GB"}
        component_body("ingest", "ingest_probe")(
            **options, probe=probe, labelled=labelled, rejected=artifact("rejected")
        )
        return labelled

    return ingest_probe


def test_probe_reads_a_query(ingest_probe, tmp_path):
    file = write(tmp_path / "rows.csv")
    query = f"SELECT text AS words, upper(label) AS kind FROM '{file}'"
    labelled = ingest_probe(source={"sql": query}, text_column="words", label_column="kind")
    found = [row for split in SPLITS for row in zip(*read_split(labelled.path, split), strict=True)]
    assert sorted(found) == sorted((text, label.upper()) for text, label in ROWS)
    assert labelled.metadata["summary"] == "200 texts of 2 labels, 0 rejected"


def test_probe_keeps_no_more_than_its_draws_need(ingest_probe, tmp_path, store):
    labelled = ingest_probe(source={"files": str(write(tmp_path / "rows.csv"))}, sizes=[10], seeds=2, test=20)
    assert sum(Manifest.read(labelled.path).rows.values()) == 60
    params = store.client.get_run(store.parent).data.params
    assert (params["probe.sizes"], params["probe.source"]) == ("[10]", str(tmp_path / "rows.csv"))
    assert "probe.split_train" not in params


def test_bad_probe_source_is_one_line_and_leaves_nothing(ingest_probe, tmp_path):
    file = write(tmp_path / "rows.csv")
    with pytest.raises(BerthError, match=r"^probe: .*'kind'") as caught:
        ingest_probe(source={"files": str(file)}, label_column="kind")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "outputs" / "labelled").exists()


def test_without_a_probe_there_is_nothing_to_read(ingest_probe, tmp_path):
    labelled = ingest_probe()
    assert labelled.metadata["summary"] == "no probe is asked for"
    assert not list((tmp_path / "outputs" / "labelled").iterdir())
