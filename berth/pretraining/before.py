"""Results that pretrain passes to evaluate_encoder: the encoder before, on the held-out documents, and the curve.

<folder>/documents.parquet   berth.pretraining.held_out.Sums of the encoder before
<folder>/before.json         the rest
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from berth.pretraining.examples import Blank, Example
from berth.pretraining.held_out import Sums


@dataclass(frozen=True)
class Before:
    """The encoder before, and the training."""

    sums: Sums
    trained: dict[str, float]
    """The metrics of the held-out documents after training, as the model in training has them."""
    examples: list[Example]
    blanks: Sequence[Blank]
    """What the examples are of."""
    curve: list[dict[str, float]]
    """The evaluations during training, by `round`; a training that was resumed has those since then."""

    def write(self, folder: str | Path) -> None:
        """Write it to `folder`, which is made."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.sums.write(folder / "documents.parquet")
        rest = {
            "trained": self.trained,
            "examples": [own.model_dump() for own in self.examples],
            "blanks": [{"row": own.row.tolist(), "truth": own.truth} for own in self.blanks],
            "curve": self.curve,
        }
        (folder / "before.json").write_text(json.dumps(rest, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: str | Path) -> "Before":
        """Return what `write` wrote."""
        folder = Path(folder)
        rest = json.loads((folder / "before.json").read_text(encoding="utf-8"))
        return cls(
            Sums.read(folder / "documents.parquet"),
            rest["trained"],
            [Example(**own) for own in rest["examples"]],
            [Blank(np.array(own["row"], np.int32), own["truth"]) for own in rest["blanks"]],
            rest["curve"],
        )
