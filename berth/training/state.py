"""Progress of a training run: what a checkpoint holds in addition to arrays."""

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Throughput:
    """What has been trained on.

    Example:
        >>> trained = Throughput(loss=2.0, texts=4, tokens=30, padded=40, seconds=0.5)
        >>> trained.metrics(flops_per_token=1e9)["padding_share"]
        0.25
    """

    loss: float = 0.0
    """The sum of the texts' losses."""
    texts: int = 0
    tokens: int = 0
    """Without padding."""
    padded: int = 0
    """Tokens with padding."""
    seconds: float = 0.0
    """Of steps alone: evaluations are not counted."""

    def add(self, other: "Throughput") -> None:
        """Add the numbers of `other` to these.

        Example:
            >>> whole = Throughput(loss=2.0, texts=4)
            >>> whole.add(Throughput(loss=1.0, texts=2))
            >>> whole.loss, whole.texts
            (3.0, 6)
        """
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)

    def metrics(self, flops_per_token: float) -> dict[str, float]:
        """Return the mean loss, texts and tokens per second, the share of padding, and 10^9 operations per second."""
        seconds = max(self.seconds, 1e-9)
        return {
            "train_loss": self.loss / self.texts,
            "examples_per_second": self.texts / seconds,
            "tokens_per_second": self.tokens / seconds,
            "padding_share": 1 - self.tokens / self.padded,
            "gflops_per_second": self.tokens * flops_per_token / seconds / 1e9,
        }


@dataclass
class Best:
    """The evaluation whose weights are kept so far, and how many came after it."""

    score: float
    """The highest of all."""
    margin: float
    """By how much less a later evaluation may score and be kept all the same."""
    epoch: int
    metrics: dict[str, float]
    worse: int = 0


@dataclass
class TrainingState:
    """Where training is: everything but arrays that a checkpoint has to hold, as JSON has it."""

    epoch: int = 1
    batch: int = 0
    """Batches of this epoch that are done."""
    step: int = 0
    rng: dict[str, Any] = field(default_factory=dict)
    """The state of NumPy's generator before it shuffled this epoch's batches."""
    rate: float = 0.0
    """The last step's learning rate."""
    of_epoch: Throughput = field(default_factory=Throughput)
    whole: Throughput = field(default_factory=Throughput)
    best: Best | None = None
    evaluated: int = 0
    """The step after which the newest evaluation was."""
    precision: str = ""
    """The number format of the steps so far, with `auto` resolved."""
    most_rows: int = 0
    """TrainStep.most_rows."""
    begun: dict[str, float] = field(default_factory=dict)
    """What the task's `begin` returned before the first step."""

    @classmethod
    def load(cls, values: dict[str, Any]) -> "TrainingState":
        """Return the state that `dataclasses.asdict` and JSON have made `values` of.

        Example:
            >>> import dataclasses
            >>> state = TrainingState(epoch=2, best=Best(-0.3, margin=0.0, epoch=1, metrics={}))
            >>> TrainingState.load(dataclasses.asdict(state)) == state
            True
        """
        best = Best(**values["best"]) if values["best"] else None
        throughputs = {name: Throughput(**values[name]) for name in ("of_epoch", "whole")}
        return cls(**{**values, **throughputs, "best": best})
