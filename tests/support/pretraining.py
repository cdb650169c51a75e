"""A small corpus of real text messages, and the tiny BERT pre-trained on it."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.datasets import MESSAGES
from tests.support.once import once

SETTINGS: dict[str, Any] = {
    "steps": 24,
    "batch_size": 32,
    "learning_rate": 2e-3,
    "sequence_lengths": [32],
    "head_steps": 4,
    "evaluations": 2,
    "precision": "float32",
}


def documents() -> list[list[str]]:
    """Return the longer text messages, as sentences."""
    lines = MESSAGES.read_text(encoding="utf-8").splitlines()
    texts = [line.split("\t", 1)[1].replace("!", ".").replace("?", ".") for line in lines]
    split = [[sentence for sentence in text.split(". ") if sentence.strip(" .")] for text in texts]
    return [own for own in split if len(own) > 2]


def write_corpus(folder: Path, train: int = 260, held_out: int = 40) -> Path:
    """Write a corpus of so many documents to `folder`."""
    from berth.data import corpus

    own = documents()
    corpus.write(folder, {"train": own[:train], "held_out": own[train : train + held_out]})
    return folder


def no_vocabulary(folder: Path) -> Path:
    """Write to `folder` what the vocabulary step writes where the encoder has a vocabulary."""
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_text(json.dumps({"made": False}), encoding="utf-8")
    return folder


def pretrain(folder: Path, corpus: Path, tiny: SimpleNamespace, **changes: Any) -> None:
    """Pre-train the tiny BERT; `folder` gets encoder/, before/ and outcome.json."""
    from berth.pretraining.settings import Pretraining
    from components.pretrain.step import pretrain_encoder

    folder.mkdir(exist_ok=True)
    outcome = pretrain_encoder(
        corpus,
        no_vocabulary(folder / "vocabulary"),
        folder / "encoder",
        folder / "before",
        encoder=tiny.encoder,
        new_encoder=None,
        preprocessor=tiny.preprocessor,
        settings=Pretraining.model_validate(SETTINGS | changes.pop("settings", {})),
        **changes,
    )
    told = {"before": outcome.before.metrics(), "after": outcome.after.metrics(), "tokens": outcome.outcome.tokens}
    (folder / "outcome.json").write_text(json.dumps(told), encoding="utf-8")


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    """The folder of a corpus of 300 documents."""
    return once(tmp_path_factory, "corpus", write_corpus)


@pytest.fixture(scope="session")
def pretrained(tmp_path_factory, corpus, tiny) -> SimpleNamespace:
    """The folders `encoder` and `before` of a pre-training on the corpus, and its `outcome`.

    Seconds go into loading and compiling the encoder for heads, all weights, evaluation and export; steps take few.
    """
    folder = once(tmp_path_factory, "pretrained", lambda own: pretrain(own, corpus, tiny))
    outcome = SimpleNamespace(**json.loads((folder / "outcome.json").read_text(encoding="utf-8")))
    return SimpleNamespace(encoder=folder / "encoder", before=folder / "before", outcome=outcome)
