"""Masks over a million tokens, and what is never masked."""

import numpy as np
import pytest

from berth.pretraining import draws
from berth.pretraining.masking import mask

CLS, SEP, MASK, FIRST, VOCABULARY = 101, 102, 103, 1000, 30_522
LENGTH, INSTANCES = 128, 8_000


def instance(rng, length=LENGTH):
    ids = rng.integers(FIRST, VOCABULARY, length).astype(np.int32)
    ids[[0, -1]] = CLS, SEP
    return ids


def masked(ids, place=0, epoch=0, **changes):
    rng = draws.generator(draws.MASKS, seed=1, epoch=epoch, place=place)
    settings = {"probability": 0.15, "mask_id": MASK, "vocabulary": VOCABULARY} | changes
    return mask(ids, ids >= FIRST, rng, **settings)


def within(count, total, share):
    """Whether `count` of `total` is within five standard deviations of the binomial with `share`."""
    return abs(count - total * share) < 5 * (total * share * (1 - share)) ** 0.5


def test_a_million_tokens_are_masked_as_published():
    """Counts of [MASK], random and unchanged tokens, and each place's share, are within binomial bounds."""
    rng = np.random.default_rng(0)
    became_mask = stayed = predicted = 0
    places = np.zeros(LENGTH)
    for number in range(INSTANCES):
        ids = instance(rng)
        found, positions, labels = masked(ids, number)
        assert len(positions) == round(LENGTH * 0.15) == 19
        assert (np.diff(positions) > 0).all()
        assert (labels == ids[positions]).all()
        others = np.delete(np.arange(LENGTH), positions)
        assert (found[others] == ids[others]).all()
        became_mask += int((found[positions] == MASK).sum())
        stayed += int((found[positions] == labels).sum())
        predicted += len(positions)
        places[positions] += 1
    assert within(became_mask, predicted, 0.8 + 0.1 / VOCABULARY)
    assert within(stayed, predicted, 0.1 + 0.1 / VOCABULARY)
    assert places[0] == places[-1] == 0
    assert all(within(count, INSTANCES, 19 / (LENGTH - 2)) for count in places[1:-1])


@pytest.mark.parametrize(("length", "probability", "expected"), [(3, 0.15, 1), (10, 0.15, 2), (40, 0.4, 16)])
def test_share_is_of_the_whole_instance_and_at_least_one(length, probability, expected):
    _, positions, _ = masked(instance(np.random.default_rng(0), length), probability=probability)
    assert len(positions) == min(expected, length - 2)


def test_instance_of_special_tokens_alone_has_no_mask():
    ids = np.array([CLS, SEP], np.int32)
    for whole_words in (None, np.array([True, True])):
        found, positions, labels = masked(ids, whole_words=whole_words)
        assert found.tolist() == ids.tolist()
        assert not len(positions)
        assert not len(labels)


def test_each_epoch_has_other_masks_and_repeats_its_own():
    ids = instance(np.random.default_rng(0))
    first, again, second = (masked(ids, epoch=epoch) for epoch in (0, 0, 1))
    assert all((one == other).all() for one, other in zip(first, again, strict=True))
    assert first[1].tolist() != second[1].tolist()
    assert first[1].tolist() != masked(ids, place=1)[1].tolist()


def test_whole_words_are_masked_whole():
    """The share of predicted tokens stays that of single pieces, less what no word fits into."""
    rng = np.random.default_rng(0)
    predicted = 0
    for number in range(500):
        ids = instance(rng)
        starts = rng.random(LENGTH) < 0.7
        _, positions, _ = masked(ids, number, whole_words=starts)
        chosen = np.zeros(LENGTH, bool)
        chosen[positions] = True
        words = np.cumsum(starts | (np.arange(LENGTH) <= 1))
        inside = np.arange(1, LENGTH - 1)
        for word in set(words[inside][chosen[inside]]):
            assert chosen[inside][words[inside] == word].all()
        assert len(positions) <= 19
        predicted += len(positions)
    assert predicted > 0.98 * 19 * 500


def test_word_longer_than_the_share_is_masked_whole():
    ids = instance(np.random.default_rng(0), 8)
    _, positions, _ = masked(ids, whole_words=np.array([True, True] + [False] * 6))
    assert positions.tolist() == [1, 2, 3, 4, 5, 6]
