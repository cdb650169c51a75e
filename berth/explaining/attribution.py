"""Attribution to words: integrated gradients (Sundararajan et al. 2017) on its encoder's word table.

The path goes from a text whose every token has the vector of [PAD] to the text itself. [CLS], [SEP], positions and the
mask stay, so that all of the difference belongs to words. At each point of the path the table itself is changed, which
works for every encoder that looks tokens up in one variable.
"""

import json
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import tensorflow as tf

from berth.data.cleaning import NO_RULES, TextRules, clean
from berth.encoders.adapter import LoadedModel
from berth.encoders.vocabulary import TABLE
from berth.errors import BerthError, first_line
from berth.explaining.explanation import ABSOLUTE, RELATIVE, Explanation, Part
from berth.explaining.logits import with_logits
from berth.explaining.path_integral import Integrals, integrate
from berth.explaining.words import Words
from berth.models.plain_path import plain_path
from berth.models.saved_model import LABELS_ASSET, SERVE, SETTINGS_ASSET
from berth.settings import TRUNCATE

_BATCH_CHARACTERS = 8192
"""Most characters in a batch, with padding: some 2,000 tokens."""
_FEWEST_CHARACTERS = 16
_ALL_RULES = TextRules(True, True, True)


class Explainer:
    """The exported classifier in `folder`, a verified one, ready to say which words it used.

    Raises:
        BerthError: its graph does not have what that takes.

    Example:
        >>> (found,) = Explainer("serving/sms-spam/3").explain(["You have won!"], None, [1])
        >>> found.words  # the heaviest first, each with its part in the log odds of label 1
    """

    def __init__(self, folder: str | Path) -> None:
        self._name, assets = str(folder), Path(folder) / "assets"
        file = assets / SETTINGS_ASSET
        settings = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        if settings.get("long_texts", TRUNCATE) != TRUNCATE:
            raise self._refusal(
                f"it was trained with long_texts: {settings['long_texts']}, which reads a text in parts"
            )
        self._labels = (assets / LABELS_ASSET).read_text(encoding="utf-8").splitlines()
        self._task = settings.get("task", "single_label")
        self._pairs = bool(settings.get("pairs"))
        known = "cleaning" in settings  # an older Berth's models clean texts as well and do not say how
        self._rules = [TextRules.of(settings["cleaning"])] if known else [NO_RULES, TextRules(True, True), _ALL_RULES]
        with tempfile.TemporaryDirectory(prefix="berth-explain-") as scratch:
            own = with_logits(folder, scratch, SERVE, "probabilities")
            self._loaded: LoadedModel = tf.saved_model.load(plain_path(own))
        self._serve = self._loaded.signatures[SERVE]
        tables = [own for own in self._serve.variables if TABLE.search(own.name) and own.shape.rank == 2]
        preprocessor = getattr(self._loaded, "preprocessor", None)
        if not tables or not hasattr(preprocessor, "tokenize"):
            raise self._refusal("it has no variable with the name of a word table, or no tokenizer")
        self._table: tf.Variable = max(tables, key=lambda own: int(own.shape[0]))
        self._gradient = self._compiled()
        try:
            probe = self._ids([["", "a a a a a a a a"]] * (2 if self._pairs else 1))[0]
        except (LookupError, tf.errors.OpError) as error:  # an op without a gradient
            raise self._refusal(first_line(error)) from error
        self._start, self._end, self._pad = int(probe[0]), int(probe[1]), int(probe[-1])

    def explain(
        self, texts: Sequence[str], pairs: Sequence[str] | None, columns: Sequence[int]
    ) -> list[Explanation | None]:
        """Return what the words of each text did to one label; None for a text whose tokens are not those of its words.

        Args:
            texts: As their authors wrote them.
            pairs: The second text of each; None: the model takes single texts.
            columns: Each text's label, as its place among the model's labels.

        Raises:
            BerthError: the encoder looks a text's tokens up in another way than one by one.
        """
        found: list[Explanation | None] = [None] * len(texts)
        given = [list(texts), list(pairs or [])] if self._pairs else [list(texts)]
        for rows in _batches([sum(map(len, row)) for row in zip(*given, strict=True)]):
            own = [[column[row] for row in rows] for column in given]
            chosen = np.array([columns[row] for row in rows], np.int32)
            for row, one in zip(rows, self._batch(own, chosen), strict=True):
                found[row] = one
        return found

    def _batch(self, given: list[list[str]], columns: np.ndarray) -> Iterator[Explanation | None]:
        ids = self._ids(given)
        found = self._integrated(given, columns, ids)
        for row, own in enumerate(ids):
            places = self._segments(own)
            parts = self._parts([column[row] for column in given], [own[place].tolist() for place in places])
            if parts is None:
                yield None
                continue
            weighed = [_weighed(*part, found.terms[row, place]) for part, place in zip(parts, places, strict=True)]
            label, odds, blank = self._labels[columns[row]], float(found.last[row]), float(found.first[row])
            yield Explanation(label, odds, blank, weighed[0], weighed[1] if self._pairs else [])

    def _parts(self, texts: list[str], ids: list[list[int]]) -> list[tuple[list[str], list[int]]] | None:
        """Return the parts of each of a row's texts and which of them each token is of; None: they do not fit."""
        if len(ids) != len(texts):
            return None
        for rules in self._rules:
            words = [Words(text, partial(self._tokenize, rules=rules)) for text in texts]
            owners = [own.owners_of(tokens) for own, tokens in zip(words, ids, strict=True)]
            found = [(own.parts, owner) for own, owner in zip(words, owners, strict=True) if owner is not None]
            if len(found) == len(texts):
                return found
        return None

    def _integrated(self, given: list[list[str]], columns: np.ndarray, ids: np.ndarray) -> Integrals:
        """Return the log odds of blank and of whole texts, and each position's weight, [texts, length]."""
        words = np.unique(ids)
        words = words[~np.isin(words, [self._start, self._end, self._pad])]
        whole, blank = (tf.gather(self._table, own).numpy() for own in (words, [self._pad]))
        moved = whole - blank
        place = np.searchsorted(words, ids).clip(0, max(0, len(words) - 1))
        is_word = np.isin(ids, words)

        def slope(share: float, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            self._table.scatter_update(tf.IndexedSlices(blank + np.float32(share) * moved, words))
            odds, values, _ = self._ask([[column[row] for row in rows] for column in given], columns[rows])
            gradient = values.reshape(len(rows), -1, values.shape[-1])
            terms = np.zeros((len(rows), ids.shape[1]))
            length = gradient.shape[1]  # the longest text of the batch may be among the others
            if len(words):
                own = np.einsum("rlh,rlh->rl", gradient, moved[place[rows, :length]])
                terms[:, :length] = np.where(is_word[rows, :length], own, 0.0)
            return odds, terms

        try:
            return integrate(slope, len(ids), RELATIVE, ABSOLUTE)
        finally:
            self._table.scatter_update(tf.IndexedSlices(whole, words))

    def _compiled(self) -> tf.types.experimental.PolymorphicFunction:
        """Return the function of texts and columns that gives their log odds, and the gradient of the word table."""
        binary = self._task == "single_label" and len(self._labels) == 2
        single = self._task == "single_label"

        @tf.function(
            input_signature=[[tf.TensorSpec([None], tf.string)] * (1 + self._pairs), tf.TensorSpec([None], tf.int32)],
            autograph=False,
        )
        def gradient(given: list[tf.Tensor], columns: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            with tf.GradientTape(watch_accessed_variables=False) as tape:
                tape.watch(self._table)
                logits = self._serve(**self._named(given))["probabilities"]
                if binary:
                    odds = logits[:, 1] * tf.cast(2 * columns - 1, tf.float32)
                else:
                    odds = tf.gather(logits, columns, batch_dims=1)
                    if single:
                        others = logits - 1e9 * tf.one_hot(columns, logits.shape[1])
                        odds -= tf.reduce_logsumexp(others, -1)
            found = tape.gradient(odds, self._table)
            if not isinstance(found, tf.IndexedSlices):
                raise self._refusal("its encoder does not look tokens up in its word table")
            return odds, found.values, found.indices

        return gradient

    def _named(self, given: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        return {name: tf.convert_to_tensor(column) for name, column in zip(("text", "text_pair"), given, strict=False)}

    def _ask(self, given: list[list[str]], columns: np.ndarray) -> tuple[np.ndarray, ...]:
        encoded = [tf.constant([text.encode("utf-8", "surrogatepass") for text in column]) for column in given]
        return tuple(own.numpy() for own in self._gradient(encoded, tf.constant(columns, tf.int32)))

    def _ids(self, given: list[list[str]]) -> np.ndarray:
        """Return the token ids that the encoder looks up, [texts, length]."""
        count = len(given[0])
        ids = self._ask(given, np.zeros(count, np.int32))[2]
        if len(ids) % count or len(set(ids.reshape(count, -1)[:, 0].tolist())) > 1:
            raise self._refusal("its encoder does not look each token of each text up once")
        return ids.reshape(count, -1)

    def _segments(self, ids: np.ndarray) -> list[slice]:
        """Return where the texts stand in a row of token ids, each ended by a [SEP]."""
        ends = np.flatnonzero(ids == self._end).tolist()
        return [slice(begin + 1, end) for begin, end in zip([0, *ends[:-1]], ends, strict=True)]

    def _tokenize(self, texts: Sequence[str], rules: TextRules) -> list[list[int]]:
        cleaned = [clean(text, rules).encode("utf-8", "surrogatepass") for text in texts]
        tokens = self._loaded.preprocessor.tokenize(tf.constant(cleaned))
        if tokens.ragged_rank > 1:
            tokens = tokens.merge_dims(1, -1)
        found: list[list[int]] = tokens.to_list()
        return found

    def _refusal(self, why: str) -> BerthError:
        return BerthError(f"{self._name}: which words it used cannot be found: {why}.")


def _weighed(parts: list[str], owners: Sequence[int], weights: np.ndarray) -> list[Part]:
    """Return the parts of a text with the sums of their tokens' weights."""
    sums: list[float | None] = [None] * len(parts)
    for owner, weight in zip(owners, weights.tolist(), strict=True):
        sums[owner] = (sums[owner] or 0.0) + weight
    return list(zip(parts, sums, strict=True))


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Yield the rows of texts of these `lengths`, in characters, in batches of similar length."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lengths.__getitem__):
        if batch and (len(batch) + 1) * max(lengths[row], _FEWEST_CHARACTERS) > _BATCH_CHARACTERS:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
