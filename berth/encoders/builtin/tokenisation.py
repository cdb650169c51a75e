"""A checkpoint's vocabulary, and how its tokenizer cuts texts into words. Does not need TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from berth.encoders.builtin.checkpoint import pooling_of, read_json, shape_of
from berth.errors import BerthError

VOCABULARY, TOKENIZER, SETTINGS = "vocab.txt", "tokenizer.json", "tokenizer_config.json"
SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_NEEDED = ("[UNK]", "[CLS]", "[SEP]")
_TOKENIZERS = {
    "",
    "BertTokenizer",
    "BertTokenizerFast",
    "DistilBertTokenizer",
    "DistilBertTokenizerFast",
    "PreTrainedTokenizerFast",
    "TokenizersBackend",
}


@dataclass(frozen=True)
class Tokenisation:
    """A WordPiece vocabulary and the settings of BERT's tokenizer, by the names of transformers."""

    pieces: tuple[str, ...]
    lower: bool
    strip_accents: bool
    chinese: bool = True
    """Whether each Chinese character is a word (`tokenize_chinese_chars`)."""
    special: tuple[str, ...] = SPECIAL_TOKENS
    """Tokens that texts may hold as they are; those that are not among the pieces do not count."""


def read_vocabulary(content: str) -> tuple[str, ...]:
    """Return the pieces in the text of a vocab.txt, one a line; a piece's id is its place.

    Example:
        >>> read_vocabulary("[PAD]\\n[UNK]\\nship\\n##s\\n")
        ('[PAD]', '[UNK]', 'ship', '##s')
    """
    lines = content.split("\n")
    return tuple(line.removesuffix("\r") for line in (lines[:-1] if lines[-1] == "" else lines))


def tokenisation_of(folder: Path) -> Tokenisation:
    """Return the tokenisation of the checkpoint in `folder`.

    Settings are taken from tokenizer_config.json, else from tokenizer.json; without either, from transformers' defaults
    unless the vocabulary contradicts these.

    Raises:
        BerthError: there is none, or it is not BERT's; the message is only the reason.
    """
    settings = read_json(folder, SETTINGS) if (folder / SETTINGS).is_file() else {}
    whole = read_json(folder, TOKENIZER) if (folder / TOKENIZER).is_file() else {}
    kind = str(settings.get("tokenizer_class") or "")
    if kind not in _TOKENIZERS:
        raise BerthError(f"its tokenizer_class is {kind}, and only BERT's WordPiece can be converted")
    pieces = _pieces(folder, whole)
    missing = [token for token in _NEEDED if token not in pieces]
    if missing:
        raise BerthError(f"its vocabulary lacks {', '.join(missing)}")
    normalizer = whole.get("normalizer") or {}
    lower = settings.get("do_lower_case", normalizer.get("lowercase"))
    if lower is None and any(piece != piece.lower() for piece in pieces if not piece.startswith("[")):
        raise BerthError(
            f"its vocabulary has upper-case letters, and no {SETTINGS} states whether texts keep theirs: "
            'add one with {"do_lower_case": false}, or true'
        )
    lower = True if lower is None else bool(lower)
    strip = settings.get("strip_accents", normalizer.get("strip_accents"))
    chinese = settings.get("tokenize_chinese_chars", normalizer.get("handle_chinese_chars", True))
    special = _special(settings, whole, pieces)
    return Tokenisation(pieces, lower, lower if strip is None else bool(strip), bool(chinese), special)


def check_convertible(field: str, folder: str) -> None:
    """Raise BerthError where the checkpoint in `folder`, named by the setting `field`, is not a BERT.

    Its weights are not looked at.
    """
    try:
        shape_of(Path(folder))
        tokenisation_of(Path(folder))
        pooling_of(Path(folder))
    except BerthError as reason:
        raise BerthError(f"{field}: {folder!r} cannot be converted: {reason}.") from None


def _pieces(folder: Path, whole: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the pieces of vocab.txt, or, as transformers 5 writes no such file, those in tokenizer.json."""
    try:
        return read_vocabulary((folder / VOCABULARY).read_bytes().decode("utf-8"))
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as error:
        raise BerthError(f"its {VOCABULARY} cannot be read: {error}") from None
    model = whole.get("model") or {}
    if not whole or model.get("type", "WordPiece") != "WordPiece" or "vocab" not in model:
        raise BerthError(f"it has neither {VOCABULARY} nor a {TOKENIZER} of a WordPiece model")
    by_id = {number: piece for piece, number in model["vocab"].items()}
    if sorted(by_id) != list(range(len(by_id))):
        raise BerthError(f"the ids in its {TOKENIZER} have gaps")
    if any("\n" in piece for piece in by_id.values()):
        raise BerthError(f"a token in its {TOKENIZER} has a line break")
    return tuple(by_id[number] for number in range(len(by_id)))


def _special(settings: Mapping[str, Any], whole: Mapping[str, Any], pieces: tuple[str, ...]) -> tuple[str, ...]:
    """Return the special tokens: BERT's own, and those that were added; raises BerthError for what cannot be added."""
    declared = settings.get("added_tokens_decoder") or {}
    added = [(int(number), own) for number, own in declared.items()]
    added = added or [(own["id"], own) for own in whole.get("added_tokens") or []]
    special = list(SPECIAL_TOKENS)
    for number, own in added:
        content = own["content"]
        fits = number < len(pieces) and pieces[number] == content
        plain = own.get("special") and not any(own.get(name) for name in ("lstrip", "rstrip", "single_word"))
        if not fits or not plain:
            raise BerthError(
                f"its tokenizer has the added token {content!r}, and only special tokens of the vocabulary can be "
                "converted"
            )
        special.append(content)
    return tuple(dict.fromkeys(token for token in special if token in pieces))
