"""The vocabulary step: a corpus in; the preprocessor of a new encoder out.

<vocabulary>/manifest.json    {"made": true, ...}, written last; {"made": false} where the encoder has its own
<vocabulary>/preprocessor/    a SavedModel, with the word pieces in assets/vocab.txt, one a line
"""

import hashlib
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel

from berth.data.corpus import TRAIN, Corpus
from berth.errors import BerthError

if TYPE_CHECKING:
    from berth.pretraining.settings import NewEncoder


class Made(BaseModel):
    """The manifest: what the step made."""

    made: bool
    size: int = 0
    """Word pieces, special tokens included."""
    cased: bool = False
    sha256: str = ""
    """Of vocab.txt."""
    characters: int = 0
    """Characters of the corpus that it was learned from."""
    words: int = 0
    """Different words among them."""

    def __str__(self) -> str:
        if not self.made:
            return "the encoder has its own"
        return f"{self.size:,} word pieces from {self.words:,} different words"


def make_vocabulary(corpus: str | Path, vocabulary: str | Path, new: "NewEncoder | None") -> Made:
    """Write the preprocessor of the encoder `new` to the folder `vocabulary`; without one only a manifest.

    Raises:
        BerthError: the corpus has no words.
    """
    folder = Path(vocabulary)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        made = _learned(Corpus(corpus), folder / "preprocessor", new) if new else Made(made=False)
        (folder / "manifest.json").write_text(made.model_dump_json(indent=2) + "\n", encoding="utf-8")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return made


def _learned(corpus: Corpus, folder: Path, new: "NewEncoder") -> Made:
    # TensorFlow takes seconds to import, and an encoder with a name needs none of it.
    from berth.encoders.builtin.bert import save_preprocessor
    from components.vocabulary.learning import count_words, learn

    counted = count_words(corpus.documents(TRAIN), new.cased)
    if not counted.words:
        raise BerthError("the corpus has no words to learn a vocabulary from. Look at text_column and cleaning.")
    pieces = learn(counted.words, new.vocabulary)
    if len(pieces) < 0.9 * new.vocabulary:
        print(
            f"anomaly warn encoder.vocabulary: the corpus gives {len(pieces):,} word pieces, fewer than the "
            f"{new.vocabulary:,} that are asked for: its words are too few.",
            flush=True,
        )
    content = "".join(f"{piece}\n" for piece in pieces)
    with tempfile.TemporaryDirectory(prefix="berth-vocabulary-") as scratch:
        path = Path(scratch) / "vocab.txt"
        path.write_text(content, encoding="utf-8")
        save_preprocessor(path, folder, cased=new.cased)
    return Made(
        made=True,
        size=len(pieces),
        cased=new.cased,
        sha256=hashlib.sha256(content.encode()).hexdigest(),
        characters=counted.characters,
        words=len(counted.words),
    )
