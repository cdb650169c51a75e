"""Batches: every text once, similar lengths together, within a token budget."""

from pathlib import Path

import numpy as np
import pytest

from berth.data.token_ids import TokenIds, TokenisedSplit, segments
from berth.training.batching import Batching, batches, padding

MESSAGES = Path(__file__).parents[3] / "examples/sms-spam/sms_spam_collection.tsv"


ROOM, SPECIAL_TOKENS = 126, 2


def widths_of(lengths: list[int]) -> np.ndarray:
    """Return the widths of texts of `lengths` tokens."""
    return split_of(lengths).widths(ROOM, SPECIAL_TOKENS)


def split_of(lengths: list[int]) -> TokenisedSplit:
    return TokenisedSplit(
        TokenIds.of([np.zeros(length, np.int32) for length in lengths]), np.zeros(len(lengths), np.int32)
    )


@pytest.fixture(scope="module")
def widths() -> np.ndarray:
    return widths_of(np.random.default_rng(0).integers(0, 30, 500).tolist())


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
@pytest.mark.parametrize("by_length", [True, False])
def test_every_text_comes_once_an_epoch(widths, size, by_length):
    batching = Batching(size, by_length=by_length)
    for seed in (None, 1):
        made, again = (
            list(batches(widths, batching, None if seed is None else np.random.default_rng(seed))) for _ in range(2)
        )
        assert sorted(np.concatenate(made)) == list(range(500))
        assert max(map(len, made)) <= size
        assert [rows.tolist() for rows in made] == [rows.tolist() for rows in again]


def test_token_budget_batches_more_short_texts_than_long_ones(widths):
    batching = Batching(32, max_tokens=200)
    made = list(batches(widths, batching, np.random.default_rng(0)))
    assert sorted(np.concatenate(made)) == list(range(500))
    assert max(len(rows) * widths[rows].max() for rows in made) <= 200
    sizes = np.array([(len(rows), widths[rows].max()) for rows in made])
    assert sizes[sizes[:, 1] < 10][:, 0].mean() > 2 * sizes[sizes[:, 1] > 20][:, 0].mean()


def test_text_longer_than_the_token_budget_is_its_own_batch():
    made = list(batches(widths_of([100, 3, 3, 100]), Batching(32, max_tokens=50), np.random.default_rng(0)))
    assert sorted(map(len, made)) == [1, 1, 2]


def test_batches_by_length_pad_less_than_shuffled_ones(widths):
    def padded(by_length: bool) -> int:
        batching = Batching(16, by_length=by_length)
        return sum(len(rows) * widths[rows].max() for rows in batches(widths, batching, np.random.default_rng(0)))

    assert padded(True) < 0.8 * padded(False)


def test_real_lengths_need_less_than_three_percent_padding():
    lines = MESSAGES.read_text(encoding="utf-8").splitlines()
    widths = widths_of([min(126, len(line.split("\t", 1)[1]) // 4) for line in lines[:1500]])  # about 4 letters a token
    made = list(batches(widths, Batching(32), np.random.default_rng(0)))
    assert 1 - widths.sum() / sum(len(rows) * widths[rows].max() for rows in made) < 0.03
    assert len(made) <= 1.1 * len(widths) / 32


def test_batch_is_cut_where_lengths_jump_only_if_that_pays():
    """It pays if the padding that is saved is more than a step costs, which differs from task to task."""

    def sizes(lengths: list[int], **costs: int) -> list[int]:
        return sorted(map(len, batches(widths_of(lengths), Batching(32, **costs), np.random.default_rng(0))))

    assert sizes([10] * 31 + [100]) == [1, 31]
    assert sizes([10] * 31 + [12]) == [32]
    assert sizes([10] * 16 + [40] * 14 + [120] * 2) == [2, 14, 16]
    assert sizes([10] * 16 + [40] * 14 + [120] * 2, step_tokens=512) == [2, 30]


def test_texts_of_equal_length_are_regrouped_each_epoch(widths):
    rng, batching = np.random.default_rng(0), Batching(16)
    first, second = ({frozenset(rows.tolist()) for rows in batches(widths, batching, rng)} for _ in range(2))
    assert len(first & second) < len(first) / 4


def test_segments_hold_their_rows_tokens():
    split = TokenisedSplit(TokenIds.of([[5, 6], [], [7]]), np.zeros(3, np.int32))
    assert [own.to_list() for own in segments(split, [2, 1, 0])] == [[[7], [], [5, 6]]]
    pairs = TokenisedSplit(split.tokens, split.targets, TokenIds.of([[7], [], [5, 6]]))
    assert [own.to_list() for own in segments(pairs, [2, 1])] == [[[7], []], [[5, 6], []]]
    assert pairs.lengths().tolist() == [3, 0, 3]
    assert len(TokenIds.of([])) == 0


def test_tokens_that_are_cut_off_do_not_count_as_width():
    assert split_of([2, 10, 40]).widths(room=10, special_tokens=3).tolist() == [5, 13, 13]


def test_windows_are_padded_to_a_window_not_to_the_longest_text():
    """Else a batch of texts of 1, 2 and 40 windows would be three, and its padding_share nearly 1."""
    widths, batching = np.array([128, 256, 5120, 30]), Batching(4, window=128)
    assert [len(rows) for rows in batches(widths[:3], batching, np.random.default_rng(0))] == [3]
    assert [len(rows) for rows in batches(widths[:3], Batching(4), np.random.default_rng(0))] != [3]
    assert padding(widths, batching) == 128 + 256 + 5120 + 128


def test_token_ids_on_the_disk_are_those_in_memory():
    chunks = [([5, 6, 7], [2, 0, 1]), ([], []), ([8, 9], [2])]
    found = TokenIds.on_disk((np.array(ids, np.int32), np.array(lengths)) for ids, lengths in chunks)
    expected = TokenIds.of([[5, 6], [], [7], [8, 9]])
    assert isinstance(found.values, np.memmap)
    assert found.values.tolist() == expected.values.tolist()
    assert found.splits.tolist() == expected.splits.tolist()
    assert [found[row].tolist() for row in (3, 0)] == [[8, 9], [5, 6]]
    assert len(TokenIds.on_disk([])) == 0


def test_batches_for_a_gpu_are_whole_and_count_rounded_lengths():
    widths = widths_of([10] * 31 + [100])
    rng = np.random.default_rng
    assert [len(rows) for rows in batches(widths, Batching(32, multiple=16), rng(0))] == [32]
    budget = Batching(32, max_tokens=160, multiple=16)
    assert budget.padded(12) == 16
    assert max(len(rows) for rows in batches(widths_of([10] * 40), budget, rng(0))) == 10
