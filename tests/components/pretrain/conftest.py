"""A small corpus, and an encoder that was pre-trained on it."""

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from berth.data import corpus as corpora
from tests.support.once import once
from tests.support.tiny_bert import MESSAGES


def documents() -> list[list[str]]:
    """Return the text messages, as sentences."""
    lines = MESSAGES.read_text(encoding="utf-8").splitlines()
    texts = [line.split("\t", 1)[1].replace("!", ".").replace("?", ".") for line in lines]
    split = [[sentence for sentence in text.split(". ") if sentence.strip(" .")] for text in texts]
    return [own for own in split if len(own) > 2]


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """The folder of a corpus of 300 documents."""

    def build(folder: Path) -> str:
        own = documents()
        corpora.write(folder, {"train": own[:260], "held_out": own[260:300]})
        return str(folder)

    return Path(once(tmp_path_factory, "corpus", build))


@pytest.fixture(scope="session")
def no_vocabulary(tmp_path_factory) -> Path:
    """What the vocabulary step writes where the encoder has a vocabulary."""
    folder = tmp_path_factory.mktemp("vocabulary")
    (folder / "manifest.json").write_text(json.dumps({"made": False}), encoding="utf-8")
    return folder


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory, corpus, no_vocabulary, tiny) -> SimpleNamespace:
    """The folders `encoder` and `before` of the tiny BERT after a pre-training on the corpus, and its `outcome`.

    Seconds go into loading and compiling the encoder for heads, all weights, evaluation and export; steps take few.
    """
    from berth.pretraining.settings import Pretraining
    from components.pretrain.step import pretrain_encoder

    folder = tmp_path_factory.mktemp("pretrained")
    settings = Pretraining.model_validate(SETTINGS)
    made = folder / "encoder", folder / "before"
    outcome = pretrain_encoder(
        corpus,
        no_vocabulary,
        *made,
        encoder=tiny.encoder,
        new_encoder=None,
        preprocessor=tiny.preprocessor,
        settings=settings,
    )
    return SimpleNamespace(encoder=made[0], before=made[1], outcome=outcome)


SETTINGS = {
    "steps": 24,
    "batch_size": 32,
    "learning_rate": 2e-3,
    "sequence_lengths": [32],
    "head_steps": 4,
    "evaluations": 2,
    "precision": "float32",
}
