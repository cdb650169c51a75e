"""The encoder that pre-training starts from: one that has a name, or a new one."""

import json
from dataclasses import dataclass
from pathlib import Path

from berth.encoders import resolve as encoders
from berth.encoders.wordpiece import find_vocabulary
from berth.errors import BerthError
from berth.pretraining.settings import NewEncoder
from components.pretrain import new_encoder as new_encoders


@dataclass(frozen=True)
class Origin:
    """An encoder and its preprocessor, each as a folder and as the user names it."""

    name: str
    encoder: str
    preprocessor_name: str
    preprocessor: str
    sha256: str
    """Of the encoder's files; empty of a new one, whose weights follow from shape and seed."""


def begin(
    encoder: str, new: NewEncoder | None, preprocessor: str, vocabulary: str | Path, scratch: str | Path, seed: int
) -> Origin:
    """Return the origin: the encoder named `encoder`, or a new one for the preprocessor in `vocabulary`.

    Args:
        encoder: Its handle; empty with `new`.
        new: The shape of a new encoder.
        preprocessor: Handle of the preprocessor; empty: the encoder's own.
        vocabulary: Folder that the vocabulary step wrote.
        scratch: Where a new encoder is written to.
        seed: Of a new encoder's weights.

    Raises:
        BerthError: a handle does not lead to a SavedModel, or the vocabulary step made nothing.
    """
    if new is None:
        folder, own = encoders.resolve(encoder, preprocessor)
        if not own:
            raise BerthError(f"encoder: {encoder!r} takes texts, and pre-training needs tokens. Name a BERT.")
        return Origin(encoder, folder, preprocessor or encoder, own, encoders.sha256(folder))
    made = json.loads((Path(vocabulary) / "manifest.json").read_text(encoding="utf-8")).get("made")
    own = str(Path(vocabulary) / "preprocessor")
    found = find_vocabulary("", own) if made else None
    if found is None:
        raise BerthError("encoder: a new one needs a vocabulary, and the vocabulary step made none. Run it again.")
    folder = str(Path(scratch) / "encoder")
    new_encoders.write(folder, new, len(found.pieces), seed)
    return Origin(str(new), folder, "that of the vocabulary step", own, "")
