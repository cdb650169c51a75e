"""The sections of a pre-training configuration."""

import pytest
from pydantic import ValidationError

from berth.pretraining.settings import NewEncoder, Pretraining


def test_first_length_gets_most_tokens_by_default():
    shares = Pretraining.model_validate({"sequence_lengths": [128.0, 512.0]}).shares_of_lengths
    assert shares == pytest.approx([0.9, 0.1])


@pytest.mark.parametrize(
    ("shares", "said"), [([0.5], "one for each of sequence_lengths"), ([0.5, 0.2], "must add up to 1, not 0.7")]
)
def test_shares_that_do_not_fit_the_lengths(shares, said):
    with pytest.raises(ValidationError, match=said):
        Pretraining.model_validate({"sequence_lengths": [128, 512], "shares": shares})


def test_preset_and_own_numbers_make_the_shape():
    """What is not set is the preset's, or follows from the hidden size."""
    assert NewEncoder.model_validate({"preset": "base"}).shape == (12, 768, 12, 3072)
    assert NewEncoder.model_validate({"preset": "tiny", "hidden": 32, "heads": 4}).shape == (2, 32, 4, 128)


def test_hidden_size_that_heads_cannot_share():
    with pytest.raises(ValidationError, match="hidden 100 is not a multiple of heads 3"):
        NewEncoder.model_validate({"hidden": 100, "heads": 3})


def test_batch_has_a_number_of_tokens_unless_rows_are_asked_for():
    """With several lengths the rows count at the first: a batch has equal tokens at each."""
    assert Pretraining.model_validate({}).token_budget == 4096
    assert Pretraining.model_validate({"batch_size": 8}).token_budget == 0
    assert Pretraining.model_validate({"batch_size": 8, "sequence_lengths": [32, 64]}).token_budget == 256


def test_rows_and_tokens_of_a_batch_cannot_both_be_set():
    with pytest.raises(ValidationError, match="batch_size and batch_tokens both say how large a batch is"):
        Pretraining.model_validate({"batch_size": 8, "batch_tokens": 512})
