"""A model that training has made blind: it answers the same whatever the text is.

What too high a learning rate does to BERT (Mosbach et al. 2021 describe such runs): the layers saturate, and the best
that is left to the head is the classes' shares.
"""

from typing import TYPE_CHECKING, Any

from berth.data.token_ids import TokenisedSplit
from berth.encoders.preprocessor import Preprocessor
from berth.errors import BerthError
from berth.models.decision_rule import decisions
from components.train.evaluation import predict

if TYPE_CHECKING:
    import numpy as np


_TEXTS = 256
_SHRUNK = 0.1
"""An untrained head on a pre-trained encoder tells texts apart, a little; less than this share of it is blindness."""


def spread(evaluation: Any, preprocessor: Preprocessor, validation: TokenisedSplit) -> float:
    """Return by how much a class' probability differs from text to text: its standard deviation, mean over classes."""
    return float(_some(evaluation, preprocessor, validation).std(0).mean())


def check_not_collapsed(
    evaluation: Any,
    preprocessor: Preprocessor,
    validation: TokenisedSplit,
    untrained: float,
    labels: list[str],
    rate: float,
) -> None:
    """Raise BerthError if the model says the same of every text, while the `untrained` one's `spread` was larger.

    Of texts that are all of one class the same is rightly said: they do not tell a blind model from a sure one.
    """
    targets = validation.targets[:_TEXTS]
    if (targets == targets[0]).all():
        return
    probabilities = _some(evaluation, preprocessor, validation)
    task = "single_label" if validation.targets.ndim == 1 else "multi_label"
    decided = decisions(probabilities, task)
    if (decided != decided[0]).any() or probabilities.std(0).mean() > _SHRUNK * untrained:
        return
    said = labels[decided[0].argmax()] if task == "single_label" else "the same labels"
    raise BerthError(
        f"the model has collapsed: it says {said!r} of every validation text, and its probabilities hardly differ. "
        f"Lower learning_rate ({rate:g}); 2e-5 to 5e-5 suits BERT, with recipe: berth."
    )


def _some(evaluation: Any, preprocessor: Preprocessor, validation: TokenisedSplit) -> "np.ndarray":
    """Return the probabilities of the first validation texts; ingest has dealt them at random."""
    some = validation.subset(range(min(_TEXTS, len(validation))))
    return predict(evaluation, preprocessor, some, "validation")[0]
