"""Batches: every text once, similar lengths together, within a token budget."""

from pathlib import Path

import numpy as np
import pytest

from berth.data.token_ids import TokenIds, TokenisedSplit, segments
from berth.training.batching import Batching, batches

MESSAGES = Path(__file__).parents[3] / "examples/sms-spam/sms_spam_collection.tsv"


def split_of(lengths: list[int]) -> TokenisedSplit:
    return TokenisedSplit(
        TokenIds.of([np.zeros(length, np.int32) for length in lengths]), np.zeros(len(lengths), np.int32)
    )


@pytest.fixture(scope="module")
def split() -> TokenisedSplit:
    return split_of(np.random.default_rng(0).integers(0, 30, 500).tolist())


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
@pytest.mark.parametrize("by_length", [True, False])
def test_every_text_comes_once_an_epoch(split, size, by_length):
    batching = Batching(size, room=126, special_tokens=2, by_length=by_length)
    for seed in (None, 1):
        made, again = (
            list(batches(split, batching, None if seed is None else np.random.default_rng(seed))) for _ in range(2)
        )
        assert sorted(np.concatenate(made)) == list(range(500))
        assert max(map(len, made)) <= size
        assert [rows.tolist() for rows in made] == [rows.tolist() for rows in again]


def test_a_token_budget_makes_large_batches_of_short_texts_and_small_ones_of_long(split):
    batching = Batching(32, room=126, special_tokens=2, max_tokens=200)
    widths = batching.widths(split)
    made = list(batches(split, batching, np.random.default_rng(0)))
    assert sorted(np.concatenate(made)) == list(range(500))
    assert max(len(rows) * widths[rows].max() for rows in made) <= 200
    sizes = np.array([(len(rows), widths[rows].max()) for rows in made])
    assert sizes[sizes[:, 1] < 10][:, 0].mean() > 2 * sizes[sizes[:, 1] > 20][:, 0].mean()


def test_a_text_that_is_longer_than_the_token_budget_is_a_batch_alone():
    made = list(batches(split_of([100, 3, 3, 100]), Batching(32, 126, 2, max_tokens=50), np.random.default_rng(0)))
    assert sorted(map(len, made)) == [1, 1, 2]


def test_batches_by_length_pad_less_than_shuffled_ones(split):
    def padded(by_length: bool) -> int:
        batching = Batching(16, 126, 2, by_length=by_length)
        widths = batching.widths(split)
        return sum(len(rows) * widths[rows].max() for rows in batches(split, batching, np.random.default_rng(0)))

    assert padded(True) < 0.8 * padded(False)


def test_of_real_lengths_less_than_three_in_a_hundred_tokens_are_padding():
    lines = MESSAGES.read_text(encoding="utf-8").splitlines()
    split = split_of([min(126, len(line.split("\t", 1)[1]) // 4) for line in lines[:1500]])  # about 4 letters a token
    batching = Batching(32, 126, 2)
    widths = batching.widths(split)
    made = list(batches(split, batching, np.random.default_rng(0)))
    assert 1 - widths.sum() / sum(len(rows) * widths[rows].max() for rows in made) < 0.03
    assert len(made) <= 1.1 * len(split) / 32


def test_a_batch_is_cut_where_lengths_jump_only_if_that_saves_more_than_a_step_costs():
    def sizes(lengths: list[int]) -> list[int]:
        batching = Batching(32, 126, 2)
        return sorted(map(len, batches(split_of(lengths), batching, np.random.default_rng(0))))

    assert sizes([10] * 31 + [100]) == [1, 31]
    assert sizes([10] * 31 + [12]) == [32]
    assert sizes([10] * 16 + [40] * 14 + [120] * 2) == [2, 14, 16]


def test_texts_of_equal_length_come_together_anew_each_epoch(split):
    rng, batching = np.random.default_rng(0), Batching(16, 126, 2)
    first, second = ({frozenset(rows.tolist()) for rows in batches(split, batching, rng)} for _ in range(2))
    assert len(first & second) < len(first) / 4


def test_segments_hold_their_rows_tokens():
    split = TokenisedSplit(TokenIds.of([[5, 6], [], [7]]), np.zeros(3, np.int32))
    assert [own.to_list() for own in segments(split, [2, 1, 0])] == [[[7], [], [5, 6]]]
    pairs = TokenisedSplit(split.tokens, split.targets, TokenIds.of([[7], [], [5, 6]]))
    assert [own.to_list() for own in segments(pairs, [2, 1])] == [[[7], []], [[5, 6], []]]
    assert pairs.lengths().tolist() == [3, 0, 3]
    assert len(TokenIds.of([])) == 0


def test_what_is_cut_off_does_not_count_as_width():
    assert Batching(8, room=10, special_tokens=3).widths(split_of([2, 10, 40])).tolist() == [5, 13, 13]
