"""Checks of a tokenised corpus before anything is trained on it."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from berth.data import corpus
from berth.errors import BerthError
from berth.pretraining.settings import Pretraining
from berth.pretraining.token_store import TokenStore
from components.pretrain.corpus_checks import check, check_positions

UNKNOWN = 7


@pytest.mark.parametrize(("unknown", "outcome"), [(0, "fits"), (2, "warned"), (8, "refused")])
def test_share_of_unknown_tokens_and_the_script_are_said(tmp_path, unknown, outcome):
    sentences = ["Она ушла.", "Он остался."]
    corpus.write(tmp_path / "corpus", {"train": [sentences] * 10, "held_out": [sentences] * 2})
    ids = [UNKNOWN] * unknown + [9] * (10 - unknown)
    stores = {split: TokenStore.write(tmp_path / split, [[ids, ids]] * 10) for split in corpus.SPLITS}
    settings, tokens = Pretraining(batch_size=8), SimpleNamespace(unknown=UNKNOWN)

    def said():
        return check(corpus.Corpus(tmp_path / "corpus"), stores, settings, tokens)

    if outcome == "refused":
        with pytest.raises(BerthError, match=r"80% of the corpus' tokens are \[UNK\].*script \(Cyrillic\)"):
            said()
    else:
        expected = [
            "20% of the corpus' tokens are [UNK]: the vocabulary lacks its script (Cyrillic) or characters of it"
        ]
        assert said() == (expected if outcome == "warned" else [])


@pytest.mark.parametrize(
    ("train", "held_out", "of_one_sentence", "said"),
    [
        (1, 2, 0, r"fewer than a batch has rows \(batch_size: 8\)"),
        (40, 1, 0, "has 1 held-out documents"),
        (40, 2, 40, "40 of 40 documents have one sentence"),
    ],
)
def test_corpus_that_cannot_be_trained_on(tmp_path, train, held_out, of_one_sentence, said):
    manifest = SimpleNamespace(of_one_sentence=of_one_sentence, documents={"train": train})
    counts = {"train": train, "held_out": held_out}
    stores = {name: TokenStore.write(tmp_path / name, [[[9, 9], [9]]] * count) for name, count in counts.items()}
    with pytest.raises(BerthError, match=said):
        check(SimpleNamespace(manifest=manifest), stores, Pretraining(batch_size=8), SimpleNamespace(unknown=UNKNOWN))


def test_rows_longer_than_the_encoders_positions_are_one_line():
    table = tf.Variable(np.zeros((20, 4), np.float32), name="position_embeddings")
    encoder = SimpleNamespace(resolved_object=SimpleNamespace(variables=[table]))
    model, settings = SimpleNamespace(encoder=encoder, handle="bert"), Pretraining(sequence_lengths=[16, 32])
    with pytest.raises(BerthError, match="sequence_lengths: 32, and 'bert' has positions for 20 tokens"):
        check_positions(model, settings)
