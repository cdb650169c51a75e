"""Learning WordPiece from words, by TensorFlow Text's learner: the same words give the same pieces."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import tensorflow as tf
from tensorflow_text.python.ops.bert_tokenizer import BasicTokenizer
from tensorflow_text.tools.wordpiece_vocab import wordpiece_tokenizer_learner_lib as learner

from berth import progress
from berth.encoders.builtin.tokenisation import SPECIAL_TOKENS

MOST_CHARACTERS = 100_000_000
"""Characters that are counted: documents come in the order of their hashes, so the first ones are a sample."""
_BATCH_CHARACTERS = 4_000_000
_MOST_WORDS = 2_000_000
"""Words in memory; where there are more, those that came once are forgotten, then those that came twice, and so on."""
_LEARNED_FROM = 100_000
"""The most frequent words, from which pieces are learned: a try takes 20 s for as many."""
_SLACK = 0.05
_TRIES = 12
_LONGEST_WORD = 50


@dataclass(frozen=True)
class WordCounts:
    """How often each word of a corpus comes."""

    words: dict[str, int]
    characters: int
    """That were counted."""


def count_words(documents: Iterable[list[str]], cased: bool) -> WordCounts:
    """Return the words of `documents` as BERT's basic tokenizer splits them, lower case unless `cased`."""
    tokenizer = BasicTokenizer(lower_case=not cased)
    counts: Counter[bytes] = Counter()
    characters, rarest = 0, 1
    for batch in _batches(documents):
        counts.update(tokenizer.tokenize(tf.constant(batch)).flat_values.numpy().tolist())
        characters += sum(map(len, batch))
        while len(counts) > _MOST_WORDS:
            counts = Counter({word: count for word, count in counts.items() if count > rarest})
            rarest += 1
        progress.report(min(characters, MOST_CHARACTERS), MOST_CHARACTERS, "characters counted")
        if characters >= MOST_CHARACTERS:
            break
    return WordCounts({word.decode(): count for word, count in counts.items()}, characters)


def learn(words: dict[str, int], size: int) -> list[str]:
    """Return at most `size` word pieces: special tokens, then characters, then pieces by falling count.

    The learner keeps pieces that come more often than a threshold. Their number falls with it about as a power of it,
    which finds the threshold in three or four tries; the learner's own binary search takes about fifteen.
    """
    # Each character is two pieces, at the start of a word and inside; half of the vocabulary is left for longer ones.
    characters = min(max(1000, size // 4), (size - len(SPECIAL_TOKENS)) // 4)
    ordered = sorted(words.items(), key=lambda word: (-word[1], word[0]))
    known = learner.get_input_words(ordered, SPECIAL_TOKENS, _LONGEST_WORD)
    known = learner.filter_input_words(known, learner.get_allowed_chars(known, characters), _LEARNED_FROM)
    params = learner.Params(
        upper_thresh=None,
        lower_thresh=None,
        num_iterations=4,
        max_input_tokens=_LEARNED_FROM,
        max_token_length=_LONGEST_WORD,
        max_unique_chars=characters,
        vocab_size=size,
        slack_ratio=_SLACK,
        include_joiner_token=True,
        joiner="##",
        reserved_tokens=list(SPECIAL_TOKENS),
    )
    best: list[str] = []
    low, high = 1, known[0][1] + 1  # too many pieces at `low`, or not known; few enough at `high`
    sizes: dict[int, int] = {}
    threshold = min(max(2, known[min(size, len(known)) - 1][1]), high)
    for attempt in range(_TRIES):
        found = learner.learn_with_thresh(known, threshold, params)
        progress.report(attempt + 1, _TRIES, f"{len(found):,} word pieces come {threshold:,} times or more")
        sizes[threshold] = len(found)
        if len(found) <= size:
            best, high = found, threshold
        else:
            low = threshold
        if size * (1 - _SLACK) <= len(found) <= size or high - low <= 1:
            break
        threshold = _next(sizes, low, high, size)
    return best or learner.learn_with_thresh(known, known[0][1] + 1, params)


def _next(sizes: dict[int, int], low: int, high: int, size: int) -> int:
    """Return the threshold between `low` and `high` at which the tries so far, on log scales, foretell `size`."""
    wanted = math.log(size * (1 - _SLACK / 2))
    tried = sorted(sizes, key=lambda one: abs(math.log(sizes[one]) - wanted))[:2]
    slope = -0.7  # of natural language, before there are two tries
    if len(tried) == 2 and sizes[tried[0]] != sizes[tried[1]]:
        slope = math.log(sizes[tried[0]] / sizes[tried[1]]) / math.log(tried[0] / tried[1])
    foretold = math.exp(math.log(tried[0]) + (wanted - math.log(sizes[tried[0]])) / slope)
    return min(max(round(foretold), low + 1), high - 1)


def _batches(documents: Iterable[list[str]]) -> Iterator[list[str]]:
    waiting: list[str] = []
    size = 0
    for document in documents:
        waiting += document
        size += sum(map(len, document))
        if size >= _BATCH_CHARACTERS:
            yield waiting
            waiting, size = [], 0
    if waiting:
        yield waiting
