"""Recipes: how to fine-tune, as RunConfig has it, and what a recipe's name stands for."""

from dataclasses import dataclass, field, replace
from typing import Literal

from berth.settings import AUTO
from berth.training.settings import Training


@dataclass(frozen=True)
class RecipeFacts:
    """What a recipe's name stands for. Nothing else compares the name."""

    peak_learning_rate: float
    """Where RunConfig names none."""
    optimizer: Literal["adamw", "adam"]
    """`adamw`: berth.training.optimizer.AdamW. `adam`: Keras' Adam as it comes."""
    schedule: Literal["warmup_then_linear_decay", "constant"]
    """Of the learning rate."""
    by_length: bool
    """Whether a batch holds texts of similar length."""
    pads_to_full_length: bool
    """Whether every text is padded to sequence_length; otherwise to the longest text of its batch."""
    mixed_precision: bool
    """Whether training.precision counts; otherwise all is float32."""
    adapts: bool
    """Whether a setting left at `auto` is chosen from the encoder and the data; otherwise it is the recipe's own."""
    trains_encoder: bool = True
    """Whether the encoder is fine-tuned."""
    unused: tuple[str, ...] = ()
    """Settings of a run that the recipe has no use for, by RunConfig's names."""
    contrasts: bool = False
    """Whether the encoder learns to tell the labels' texts apart, and a head is fitted to its vectors."""
    few: str = ""
    """The recipe that it stands for with few texts, where the user has set nothing that steers training."""
    many: str = ""
    """The recipe that it stands for otherwise; empty, as `few` is then: it is one itself."""
    fits_head: bool = False
    """Whether a head is fitted to the vectors of the encoder as it is; with `trains_encoder` the better one is kept."""


OF_DECISION = ("threshold_per_label", "precision_at_least", "abstain_below")
"""Fields of Training that training itself does not depend on: they turn probabilities into labels."""
_OF_ADAMW = ("warmup_fraction", "weight_decay", "training.precision", "training.layer_decay", "training.head_rate")

_FACTS = {
    "fine_tune": RecipeFacts(
        peak_learning_rate=3e-5,
        optimizer="adamw",
        schedule="warmup_then_linear_decay",
        by_length=True,
        pads_to_full_length=False,
        mixed_precision=True,
        adapts=True,
    ),
    "baseline": RecipeFacts(
        peak_learning_rate=1e-3,  # Keras' own default of Adam, which the original recipe leaves as it is
        optimizer="adam",
        schedule="constant",
        by_length=False,
        pads_to_full_length=True,
        mixed_precision=False,
        adapts=False,
        unused=_OF_ADAMW,
    ),
}
_FACTS["frozen"] = replace(
    _FACTS["fine_tune"],
    trains_encoder=False,
    fits_head=True,
    unused=(
        *("epochs", "batch_size", "learning_rate", "warmup_fraction", "weight_decay"),
        *(f"training.{name}" for name in Training.model_fields if name not in ("truncate", "calibrate", *OF_DECISION)),
    ),
)
_FACTS["contrast"] = replace(
    _FACTS["fine_tune"],
    by_length=False,
    contrasts=True,
    unused=tuple(f"training.{name}" for name in ("label_smoothing", "class_weights", "focal_gamma", "head_rate")),
)
_FACTS["berth"] = replace(_FACTS["fine_tune"], few="contrast", many="fine_tune")
OR_FROZEN = "_or_frozen"
_FACTS |= {f"{name}{OR_FROZEN}": replace(_FACTS[name], fits_head=True) for name in ("contrast", "fine_tune")}
_FACTS["auto"] = replace(_FACTS["fine_tune_or_frozen"], few="contrast_or_frozen", many="fine_tune_or_frozen")


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune; the fields are RunConfig's of the same names.

    Example:
        >>> Recipe("berth", 3, 32, 0.0, 0.1, 0.01, 0).peak_learning_rate
        3e-05
    """

    recipe: str
    """`fine_tune`, `contrast`, `frozen`, `baseline`, or `berth` and `auto`, which stand for one of them."""
    epochs: int
    """0, as for the next two: to be chosen."""
    batch_size: int
    learning_rate: float
    """0 also: the recipe's own; `peak_learning_rate` resolves it."""
    warmup_fraction: float
    weight_decay: float
    seed: int
    training: Training = field(default_factory=lambda: Training.model_validate({}))

    @property
    def facts(self) -> RecipeFacts:
        """What the recipe's name stands for.

        Example:
            >>> Recipe("frozen", 3, 32, 0.0, 0.1, 0.01, 0).facts.trains_encoder
            False
        """
        return _FACTS[self.recipe]

    @property
    def peak_learning_rate(self) -> float:
        """The highest learning rate of the run, which a schedule starts from or falls from."""
        return self.learning_rate or self.facts.peak_learning_rate

    @property
    def head_rate(self) -> float:
        """training.head_rate; 1.0, the rate of the encoder, where it was not chosen.

        Example:
            >>> chosen = Training.model_validate({"head_rate": 10})
            >>> Recipe("fine_tune", 3, 32, 0.0, 0.1, 0.01, 0, chosen).head_rate
            10.0
        """
        value = self.training.head_rate
        return 1.0 if isinstance(value, str) else value

    @property
    def layer_decay(self) -> float:
        """training.layer_decay; 1.0, one rate for all layers, where it was not chosen."""
        value = self.training.layer_decay
        return 1.0 if isinstance(value, str) else value

    @property
    def early_stopping(self) -> int:
        """training.early_stopping; 0, never, where it was not chosen."""
        value = self.training.early_stopping
        return 0 if isinstance(value, str) else value

    @property
    def select_by(self) -> str:
        """training.select_by; val_loss where it was not chosen."""
        return "val_loss" if self.training.select_by == AUTO else self.training.select_by


def unused_settings(recipe: str) -> tuple[str, ...]:
    """Return the settings that `recipe` has no use for, by RunConfig's names.

    Example:
        >>> unused_settings("baseline")[:2]
        ('warmup_fraction', 'weight_decay')
    """
    return _FACTS[recipe].unused
