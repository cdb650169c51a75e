"""Preprocessor: text to token ids to encoder inputs, by TF-Hub's preprocessor alone, in training and in serving."""

import functools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from berth.data.token_ids import TokenIds, TokenisedSplit
from berth.encoders.adapter import LoadedModel
from berth.errors import BerthError
from berth.settings import TRUNCATE


class Preprocessor:
    """A TF-Hub text preprocessor that cuts texts to `sequence_length` tokens; its methods also work inside graphs.

    A batch is padded to its own longest text, not to `sequence_length`. With `pairs` a row is two texts, packed as two
    segments; if they do not both fit, they get room in turn, one token at a time. `truncate` is RunConfig's
    training.truncate. With a `long_texts` other than TRUNCATE, RunConfig's, texts stay whole; `pack` is given their
    windows.

    Raises:
        BerthError: `loaded` is not a preprocessor of the TF-Hub text API that packs.

    Example:
        >>> preprocessor = Preprocessor(load("preprocessor", folder, "minilm"), 128, "minilm")
        >>> preprocessor(tf.constant(["free entry"]))["input_word_ids"]  # int32 [1, 4]
    """

    def __init__(
        self,
        loaded: LoadedModel,
        sequence_length: int,
        handle: str,
        pairs: bool = False,
        truncate: str = "head",
        long_texts: str = TRUNCATE,
    ) -> None:
        if not hasattr(loaded, "tokenize") or not hasattr(loaded, "bert_pack_inputs"):
            raise BerthError(
                f"preprocessor: {handle!r} has no tokenize and bert_pack_inputs. Name the TF-Hub text preprocessor "
                "that the encoder's page gives as its match."
            )
        self.loaded = loaded
        self.handle = handle
        self.sequence_length = sequence_length
        self.pairs = pairs
        self.truncate = truncate
        self.long_texts = long_texts
        self.special_tokens = 3 if pairs else 2
        """[CLS], and a [SEP] after each text."""
        self.room = sequence_length - self.special_tokens
        """Tokens that the texts of a row may have together."""

    @functools.cached_property
    def compiled_tokenize(self) -> tf.types.experimental.PolymorphicFunction:
        """`tokenize` that also returns the texts' uncut lengths, int64 [batch]; compiled once for any batch size."""

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        def tokenize(texts: tf.Tensor) -> tuple[tf.RaggedTensor, tf.Tensor]:
            tokens = self._tokenize(texts)
            return self._cut(tokens, self.room), tokens.row_lengths()

        return tokenize

    def tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Return ragged int32 [batch, (tokens)] without special tokens, cut to `room`; `texts` is string [batch]."""
        return self._cut(self._tokenize(texts), self.room)

    def pack(
        self, segments: Sequence[tf.RaggedTensor], length: int | tf.Tensor | None = None, multiple: int = 1
    ) -> dict[str, tf.Tensor]:
        """Return the encoder's inputs, each int32 [batch, longest]; a segment is ragged, as `tokenize` returns it.

        With `length` the inputs are int32 [batch, length] whatever the texts' own lengths are. Otherwise the longest is
        rounded up to a `multiple`, at most to `sequence_length`.

        Raises:
            BerthError: the preprocessor cannot pack that many segments.
        """
        if self.pairs and self.truncate != "head":
            segments = self._cut_together(*segments)
        if length is None:
            lengths = tf.add_n([segment.row_lengths() for segment in segments])
            longest = tf.reduce_max(tf.concat([lengths, [0]], 0))
            length = tf.minimum(tf.cast(longest, tf.int32), self.room) + self.special_tokens
            if multiple > 1:
                length = tf.minimum(-(-length // multiple) * multiple, self.sequence_length)
        try:
            return dict(self.loaded.bert_pack_inputs(list(segments), seq_length=length))
        except ValueError:  # traced only for [batch, (words), (pieces)]
            words = [tf.expand_dims(segment, -1) for segment in segments]
        try:
            return dict(self.loaded.bert_pack_inputs(words, seq_length=length))
        except ValueError as error:
            if not self.pairs:
                raise
            raise BerthError(
                f"preprocessor: {self.handle!r} cannot pack two texts. Name one whose bert_pack_inputs takes pairs."
            ) from error

    def widths(self, split: TokenisedSplit) -> np.ndarray:
        """Return the tokens of each row of `split` as an encoder sees them, int64 [texts]; of all of its windows."""
        return split.widths(self.room, self.special_tokens, self.long_texts != TRUNCATE)

    def __call__(self, *texts: tf.Tensor) -> dict[str, tf.Tensor]:
        """Return the encoder's inputs for texts (and their second texts), string [batch], padded to their longest."""
        return self.pack([self.tokenize(own) for own in texts])

    def _tokenize(self, texts: tf.Tensor) -> tf.RaggedTensor:
        tokens = self.loaded.tokenize(texts)
        if tokens.ragged_rank > 1:
            tokens = tokens.merge_dims(1, -1)
        return tf.cast(tokens, tf.int32)

    def _cut(self, tokens: tf.RaggedTensor, room: int | tf.Tensor) -> tf.RaggedTensor:
        """Return ragged `tokens` cut to `room` tokens per row, an int or int64 [batch], as `truncate` asks."""
        if self.long_texts != TRUNCATE:
            return tokens
        if self.truncate == "head" and isinstance(room, int):
            return tokens[:, :room]
        lengths = tokens.row_lengths()
        kept = tf.minimum(lengths, tf.cast(room, tf.int64))
        head = kept // 4 if self.truncate == "head_tail" else tf.zeros_like(kept)
        head = tf.where(kept < lengths, head, kept)
        starts, ends = tokens.row_starts(), tokens.row_limits()
        first, last = tf.ragged.range(starts, starts + head), tf.ragged.range(ends - (kept - head), ends)
        return tf.gather(tokens.flat_values, tf.concat([first, last], 1))

    def _cut_together(self, first: tf.RaggedTensor, second: tf.RaggedTensor) -> list[tf.RaggedTensor]:
        """Return the two segments of pairs, cut so that both fit; a short one leaves its unused room to the other."""
        lengths, others = first.row_lengths(), second.row_lengths()
        half = self.room // 2
        own = tf.minimum(lengths, tf.maximum(self.room - others, self.room - half))
        return [self._cut(first, own), self._cut(second, self.room - own)]


def tokenize_all(preprocessor: Preprocessor, texts: Sequence[str], chunk: int = 4096) -> tuple[TokenIds, np.ndarray]:
    """Return the token ids of `texts`, cut, and how many tokens each has uncut, int32 [texts].

    Each text is tokenised only once, by the same code that the exported model runs. `chunk` texts are in memory at a
    time.

    Example:
        >>> ids, lengths = tokenize_all(preprocessor, ["free entry", "see you at 8"])
    """
    return tokenize_chunks(preprocessor, (texts[start : start + chunk] for start in range(0, len(texts), chunk)))


def tokenize_chunks(preprocessor: Preprocessor, chunks: Iterable[Sequence[str]]) -> tuple[TokenIds, np.ndarray]:
    """Return what `tokenize_all` does for the texts of all `chunks`; the token ids stay on the disk.

    Memory holds one chunk, and 4 bytes for each text.
    """
    whole: list[np.ndarray] = [np.zeros(0, np.int32)]

    def tokenized() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for texts in chunks:
            tokens, lengths = preprocessor.compiled_tokenize(tf.constant(list(texts)))
            whole.append(lengths.numpy().astype(np.int32))
            yield tokens.values.numpy(), tokens.row_lengths().numpy()

    return TokenIds.on_disk(tokenized()), np.concatenate(whole)
