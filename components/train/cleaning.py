"""The cleaning of texts as a graph: the exported model gets raw texts, and was trained on cleaned ones."""

import html
from html.entities import html5

import tensorflow as tf
import tensorflow_text as tf_text

from berth.data.cleaning import CONTROLS, TextRules

_REFERENCE = r"#[0-9]+;?|#[xX][0-9a-fA-F]+;?|[^\t\n\f <&#;]{1,32};?"
"""What may follow the `&` of an HTML entity, as in Python's html.unescape."""
_DIGITS = 7
"""Of the highest code point, 1114111."""
_HIGHEST = 0x10FFFF
_UNKNOWN = "\ufffd"
_ODD = (
    *range(0xA0),
    *range(0xFDD0, 0xFDF0),
    *(plane * 0x10000 + last for plane in range(17) for last in (0xFFFE, 0xFFFF)),
)
"""Code points, of which html.unescape may make other characters or none. (Of surrogates it makes U+FFFD.)"""


class TextCleaning(tf.Module):
    """`berth.data.cleaning.clean` for a batch of texts; keep it where the exported model can find its tables.

    Example:
        >>> TextCleaning(TextRules(html_entities=True))(tf.constant(["fish &amp;amp; chips"])).numpy().tolist()
        [b'fish & chips']
    """

    def __init__(self, rules: TextRules) -> None:
        super().__init__()
        self._rules = rules
        if rules.html_entities:
            without_end = sorted((name for name in html5 if not name.endswith(";")), key=len, reverse=True)
            self._any_name = rf"(?s)^({'|'.join(without_end)})?.*$"
            self._names = _table(html5, tf.string)
            odd = {code: found for code in _ODD if (found := html.unescape(f"&#{code};")) != chr(code)}
            self._odd = _table({code: found or "\0" for code, found in odd.items()}, tf.int64)

    def __call__(self, texts: tf.Tensor) -> tf.Tensor:
        """Return the cleaned texts, string [batch]."""
        if not self._rules.html_entities:
            return self._without_entities(texts)

        def again(own: tf.Tensor, _: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            cleaned = self._without_entities(self._unescaped(own))
            return cleaned, tf.reduce_any(cleaned != own)

        has_entity = tf.reduce_any(tf.strings.regex_full_match(texts, r"(?s).*&.*"))
        cleaned, _ = tf.while_loop(
            lambda _, is_left: is_left,
            again,
            [texts, has_entity],
            shape_invariants=[tf.TensorShape([None]), tf.TensorShape([])],
        )
        return self._without_entities(cleaned)

    def _without_entities(self, texts: tf.Tensor) -> tf.Tensor:
        if self._rules.control_characters:
            texts = tf.strings.regex_replace(texts, CONTROLS, "")
        return tf_text.normalize_utf8(texts, "NFC") if self._rules.nfc else texts

    def _unescaped(self, texts: tf.Tensor) -> tf.Tensor:
        """Return the texts as html.unescape does, once."""
        pieces = tf.strings.split(texts, "&")
        flat = pieces.flat_values
        first = pieces.row_starts()
        is_first = tf.scatter_nd(first[:, None], tf.ones_like(first), [tf.size(flat, tf.int64)]) > 0
        return tf.strings.reduce_join(pieces.with_flat_values(tf.where(is_first, flat, self._begun(flat))), -1)

    def _begun(self, pieces: tf.Tensor) -> tf.Tensor:
        """Return pieces of text that were behind a `&`, with the `&` or with the character that the entity means."""
        reference = tf.strings.regex_replace(pieces, rf"(?s)^({_REFERENCE})?.*$", r"\1")
        rest = tf.strings.substr(pieces, tf.strings.length(reference), tf.strings.length(pieces))
        name = tf.strings.regex_replace(reference, self._any_name, r"\1")
        behind = tf.strings.substr(reference, tf.strings.length(name), tf.strings.length(reference))
        whole = self._names.lookup(reference)
        found = tf.where(name != "", self._names.lookup(name) + behind, "&" + reference)
        found = tf.where(whole != "", whole, found)
        is_number = tf.strings.regex_full_match(reference, r"#([0-9]+|[xX][0-9a-fA-F]+);?")
        return tf.where(is_number, self._numbered(reference, is_number), found) + rest

    def _numbered(self, references: tf.Tensor, is_number: tf.Tensor) -> tf.Tensor:
        """Return the characters of references such as #233; and #xE9; nothing sensible for what is not a number."""
        digits = tf.strings.regex_replace(references, r"^#[xX]?0*([0-9a-fA-F]*);?$", r"\1")
        is_large = tf.strings.length(digits) > _DIGITS
        digits = tf.where(is_number & ~is_large, digits, "0")
        padded = tf.strings.substr("0" * _DIGITS + digits, -_DIGITS, _DIGITS)
        codes = tf.cast(tf.strings.unicode_decode(padded, "UTF-8").to_tensor(shape=[None, _DIGITS]), tf.int64)
        values = tf.where(codes >= ord("a"), codes - ord("a") + 10, tf.where(codes >= ord("A"), codes - 55, codes - 48))
        base = tf.where(tf.strings.regex_full_match(references, r"#[xX].*"), 16, 10)
        powers = tf.cast(base, tf.int64)[:, None] ** tf.range(_DIGITS - 1, -1, -1, tf.int64)
        number = tf.reduce_sum(values * powers, -1)
        unknown = is_large | (number > _HIGHEST) | ((number >= 0xD800) & (number < 0xE000))
        plain = tf.where(unknown, tf.constant(ord("?"), tf.int64), number)
        made = tf.strings.unicode_encode(tf.cast(plain, tf.int32)[:, None], "UTF-8")
        odd = self._odd.lookup(number)
        made = tf.where(odd == "\0", "", tf.where(odd != "", odd, made))
        return tf.where(unknown, _UNKNOWN, made)


def _table(values: dict[str, str] | dict[int, str], key: tf.DType) -> tf.lookup.StaticHashTable:
    """Return a table whose value for a key that it lacks is the empty text."""
    keys = tf.constant(list(values), key)
    return tf.lookup.StaticHashTable(
        tf.lookup.KeyValueTensorInitializer(keys, tf.constant(list(values.values()))), tf.constant("")
    )
