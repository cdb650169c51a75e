"""How to fine-tune: what RunConfig says of it, in one object."""

from dataclasses import dataclass, field

from berth.settings import Training

_LEARNING_RATES = {"berth": 3e-5, "baseline": 1e-3}
"""`baseline`: Keras' own default of Adam, which the original recipe leaves as it is."""


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune; the fields are RunConfig's of the same names."""

    recipe: str
    epochs: int
    batch_size: int
    learning_rate: float
    """0: the recipe's own; see `peak_rate`."""
    warmup_fraction: float
    weight_decay: float
    seed: int
    training: Training = field(default_factory=lambda: Training.model_validate({}))

    @property
    def peak_rate(self) -> float:
        return self.learning_rate or _LEARNING_RATES[self.recipe]
