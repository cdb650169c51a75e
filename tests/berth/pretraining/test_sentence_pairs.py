"""Pairs of segments: neighbours of one document, or of two documents."""

import numpy as np
import pytest

from berth.errors import BerthError
from berth.pretraining.sentence_pairs import check_neighbours, instances
from berth.pretraining.token_store import TokenStore

LENGTH = 64


def documents(number=300, sentences=30, longest=12):
    """Documents whose token ids are all different, in the order of the text: 1000 * document + place."""
    rng = np.random.default_rng(0)
    made = []
    for document in range(number):
        ends = np.cumsum(rng.integers(1, longest, rng.integers(1, sentences)))
        made.append(np.split(np.arange(ends[-1], dtype=np.int32) + 1000 * document, ends[:-1]))
    return made


def pairs(texts, epoch=0, length=LENGTH, **changes):
    return list(instances(texts, sequence_length=length, seed=3, epoch=epoch, **{"nsp": True} | changes))


def test_half_of_the_pairs_are_neighbours():
    """Of chunks with two sentences or more; documents here are long, so nearly all are such."""
    texts = documents(200, 400)
    found = pairs(texts)
    neighbours = sum(pair.is_next for pair in found)
    single = sum(not pair.is_next and pair.width < 30 for pair in found)
    assert abs(neighbours - len(found) / 2) < 5 * (len(found) / 4) ** 0.5 + single


def test_neighbours_are_of_one_document_and_others_never():
    for pair in pairs(documents()):
        first, second = (set(part // 1000) for part in (pair.first, pair.second))
        assert len(first) == len(second) == 1
        assert first == {pair.document}
        assert (first == second) is pair.is_next
        for part in (pair.first, pair.second):
            assert (np.diff(part) == 1).all()
        if pair.is_next:
            assert pair.second[0] > pair.first[-1]


def test_uncut_neighbours_follow_each_other():
    gaps = {pair.second[0] - pair.first[-1] for pair in pairs(documents(longest=3)) if pair.is_next and pair.width < 60}
    assert gaps == {1}


def test_pairs_fill_the_sequence_and_a_tenth_is_shorter():
    texts = documents(2_000, 60)
    found = pairs(texts)
    assert max(pair.width for pair in found) == LENGTH
    assert min(min(len(pair.first), len(pair.second)) for pair in found) >= 1
    full = np.mean([pair.width == LENGTH for pair in found])
    assert np.mean([pair.width == LENGTH for pair in pairs(texts, short=0)]) > full > 0.4


def test_every_document_is_seen_in_every_epoch():
    texts = documents()
    orders = []
    for epoch in range(2):
        seen = [int(pair.first[0] // 1000) for pair in pairs(texts, epoch)]
        assert set(seen) == set(range(len(texts)))
        orders.append(seen)
    assert orders[0] != orders[1]


def test_epoch_is_repeated_bit_by_bit():
    def flat(epoch):
        return [(*pair.first, -1, *pair.second, pair.is_next) for pair in pairs(documents(50), epoch)]

    assert flat(1) == flat(1) != flat(0)


def test_long_segments_are_cut_at_both_ends_by_turns():
    """Of two long sentences both lose the same, at front and back at random."""
    texts = [[np.arange(500, dtype=np.int32)], [np.arange(1000, 1300, dtype=np.int32)]] * 200
    found = pairs(texts, short=0)
    assert {len(pair.first) - len(pair.second) for pair in found} == {1}  # the odd token is the first segment's
    fronts = [int(pair.first[0] % 1000) for pair in found]
    excess = [(500 if pair.first[0] < 1000 else 300) - len(pair.first) for pair in found]
    assert abs(sum(fronts) - sum(excess) / 2) < 5 * (sum(excess) / 4) ** 0.5


def test_one_document_has_no_pairs():
    with pytest.raises(BerthError, match="nsp: the corpus has one document"):
        pairs(documents(1))


def test_documents_of_one_sentence_are_refused_or_said():
    with pytest.raises(BerthError, match="95 of 100 documents have one sentence, so no"):
        check_neighbours(95, 100)
    assert check_neighbours(60, 100).startswith("nsp: 60 of 100 documents have one sentence")
    assert check_neighbours(40, 100) == ""


def test_without_nsp_short_documents_share_an_instance():
    """All tokens come once, in order, with [SEP] between documents."""
    texts = documents(100, 6, 8)
    found = pairs(texts, nsp=False, separator=-7)
    tokens = np.concatenate([pair.first for pair in found])
    assert sorted(tokens[tokens != -7]) == sorted(np.concatenate([part for text in texts for part in text]))
    assert max(pair.width for pair in found) <= LENGTH
    assert np.mean([pair.width for pair in found]) > 0.85 * LENGTH
    for pair in found:
        assert not len(pair.second)
        assert pair.first[0] != -7 != pair.first[-1]
        own = pair.first
        assert pair.document == own[0] // 1000
        between = np.flatnonzero(own == -7)
        assert (own[between - 1] // 1000 != own[between + 1] // 1000).all()
        kept = np.flatnonzero((own[:-1] != -7) & (own[1:] != -7))
        assert (own[kept] + 1 == own[kept + 1]).all()


def test_without_separator_no_instance_has_two_documents():
    found = pairs(documents(100, 6, 8), nsp=False)
    assert all(len(set(pair.first // 1000)) == 1 for pair in found)


def test_without_nsp_long_sentence_is_cut_and_not_lost():
    text = [np.arange(200, dtype=np.int32)]
    assert [len(pair.first) for pair in pairs([text], nsp=False, separator=-7)] == [62, 62, 62, 14]


def test_token_store_gives_back_what_was_written(tmp_path):
    texts = documents(20)
    written = TokenStore.write(tmp_path / "store", [*texts, [], [[]], [np.zeros(0, np.int32), np.ones(1, np.int32)]])
    store = TokenStore(tmp_path / "store")
    assert len(store) == len(written) == 21
    assert [[part.tolist() for part in text] for text in store][:20] == [
        [part.tolist() for part in text] for text in texts
    ]
    assert [part.tolist() for part in store[20]] == [[1]]
    assert store.sentence_counts().tolist() == [*map(len, texts), 1]
    assert store.count(1) == 2
    assert store.token_count == 1 + sum(len(part) for text in texts for part in text)
    same = [one.first.tolist() for one in pairs(store, short=0)]
    assert same == [one.first.tolist() for one in pairs([list(text) for text in store], short=0)]


def test_empty_token_store_can_be_read(tmp_path):
    assert len(TokenStore.write(tmp_path, [])) == 0


def test_broken_off_store_is_not_whole(tmp_path):
    def broken():
        yield [[1]]
        raise RuntimeError

    with pytest.raises(RuntimeError):
        TokenStore.write(tmp_path, broken())
    assert not TokenStore.is_whole(tmp_path)
