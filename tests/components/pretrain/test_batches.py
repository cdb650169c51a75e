"""Rows and batches of pre-training: rounds of an endless stream, packed as the preprocessor does, masked by place."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from berth.encoders import loading
from berth.pretraining import examples
from berth.pretraining.batches import Masker
from berth.pretraining.settings import Pretraining
from berth.pretraining.special_tokens import SpecialTokens, special_tokens
from berth.pretraining.token_store import TokenStore
from components.pretrain.rounds import Rounds


@pytest.fixture(scope="module")
def preprocessor(tiny):
    return loading.load("preprocessor", tiny.preprocessor, "tiny")


@pytest.fixture(scope="module")
def tokens(preprocessor, tiny) -> SpecialTokens:
    return special_tokens(preprocessor, tiny.preprocessor, "tiny")


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> TokenStore:
    """40 documents of 1 to 8 sentences of 1 to 12 tokens."""
    rng = np.random.default_rng(0)
    documents = [[rng.integers(5, 600, rng.integers(1, 13)) for _ in range(rng.integers(1, 9))] for _ in range(40)]
    return TokenStore.write(tmp_path_factory.mktemp("store") / "store", documents)


def settings(**changes) -> Pretraining:
    own = {"sequence_lengths": [32], "evaluations": 3, "epochs": 2.5} | changes
    return Pretraining.model_validate(own if "batch_size" in own else {"batch_tokens": 256} | own)


def rounds_of(store, tokens, **changes) -> Rounds:
    return Rounds(store, settings(**changes), tokens.end)


def test_round_is_the_same_however_it_is_reached(store, tokens):
    """A resumed run begins in the middle: it has the rows of one that came there step by step."""
    stepwise = rounds_of(store, tokens)
    for number in range(1, len(stepwise.rounds) + 1):
        at_once, own = rounds_of(store, tokens).rows(number), stepwise.rows(number)
        assert (own.first.values == at_once.first.values).all()
        assert (own.places == at_once.places).all()


def test_rounds_go_on_from_one_pass_over_the_corpus_to_the_next(store, tokens):
    rounds = rounds_of(store, tokens)
    places = np.concatenate([rounds.rows(number + 1).places for number in range(3)])
    assert set(places[:, 0]) == {0, 1, 2}
    assert len(np.unique(places, axis=0)) == len(places) == sum(own.rows for own in rounds.rounds)


def test_each_length_gets_its_share_of_the_tokens(store, tokens):
    rounds = rounds_of(store, tokens, steps=100, batch_size=8, sequence_lengths=[32, 64], shares=[0.75, 0.25]).rounds
    rows = {length: sum(own.rows for own in rounds if own.length == length) for length in (32, 64)}
    assert rows == {32: 600, 64: 100}


def test_more_evaluations_than_steps_make_no_more_steps(store, tokens):
    rounds = rounds_of(store, tokens, steps=2, evaluations=10, batch_size=8).rounds
    assert [own.rows for own in rounds] == [8, 8]
    assert len(rounds_of(store, tokens, epochs=0.1, evaluations=10, batch_size=64).rounds) == 1


def test_short_rows_take_as_many_steps_as_were_asked_for(store, tokens):
    """A batch of 256 tokens has the more rows, the shorter they are."""
    rounds = rounds_of(store, tokens, steps=50, batch_size=0, batch_tokens=256, sequence_lengths=[128])
    widths = np.concatenate([rounds.rows(number + 1).widths() for number in range(len(rounds.rounds))])
    assert widths.mean() < 64
    assert widths.sum() == pytest.approx(50 * 256, rel=0.1)


@pytest.mark.parametrize("nsp", [True, False])
def test_rows_are_packed_as_the_preprocessor_packs_them(store, tokens, preprocessor, nsp):
    rows = rounds_of(store, tokens, nsp=nsp).rows(1)
    masker = Masker(settings(nsp=nsp), tokens)
    numbers = np.arange(6)
    batch = masker.batch(rows, numbers)
    segments = [rows.first, rows.second] if nsp else [rows.first]
    ragged = [tf.RaggedTensor.from_row_splits(*vars(own.subset(numbers)).values()) for own in segments]
    packed = preprocessor.bert_pack_inputs(ragged, seq_length=batch.ids.shape[1])
    unmasked = batch.ids.copy()
    unmasked.ravel()[batch.positions] = batch.labels
    np.testing.assert_array_equal(unmasked, packed["input_word_ids"])
    np.testing.assert_array_equal(batch.mask, packed["input_mask"])
    np.testing.assert_array_equal(batch.types, packed["input_type_ids"])
    assert not np.isin(batch.labels, np.flatnonzero(tokens.is_special)).any()


def test_masks_of_a_row_do_not_depend_on_its_batch(store, tokens):
    """They depend on its epoch, and so change from one to the next."""
    rows = rounds_of(store, tokens).rows(1)
    masker = Masker(settings(), tokens)
    alone, together = masker.batch(rows, [3]), masker.batch(rows, [7, 3])
    width = int(rows.widths()[3])
    assert (alone.ids[0] == together.ids[1, :width]).all()
    later = SimpleNamespace(**{**vars(rows), "places": np.add(rows.places, [1, 0])})
    assert (masker.batch(later, [3]).ids != alone.ids).any()


def test_lengths_are_rounded_up_where_a_gpu_trains(store, tokens):
    rows = rounds_of(store, tokens).rows(1)
    shortest = [int(rows.widths().argmin())]
    plain, rounded = (Masker(settings(), tokens, multiple).batch(rows, shortest) for multiple in (1, 12))
    assert (rounded.ids.shape[1], plain.ids.shape[1]) == (12, int(rows.widths().min()))
    assert rounded.mask.sum() == plain.mask.sum()
    full = Masker(settings(), tokens, 12).batch(rows, [int(rows.widths().argmax())])
    assert full.ids.shape[1] == 32


def test_whole_words_are_masked_with_all_their_pieces(store, tokens):
    rows = rounds_of(store, tokens).rows(1)
    batch = Masker(settings(whole_words=True), tokens).batch(rows, np.arange(20))
    predicted = np.zeros(batch.ids.size, bool)
    predicted[batch.positions] = True
    unmasked = batch.ids.ravel().copy()
    unmasked[batch.positions] = batch.labels
    continued = np.flatnonzero(~tokens.begins_word[unmasked] & ~tokens.is_special[unmasked])
    inside = continued[~tokens.is_special[unmasked[continued - 1]]]
    assert len(inside)
    assert (predicted[inside] == predicted[inside - 1]).all()


def test_examples_fit_encoders_of_few_positions(tokens, tmp_path):
    words = [place for place, piece in enumerate(tokens.pieces) if piece.isalpha()][:40]
    store = TokenStore.write(tmp_path / "store", [[words[:length]] for length in (8, 20, 40)])
    assert [len(own.row) for own in examples.blanks(store, tokens, 22)] in ([10, 22], [22, 10])
    assert len(examples.blanks(store, tokens, 128)) == 3
