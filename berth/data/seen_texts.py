"""A sketch of the texts that a model has learnt from, by which a later run leaves them out when it judges the model.

It holds hashes, 8 bytes a text, of the train and the validation split: the smallest million of them (a bottom-k
sketch), so that of a larger dataset it is a sample.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from berth.data.dataset import PAIR, TEXT, split_dir

if TYPE_CHECKING:
    import numpy as np


FILE = "seen_texts.npz"
"""The artifact of the MLflow run that registered a model."""
LEARNT_FROM = ("train", "validation")
_MOST = 1_000_000
_ROWS = 100_000


@dataclass(frozen=True)
class SeenTexts:
    """Hashes of texts, uint64, sorted; of more than they are, `texts`, the smallest ones.

    Example:
        >>> seen = SeenTexts(hashes(["Ships sail"]), texts=1)
        >>> seen.has(["ships  SAIL", "They sink"]).tolist(), seen.share
        ([True, False], 1.0)
    """

    hashes: "np.ndarray"
    texts: int

    @classmethod
    def of(cls, dataset: str | Path, most: int = _MOST) -> "SeenTexts":
        """Return the sketch of `dataset`, in memory of a few times its size."""
        import numpy as np
        import pyarrow.dataset

        found, texts = np.zeros(0, np.uint64), 0
        for split in LEARNT_FROM:
            rows = pyarrow.dataset.dataset(split_dir(dataset, split), format="parquet")
            columns = [name for name in (TEXT, PAIR) if name in rows.schema.names]
            for batch in rows.to_batches(columns=columns, batch_size=_ROWS):
                own = hashes(*(column.to_pylist() for column in batch.columns))
                texts += len(own)
                found = np.union1d(found, own)[:most]
        return cls(found, texts)

    @classmethod
    def read(cls, path: str | Path) -> "SeenTexts":
        """Read the sketch that `write` wrote to `path`."""
        import numpy as np

        with np.load(path) as stored:
            return cls(stored["hashes"], int(stored["texts"]))

    def write(self, path: str | Path) -> None:
        """Write the sketch to `path`, NumPy's .npz; its name has to end so."""
        import numpy as np

        np.savez(path, hashes=self.hashes, texts=np.int64(self.texts))

    @property
    def share(self) -> float:
        """The share of all texts that the sketch knows."""
        return 1.0 if len(self.hashes) < _MOST else float(self.hashes[-1]) / 2**64

    def has(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> "np.ndarray":
        """Return which texts it has, bool [texts]."""
        import numpy as np

        return np.isin(hashes(texts, *([pairs] if pairs is not None else [])), self.hashes)


def hashes(*columns: Sequence[str]) -> "np.ndarray":
    """Return a hash of each row's texts, uint64 [rows]; case and white space do not count.

    Args:
        columns: The texts of each row; of pairs two columns of the same length.

    Example:
        >>> bool((hashes(["Ships  sail"]) == hashes(["ships sail"])).all())
        True
    """
    import numpy as np

    rows = ("\0".join(" ".join(text.casefold().split()) for text in row) for row in zip(*columns, strict=True))
    found = [hashlib.blake2b(row.encode("utf-8", "surrogatepass"), digest_size=8).digest() for row in rows]
    return np.frombuffer(b"".join(found), np.uint64)
