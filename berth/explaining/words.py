"""The words of a text as its author wrote them, and which of an encoder's tokens each of them became.

TF-Hub's tokenizers do not tell where in a text a token stands. A word is therefore tokenised alone, and a text's words
one after the other have to give the tokens that the encoder got.
"""

import re
from collections.abc import Callable, Sequence

Tokenize = Callable[[Sequence[str]], list[list[int]]]
"""From texts to the token ids of each, without special tokens and not cut."""

_CHUNK = re.compile(r"\s+|\S+")
_IDEOGRAPHS = "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0002fa1f"
"""Each is a word of its own, as in BERT's tokenizer."""
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|(?:(?![{_IDEOGRAPHS}])[^\W_])+|.", re.DOTALL)


class Words:
    """The words and the white space of `text`, which are the whole text when they are joined.

    What stands between white space is split at its punctuation where the tokens of the parts are those of the whole.

    Example:
        >>> def tokenize(texts):  # one token for each character that is not white space
        ...     return [[ord(character) for character in text if not character.isspace()] for text in texts]
        >>> Words("Call now!", tokenize).parts
        ['Call', ' ', 'now', '!']
    """

    def __init__(self, text: str, tokenize: Tokenize) -> None:
        chunks = _CHUNK.findall(text)
        split = [[] if chunk.isspace() else _WORD.findall(chunk) for chunk in chunks]
        distinct = list(dict.fromkeys([*chunks, *(part for parts in split for part in parts)]))
        found = dict(zip(distinct, tokenize(distinct), strict=True)) if distinct else {}
        self.parts: list[str] = []
        self.tokens: list[int] = []
        self.owners: list[int] = []
        """The part that each of `tokens` is of."""
        for chunk, parts in zip(chunks, split, strict=True):
            fits = [token for part in parts for token in found[part]] == found[chunk]
            for part in parts if parts and fits else [chunk]:
                self.tokens += found[part]
                self.owners += [len(self.parts)] * len(found[part])
                self.parts.append(part)

    def owners_of(self, ids: Sequence[int]) -> list[int] | None:
        """Return the part that each of `ids` is of, the tokens that the encoder got of this text; None: not found.

        Of a text that was cut, `ids` are its first tokens, its last ones, or a quarter of them its first ones.

        Example:
            >>> words = Words("ab c", lambda texts: [[ord(letter) for letter in text.strip()] for text in texts])
            >>> words.owners_of([97, 98, 99]), words.owners_of([97, 98]), words.owners_of([98])
            ([0, 0, 2], [0, 0], None)
        """
        kept, every = len(ids), len(self.tokens)
        if kept > every:
            return None
        for head in (kept, 0, kept // 4):
            tail = every - (kept - head)
            if [*self.tokens[:head], *self.tokens[tail:]] == list(ids):
                return [*self.owners[:head], *self.owners[tail:]]
        return None
