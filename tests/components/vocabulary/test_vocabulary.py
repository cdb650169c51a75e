"""The vocabulary of a new encoder, learned from real messages."""

import json
import random
from pathlib import Path

import pytest
import tensorflow as tf
import tensorflow_text as tf_text

from berth.data import corpus
from berth.encoders import loading
from berth.encoders.builtin.tokenisation import SPECIAL_TOKENS
from berth.encoders.preprocessor import Preprocessor
from berth.errors import BerthError
from berth.pretraining.settings import NewEncoder
from components.pretrain import origin
from components.vocabulary import learning
from components.vocabulary.learning import count_words, learn
from components.vocabulary.step import make_vocabulary
from tests.support.datasets import MESSAGES, component_body

SIZE = 1_000


@pytest.fixture(scope="module")
def texts():
    lines = MESSAGES.read_text(encoding="utf-8").splitlines()
    return [line.split("\t", 1)[1] for line in lines]


@pytest.fixture(scope="module")
def messages(texts, tmp_path_factory):
    """A corpus of 600 messages."""
    folder = tmp_path_factory.mktemp("corpus")
    corpus.write(folder, {"train": ([text] for text in texts[:600])})
    return folder


@pytest.fixture(scope="module")
def made(messages, tmp_path_factory):
    """A vocabulary and its preprocessor, made once: the SavedModel takes seconds."""
    folder = tmp_path_factory.mktemp("vocabulary")
    return make_vocabulary(messages, folder, NewEncoder(vocabulary=SIZE)), folder


@pytest.fixture
def unsaved(monkeypatch):
    """Writing the preprocessor takes seconds: only its vocabulary is."""

    def save(path, folder, cased):
        (folder / "assets").mkdir(parents=True)
        (folder / "assets/vocab.txt").write_bytes(path.read_bytes())

    monkeypatch.setattr("berth.encoders.builtin.bert.save_preprocessor", save)


def test_vocabulary_has_the_size_and_the_special_tokens(made):
    facts, folder = made
    pieces = (folder / "preprocessor/assets/vocab.txt").read_text(encoding="utf-8").splitlines()
    assert tuple(pieces[:5]) == SPECIAL_TOKENS
    assert 0.9 * SIZE < len(pieces) == len(set(pieces)) == facts.size <= SIZE
    assert {"the", "you", "##s", "q", "##q"} <= set(pieces)
    assert json.loads((folder / "manifest.json").read_text())["made"] is True


def test_preprocessor_gives_the_learners_tokens(made, texts):
    """On 10,000 strings: all messages, and random mixtures of their characters with others."""
    _, folder = made
    rng = random.Random(0)
    characters = sorted(
        {character for text in texts for character in text} | set("ÄÉßçñøŁжЖλ中文かナ한글שלם ‍😀\u0301\t")
    )
    mixed = ["".join(rng.choices(characters, k=rng.randint(0, 60))) for _ in range(10_000 - len(texts))]
    strings = tf.constant([*texts, *mixed])
    pieces = (folder / "preprocessor/assets/vocab.txt").read_text(encoding="utf-8").splitlines()
    table = tf.lookup.KeyValueTensorInitializer(pieces, range(len(pieces)), value_dtype=tf.int64)
    reference = tf_text.BertTokenizer(
        tf.lookup.StaticVocabularyTable(table, 1), lower_case=True, token_out_type=tf.int32
    )
    expected = reference.tokenize(strings).merge_dims(1, 2).to_list()
    loaded = loading.load("preprocessor", str(folder / "preprocessor"), "made")
    assert Preprocessor(loaded, 5_000, "made").tokenize(strings).to_list() == expected


def test_cased_preprocessor_keeps_upper_case_and_accents(messages, tmp_path):
    """Takes seconds: a SavedModel of its own is written, since what it does is what counts."""
    make_vocabulary(messages, tmp_path, NewEncoder(vocabulary=400, cased=True))
    pieces = (tmp_path / "preprocessor/assets/vocab.txt").read_text(encoding="utf-8").splitlines()
    assert {"A", "a", "##B"} <= set(pieces)
    loaded = loading.load("preprocessor", str(tmp_path / "preprocessor"), "made")
    upper, lower = Preprocessor(loaded, 128, "made").tokenize(tf.constant(["A", "a"])).to_list()
    assert [upper, lower] == [[pieces.index("A")], [pieces.index("a")]]


def test_same_words_give_the_same_pieces(texts):
    documents = [[text] for text in texts[:300]]
    ways = [learn(count_words(order, cased=False).words, 300) for order in (documents, documents[::-1])]
    assert ways[0] == ways[1]


def test_words_in_memory_are_bounded(monkeypatch, texts):
    """Rare words are forgotten, and only a sample of a large corpus is counted."""
    monkeypatch.setattr(learning, "_MOST_WORDS", 100)
    monkeypatch.setattr(learning, "_BATCH_CHARACTERS", 1_000)
    monkeypatch.setattr(learning, "MOST_CHARACTERS", 20_000)
    counted = count_words(([text] for text in texts), cased=False)
    assert 20_000 <= counted.characters < 22_000
    assert len(counted.words) <= 100
    assert {"you", "to"} <= set(counted.words)


def test_alphabet_takes_half_of_the_vocabulary_at_most():
    words = {chr(0x4E00 + number): 2_000 - number for number in range(1_000)}
    assert len(learn(words | {"and": 3_000}, 400)) <= 400


def test_few_words_give_fewer_pieces_and_a_warning(unsaved, tmp_path, capsys):
    corpus.write(tmp_path / "corpus", {"train": [["a few words", "a few more"]]})
    facts = make_vocabulary(tmp_path / "corpus", tmp_path / "vocabulary", NewEncoder(vocabulary=30_000))
    assert facts.size < 100
    assert "fewer than the 30,000 that are asked for" in capsys.readouterr().out


def test_encoder_with_a_name_needs_no_vocabulary(messages, artifact, store):
    made = artifact("vocabulary")
    read = artifact("corpus", messages)
    component_body("vocabulary", "vocabulary")(corpus=read, new_encoder={}, vocabulary=made)
    assert made.metadata["summary"] == "the encoder has its own"
    assert json.loads(Path(made.path, "manifest.json").read_text())["made"] is False


def test_component_logs_the_vocabulary(unsaved, messages, artifact, store):
    from berth.tracking import run_tree

    made = artifact("vocabulary")
    settings = {"vocabulary": 300.0, "preset": "tiny"}
    component_body("vocabulary", "vocabulary")(
        corpus=artifact("corpus", messages), new_encoder=settings, vocabulary=made
    )
    run = run_tree.children(store.client, store.parent)[-1]
    assert 200 < run.data.metrics["word_pieces"] <= 300
    assert store.client.list_artifacts(run.info.run_id)[0].path == "vocab.txt"


def test_new_encoder_begins_with_its_vocabulary(made, tmp_path):
    _, folder = made
    shape = NewEncoder.model_validate({"layers": 1, "hidden": 16, "heads": 2})
    begun = origin.begin("", shape, "", folder, tmp_path, seed=0)
    assert begun.name == "new: layers 1, hidden 16, heads 2, intermediate 64, vocabulary 30000"
    assert begun.preprocessor == str(folder / "preprocessor")
    assert (tmp_path / "encoder" / "saved_model.pb").is_file()


def test_corpus_without_words_leaves_no_vocabulary(tmp_path):
    corpus.write(tmp_path / "corpus", {"train": [[" "]]})
    with pytest.raises(BerthError, match="the corpus has no words to learn a vocabulary from"):
        make_vocabulary(tmp_path / "corpus", tmp_path / "vocabulary", NewEncoder(vocabulary=100))
    assert not (tmp_path / "vocabulary").exists()
