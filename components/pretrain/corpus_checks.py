"""Checks of a tokenised corpus before anything is trained on it."""

import itertools

from berth.data.corpus import HELD_OUT, TRAIN, Corpus
from berth.data.script import most_frequent_script
from berth.encoders.adapter import positions
from berth.errors import BerthError
from berth.pretraining.sentence_pairs import check_neighbours
from berth.pretraining.settings import Pretraining
from berth.pretraining.special_tokens import SpecialTokens
from berth.pretraining.token_store import TokenStore
from components.pretrain.model import PretrainingModel

_SAMPLE = 100
"""Documents that the script is told from."""
_MANY_UNKNOWN, _TOO_MANY_UNKNOWN = 0.05, 0.5


def check(corpus: Corpus, stores: dict[str, TokenStore], settings: Pretraining, tokens: SpecialTokens) -> list[str]:
    """Return warnings about the tokenised corpus.

    Raises:
        BerthError: pre-training on it makes no sense.
    """
    train, held_out = stores[TRAIN], stores[HELD_OUT]
    of_batch = f"rows (batch_size: {settings.batch_size:,})"
    if not settings.batch_size:
        of_batch = f"tokens (batch_tokens: {settings.batch_tokens:,})"
    if train.token_count < (settings.batch_size or settings.batch_tokens):
        raise BerthError(
            f"the corpus has {train.token_count:,} tokens to train on, fewer than a batch has {of_batch}. Give more "
            "text, or make batches smaller."
        )
    if len(held_out) < 2:
        raise BerthError(
            f"the corpus has {len(held_out)} held-out documents, and evaluation needs 2 or more. Give more documents, "
            "or a larger held_out."
        )
    found = []
    if settings.nsp:
        found.append(check_neighbours(corpus.manifest.of_one_sentence, corpus.manifest.documents[TRAIN]))
    found.append(_unknown(corpus, train, tokens))
    return [warning for warning in found if warning]


def check_positions(model: PretrainingModel, settings: Pretraining) -> None:
    """Raise BerthError where rows are longer than the encoder's table of positions."""
    room, longest = positions(model.encoder.resolved_object), max(settings.sequence_lengths)
    if room is not None and longest > room:
        raise BerthError(
            f"pretraining.sequence_lengths: {longest}, and {model.handle!r} has positions for {room} tokens. Set "
            f"sequence_lengths: [{room}], or shorter."
        )


def _unknown(corpus: Corpus, store: TokenStore, tokens: SpecialTokens) -> str:
    """Return a warning where the vocabulary does not know much of the text."""
    share = store.count(tokens.unknown) / max(1, store.token_count)
    if share < _MANY_UNKNOWN:
        return ""
    sample = itertools.islice(corpus.documents(TRAIN), _SAMPLE)
    script = most_frequent_script(" ".join(itertools.chain.from_iterable(sample)))
    found = (
        f"{share:.0%} of the corpus' tokens are [UNK]: the vocabulary lacks its script ({script}) or characters of it"
    )
    if share > _TOO_MANY_UNKNOWN:
        raise BerthError(f"{found}. Name an encoder for their language, or make a new one (encoder: {{preset: mini}}).")
    return found
