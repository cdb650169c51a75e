"""The encoder's WordPiece vocabulary, used to count the tokens that the model will see.

Does not need TensorFlow: the validate image does not have the libraries that load encoders.
"""

import hashlib
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from berth.encoders import registered
from berth.encoders.builtin.checkpoint import is_checkpoint
from berth.encoders.builtin.tokenisation import tokenisation_of
from berth.encoders.builtin.weights import BUILT_IN, weights_dir
from berth.encoders.fetch import cache, download
from berth.encoders.fetch.archive import saved_model_below
from berth.encoders.fetch.handle import NONE, parse
from berth.encoders.present import name_in_cache
from berth.errors import BerthError

if TYPE_CHECKING:
    from tokenizers import BertWordPieceTokenizer

_LARGEST = 64 << 20
"""Bytes; a larger asset is not a vocabulary."""


@dataclass(frozen=True)
class Vocabulary:
    """WordPieces by their ids."""

    pieces: list[str]
    source: str
    """The handle of the preprocessor that they come from."""

    @property
    def cased(self) -> bool:
        """Whether a piece has an upper-case letter; special tokens such as [CLS] do not count.

        Example:
            >>> Vocabulary(["[CLS]", "ship"], "").cased, Vocabulary(["[CLS]", "Ship"], "").cased
            (False, True)
        """
        return any(piece != piece.lower() for piece in self.pieces if not piece.startswith("["))

    @property
    def digest(self) -> str:
        """SHA-256 of the pieces, in hexadecimal."""
        return hashlib.sha256("\n".join(self.pieces).encode()).hexdigest()

    def tokenizer(self) -> "BertWordPieceTokenizer":
        """Return a BERT tokenizer (Hugging Face's tokenizers) of these pieces.

        Example:
            >>> vocabulary = Vocabulary(["[UNK]", "[CLS]", "[SEP]", "ship", "##s"], "")
            >>> vocabulary.tokenizer().encode("Ships", add_special_tokens=False).tokens
            ['ship', '##s']
        """
        from tokenizers import BertWordPieceTokenizer

        return BertWordPieceTokenizer(
            {piece: number for number, piece in enumerate(self.pieces)}, lowercase=not self.cased, strip_accents=None
        )


def find_vocabulary(encoder: str, preprocessor: str) -> Vocabulary | None:
    """Return the vocabulary of the preprocessor: the built-in one's, a local folder's, or that of a handle.

    A handle in the user's cache of encoders is read from there. Otherwise an archive on a web server is fetched into a
    temporary folder: only SavedModels that were loaded once enter the cache, and loading needs TensorFlow.

    Returns None if there is no vocabulary, or it cannot be fetched (the reason is printed); texts are then counted
    in words.
    """
    text = encoder if preprocessor in ("", NONE) else preprocessor
    try:
        if text == BUILT_IN:
            return _parse((weights_dir() / "vocab.txt").read_bytes(), text)
        handle = parse("preprocessor", text)
        if handle.kind == "folder":
            if is_checkpoint(text):
                return Vocabulary(list(tokenisation_of(Path(text)).pieces), text)
            return _among_assets(_with_preprocessor(Path(text)), text)
        name = name_in_cache(handle)
        if cache.entry(name) is not None:
            return _among_assets(_with_preprocessor(cache.root() / name), text)
        if handle.kind == "registered":
            with tempfile.TemporaryDirectory(prefix="berth-vocabulary-") as scratch:
                registered.fetch_into("preprocessor", text, Path(scratch))
                return _among_assets(_with_preprocessor(Path(scratch)), text)
        if handle.kind == "http":
            with tempfile.TemporaryDirectory(prefix="berth-vocabulary-") as scratch:
                download.fetch(handle, Path(scratch))
                return _among_assets(Path(scratch), text)
    except (BerthError, OSError, UnicodeDecodeError) as error:
        print(f"vocabulary of the preprocessor: {error}", flush=True)
    return None


def _with_preprocessor(folder: Path) -> Path:
    """Return the folder of the preprocessor that an encoder in `folder` brings, else `folder` itself."""
    own = folder / registered.PREPROCESSOR
    return own if own.is_dir() else folder


def _among_assets(folder: Path, source: str) -> Vocabulary | None:
    """Return the vocabulary among the assets of the SavedModel in `folder` or in the one folder inside it."""
    assets = sorted(((saved_model_below(folder) or folder) / "assets").glob("*"))
    contents = (path.read_bytes() for path in assets if path.is_file() and path.stat().st_size < _LARGEST)
    return next(filter(None, (_parse(content, source) for content in contents)), None)


def _parse(content: bytes, source: str) -> Vocabulary | None:
    """Return the vocabulary in `content`, one piece a line, or None if it is something else."""
    if b"[CLS]" not in content or b"[UNK]" not in content:
        return None
    pieces = content.decode("utf-8").split("\n")
    return Vocabulary([piece.removesuffix("\r") for piece in pieces if piece], source)
