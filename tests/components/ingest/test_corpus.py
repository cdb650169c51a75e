"""A corpus for pre-training, from real messages and from small files with something wrong in them."""

import gzip

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from berth.data.corpus import Corpus
from berth.data.dataset import Manifest
from berth.errors import BerthError
from components.ingest import database
from components.ingest.corpus import exclusion, parts
from components.ingest.corpus.sentences import sentences
from components.ingest.corpus.step import ingest_documents, notes_on
from components.ingest.settings import CorpusSettings
from components.ingest.sources.source import fingerprint
from tests.components.ingest.conftest import MESSAGES
from tests.support.datasets import component_body, write_dataset

SHIPS = "The {} ship left the harbour at dawn. Her captain, Mr. Smith, had waited {} days! Was it worth it?"
DOCUMENTS = [SHIPS.format(name, number) for number, name in enumerate(f"{a}{b}" for a in "abcdefghij" for b in "klmno")]


@pytest.fixture
def ingest(tmp_path):
    """Return a function that ingests a source and returns the corpus and the rejected documents."""

    def ingest(source, name="corpus", **settings):
        rejected = tmp_path / f"{name}-rejected"
        parameters = {"source": {"files": str(source)}, "cleaning": {"near_duplicates": 0}} | settings
        settings = CorpusSettings.of(**parameters)
        fingerprint(settings)
        manifest = ingest_documents(settings, tmp_path / name, rejected)
        corpus = Corpus(tmp_path / name)
        assert corpus.manifest == manifest
        return corpus, pq.read_table(rejected).to_pylist()

    return ingest


def texts(corpus):
    return {" ".join(document) for split in ("train", "held_out") for document in corpus.documents(split)}


def files_of(folder, contents):
    folder.mkdir()
    for number, content in enumerate(contents):
        (folder / f"{number:03}.txt").write_text(content, encoding="utf-8")
    return folder


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Mr. Smith met Dr. Jones at 3 p.m. on Friday. It cost $3.50. Why?", 3),
        ('"Really," he said. "Yes." (Why?) Because.', 4),
        ("J. K. Rowling came on 3. Oktober 1990. The U.N. met… Then left...", 3),
        ("これは文です。次の文です\uff01本当ですか\uff1f「はい。」そう。", 5),
        ("नमस्ते। आप कैसे हैं? ठीक।", 3),
        ("هل هذا صحيح؟ نعم.", 2),
        ("¿Qué? ¡No!\u00a0Sí.", 3),
        ("A heading\n\nA line\nthat goes on. Another.\r\n\r\nThe end", 4),
        ("no capital. e.g. lower case", 1),
        (" \n ", 0),
    ],
)
def test_text_is_split_into_sentences(text, expected):
    ((found,),) = duckdb.execute(f"SELECT {sentences('$1::VARCHAR')}", [text]).fetchall()
    assert len(found) == expected, found
    assert "".join("".join(found).split()) == "".join(text.split())


def test_text_without_stops_is_cut_where_it_is_long():
    """No encoder takes a sentence of 3,000 characters, and what it cuts is lost."""
    for text in ("word " * 600, "x" * 3_000, "\u4e2d" * 3_000):
        ((found,),) = duckdb.execute(f"SELECT {sentences('$1::VARCHAR')}", [text]).fetchall()
        assert max(map(len, found)) <= 1_000
        assert "".join("".join(found).split()) == "".join(text.split())


def test_real_messages_become_a_corpus(ingest):
    corpus, rejected = ingest(MESSAGES, columns=["label", "text"], cleaning={"near_duplicates": 0.9}, held_out=0.1)
    manifest = corpus.manifest
    assert manifest.read == 5574
    assert manifest.dropped["duplicate"] > 400
    assert manifest.dropped["near-duplicate"] > 50
    assert corpus.count("train") + corpus.count("held_out") == 5574 - sum(manifest.dropped.values())
    assert 0.07 < corpus.count("held_out") / 5000 < 0.13
    assert len(rejected) >= sum(manifest.dropped.values())
    assert notes_on(manifest)[-1].startswith("held_out: ")


def test_corpus_does_not_depend_on_the_order_of_the_source(ingest, tmp_path, monkeypatch):
    """Nor on the parts in which texts are split into sentences, at the same time."""
    digests = set()
    for name, rows in (("a", DOCUMENTS), ("b", DOCUMENTS[::-1])):
        (tmp_path / f"{name}.jsonl").write_text("".join(f'{{"text": "{row}"}}\n' for row in rows))
        corpus, _ = ingest(tmp_path / f"{name}.jsonl", name)
        monkeypatch.setattr(parts, "CHARACTERS", 250)
        digests.add(corpus.manifest.digest)
        assert texts(corpus) == set(DOCUMENTS)
    assert len(digests) == 1
    assert corpus.count("held_out") >= 2
    assert len(next(corpus.documents("train"))) == 3


@pytest.mark.parametrize("documents", ["file", "blank_line"])
def test_text_files_become_documents(ingest, tmp_path, documents):
    folder = files_of(
        tmp_path / "texts", ["\n\n".join(DOCUMENTS[:20]), "\r\n \r\n".join(DOCUMENTS[20:]), "", "The End."]
    )
    (folder / "packed.txt.gz").write_bytes(gzip.compress("Grüße aus Köln.".encode("latin-1")))
    corpus, _ = ingest(folder, documents=documents)
    assert "Grüße aus Köln." in texts(corpus)
    assert sum(corpus.manifest.documents.values()) == (4 if documents == "file" else 52)
    assert corpus.manifest.dropped == ({"empty text": 1} if documents == "file" else {})
    assert len(corpus.manifest.sources) == 5
    assert any("not UTF-8; read as cp1252" in note for note in corpus.manifest.notes)


def test_near_duplicate_of_any_earlier_document_is_dropped(ingest, tmp_path):
    long = " ".join(DOCUMENTS[:5])
    copies = [long, f"{long} Yes.", f"{long} No.", *DOCUMENTS[10:20]]
    (tmp_path / "a.jsonl").write_text("".join(f'{{"text": "{row}"}}\n' for row in copies))
    corpus, _ = ingest(tmp_path / "a.jsonl", cleaning={"near_duplicates": 0.9})
    assert corpus.manifest.dropped == {"near-duplicate": 2}
    assert long in texts(corpus)


def test_test_texts_of_a_dataset_are_left_out(ingest, tmp_path):
    """As a document, and as a sentence, line or paragraph of one; two words of a longer document are not one."""
    tested = [DOCUMENTS[0].upper(), "Was  it worth waiting so long?", "Thank you."]
    dataset = write_dataset(
        tmp_path / "dataset",
        {"train": [("x", "a")], "validation": [("y", "b")], "test": [(t, "a") for t in tested]},
        ["a", "b"],
    )
    before = exclusion.fingerprint([str(dataset)])
    inside = "It came late. Was it worth waiting so long? Yes."
    folder = files_of(tmp_path / "texts", [*DOCUMENTS, inside, "He said it. Thank you."])
    for named in (dataset, dataset / "manifest.json"):
        corpus, rejected = ingest(folder, name=named.name + "-corpus", documents="file", exclude=[str(named)])
        assert corpus.manifest.excluded == {str(named): 2}
        assert texts(corpus) == {*DOCUMENTS[1:], "He said it. Thank you."}
        assert {row["reason"] for row in rejected} == {f"text of a test split: {named}"}
    (dataset / "test/part-00000.parquet").rename(dataset / "test/part-00001.parquet")
    pq.write_table(pa.table({"text": ["more"]}), dataset / "test/part-00000.parquet")
    assert exclusion.fingerprint([str(dataset)]) != before
    assert exclusion.fingerprint([]) == ""


def test_near_duplicates_of_test_texts_are_left_out(ingest, tmp_path):
    """As a document and inside one; a text that shares some words with a test text stays."""
    tested = " ".join(f"word{number}" for number in range(40))
    near = tested.replace("word7 ", "another, ").upper()
    rows = {"train": [("x", "a")], "validation": [("y", "b")], "test": [(tested, "a"), ("Thank you.", "b")]}
    dataset = str(write_dataset(tmp_path / "dataset", rows, ["a", "b"]))
    far = tested.replace("word7", "x").replace("word17", "y").replace("word27", "z")
    folder = files_of(tmp_path / "texts", [*DOCUMENTS, tested, near, f"It began.\n\n{near}\n\nIt ended.", far])
    cleaning = {"near_duplicates": 0.9, "keep_near_duplicates": True}
    corpus, rejected = ingest(folder, documents="file", exclude=[dataset], cleaning=cleaning)
    assert corpus.manifest.excluded == {dataset: 1}
    assert corpus.manifest.excluded_near_duplicates == {dataset: 2}
    assert corpus.manifest.dropped == {}
    assert texts(corpus) == {*DOCUMENTS, far}
    assert f"near-duplicate of a test text: {dataset}" in {row["reason"] for row in rejected}


def test_test_texts_of_a_registered_model_are_left_out(ingest, steps, tmp_path, store):
    import mlflow

    from berth.tracking import tags

    dataset, _ = steps(source={"files": str(MESSAGES)}, columns=["label", "text"])
    tested = pq.read_table(f"{dataset.path}/test")["text"].to_pylist()
    name = "spam-of-corpus-test"
    store.client.create_registered_model(name)
    store.client.create_model_version(name, "file:///nowhere", tags={})
    with pytest.raises(BerthError, match="has not kept which texts it was tested on"):
        ingest(MESSAGES, columns=["label", "text"], exclude=[name])
    before = exclusion.fingerprint([name])
    store.client.create_model_version(name, "file:///nowhere", tags={tags.PIPELINE_RUN: store.parent})
    assert (
        exclusion.fingerprint([name]) != before
    )  # the cache must not serve a corpus with the new version's test texts
    corpus, _ = ingest(MESSAGES, columns=["label", "text"], exclude=[name])
    assert corpus.manifest.excluded[name] >= len(tested)
    assert not texts(corpus) & {" ".join(text.split()) for text in tested}
    assert mlflow.active_run() is None


def test_name_that_has_no_test_texts_is_one_line(store):
    with pytest.raises(BerthError, match=r"^exclude: no model 'nothing' is registered\."):
        exclusion.fingerprint(["nothing"])
    store.client.create_registered_model("town-of-corpus-test")
    store.client.create_model_version("town-of-corpus-test", "file:///nowhere", tags={"berth.kind": "encoder"})
    with pytest.raises(BerthError, match=r"^exclude: town-of-corpus-test is an encoder, which has no test texts\."):
        exclusion.fingerprint(["town-of-corpus-test"])


def test_near_duplicates_of_a_models_test_texts_are_left_out(ingest, steps, tmp_path, store):
    """They are read from the dataset of its run; where that has gone or is another by now, a note says so."""
    from berth.tracking import tags

    dataset, _ = steps(source={"files": str(MESSAGES)}, columns=["label", "text"])
    tested = max(pq.read_table(f"{dataset.path}/test")["text"].to_pylist(), key=lambda text: len(text.split()))
    name, made = "spam-of-near-test", {tags.FINGERPRINT: dataset.metadata["fingerprint"]}
    store.client.create_registered_model(name)
    store.client.create_model_version(name, "file:///nowhere", tags=made | {tags.PIPELINE_RUN: store.parent})
    folder = files_of(tmp_path / "texts", [*DOCUMENTS, f"{tested} indeed"])
    cleaning = {"near_duplicates": 0.9, "keep_near_duplicates": True}
    corpus, _ = ingest(folder, documents="file", exclude=[name], cleaning=cleaning)
    assert corpus.manifest.excluded_near_duplicates == {name: 1}
    assert not any("not looked for" in note for note in corpus.manifest.notes)
    manifest = Manifest.read(dataset.path)
    manifest.model_copy(update={"fingerprint": "of another"}).write(dataset.path)
    corpus, _ = ingest(folder, name="second", documents="file", exclude=[name], cleaning=cleaning)
    assert corpus.manifest.excluded_near_duplicates == {}
    assert f"near-duplicates of the test texts of {name} version 1 were not looked for" in str(corpus.manifest.notes)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"text_column": "label"}, "text_column: 'label' has 2 different values in 200 rows, as labels have"),
        ({"documents": "file"}, "its name says that it is a table. Set documents: row"),
        ({"exclude": ["nowhere/at/all"]}, "exclude: no folder 'nowhere/at/all'"),
        ({"source": {"train": "a.csv", "test": "b.csv"}}, "a corpus has no splits of its own"),
        ({"source": {"sql": "SELECT 1 AS text"}, "documents": "file"}, "documents: file is for text files"),
    ],
)
def test_bad_corpus_is_refused_in_one_line(tmp_path, settings, message):
    rows = "".join(f"{document},{'ab'[number % 2]}\n" for number, document in enumerate(DOCUMENTS * 4))
    (tmp_path / "a.csv").write_text("text,label\n" + rows.replace(", ", " "))
    parameters = {"source": {"files": str(tmp_path / "a.csv")}} | settings
    with pytest.raises(BerthError, match=message):
        ingest_documents(CorpusSettings.of(**parameters), tmp_path / "corpus", tmp_path / "rejected")
    assert not (tmp_path / "corpus").exists()


def test_too_few_held_out_documents_for_must_improve_are_said(ingest, tmp_path):
    corpus, _ = ingest(files_of(tmp_path / "texts", DOCUMENTS), documents="file")
    assert "measured on them is rough, and must_improve needs 20. Raise held_out" in str(notes_on(corpus.manifest))


def test_three_documents_are_no_corpus(ingest, tmp_path):
    folder = files_of(tmp_path / "texts", [*DOCUMENTS[:3], "", DOCUMENTS[0]])
    with pytest.raises(BerthError, match=r"too few documents \(3 usable, 1 duplicate, 1 empty text\)"):
        ingest(folder, documents="file")


def of_text_files(folder):
    """Return what locate and ingest_corpus both get of text files."""
    return {"source": {"files": str(folder)}, "columns": [], "encoding": "", "text_column": "text", "documents": "file"}


def of_run(folder, **changes):
    """Return what locate alone gets."""
    unused = {"text_pair_column": "", "label_column": "", "split": {}, "slice_columns": []}
    facts = {"pipeline_run_id": "p", "git_commit": "", "config_file": "c.yaml", "name": "n", "kfp_ui": ""}
    encoder = {"encoder": "minilm", "preprocessor": "", "encoder_fingerprint": str(folder / "encoder")}
    return unused | facts | encoder | changes


@pytest.mark.parametrize(("has", "wanted", "is_one"), [("", "encoder", "a classifier"), ("encoder", "", "an encoder")])
def test_name_of_another_kind_of_model_is_refused_first(store, tmp_path, has, wanted, is_one):
    """push refuses it, too, but hours later."""
    from berth.tracking import tags

    name = f"taken-by-{has or 'classifier'}"
    store.client.create_registered_model(name)
    store.client.create_model_version(name, "file:///nowhere", tags={tags.KIND: has} if has else {})
    data = of_text_files(files_of(tmp_path / "texts", DOCUMENTS)) | of_run(tmp_path, model_name=name, model_kind=wanted)
    with pytest.raises(BerthError, match=f"model_name: {name} is registered, and is {is_one}. Choose another"):
        component_body("ingest", "locate")(**data)


def test_large_corpus_is_on_the_disk_and_the_same(ingest, monkeypatch):
    """Where the source is large against memory_limit, DuckDB's rows are in a file that leaves memory."""
    opened = []
    connect = duckdb.connect
    monkeypatch.setattr(duckdb, "connect", lambda path, **more: opened.append(str(path)) or connect(path, **more))
    small, _ = ingest(MESSAGES, "small", columns=["label", "text"], cleaning={"near_duplicates": 0.9})
    monkeypatch.setattr(database, "_PARTS", 1e6)
    large, _ = ingest(MESSAGES, "large", columns=["label", "text"], cleaning={"near_duplicates": 0.9})
    assert [path.rpartition("/")[2] for path in opened] == [":memory:", "rows.duckdb"]
    assert large.manifest.digest == small.manifest.digest


def test_component_logs_what_the_corpus_holds(store, artifact, tmp_path):
    from berth.tracking import run_tree

    folder = files_of(tmp_path / "texts", DOCUMENTS)
    data = of_text_files(folder)
    data["source_fingerprint"] = component_body("ingest", "locate")(**data, **of_run(tmp_path))
    data |= {"exclude": [], "held_out": 0.02, "cleaning": {"near_duplicates": 0.9}, "memory": "1GB"}
    corpus = artifact("corpus")
    component_body("ingest", "ingest_corpus")(**data, corpus=corpus, rejected=artifact("rejected"))
    run = run_tree.children(store.client, store.parent)[-1]
    assert run.data.metrics["documents_read"] == 50
    assert {one.dataset.name for one in run.inputs.dataset_inputs} == {"train split", "held_out split"}
    assert corpus.metadata["fingerprint"] == Corpus(corpus.path).manifest.digest
    assert corpus.metadata["summary"].endswith("characters")
