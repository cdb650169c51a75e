"""Collapse: training ends in a model that predicts the same for every text.

A learning rate that is too high does this to BERT (Mosbach et al. 2021 describe such runs): the layers saturate, and
the best that is left to the head is the classes' shares. So do too few updates, whose cure is the opposite.
"""

import numpy as np

from berth.data.token_ids import TokenisedSplit
from berth.encoders.preprocessor import Preprocessor
from berth.errors import BerthError
from berth.models.decision_rule import decisions
from components.train.defaults import FEW_STEPS
from components.train.evaluation import Evaluation, predict

_TEXTS = 256
_USUAL = 3e-4
"""No usual learning rate for BERT is higher."""
_SHRUNK = 0.1
"""An untrained head on a pre-trained encoder tells texts apart, a little; less than this share of it is a collapse."""


def spread(evaluation: Evaluation, preprocessor: Preprocessor, validation: TokenisedSplit) -> float:
    """Return how much the probability of a class differs between texts: its standard deviation, mean over classes."""
    return float(_first_probabilities(evaluation, preprocessor, validation).std(0).mean())


def check_not_collapsed(
    evaluation: Evaluation,
    preprocessor: Preprocessor,
    validation: TokenisedSplit,
    untrained: float,
    labels: list[str],
    rate: float,
    steps: int,
) -> None:
    """Raise BerthError if the model predicts the same for every text, and the `untrained` one's `spread` was larger.

    For texts that are all of one class the same prediction is right: they do not tell a collapsed model from a sure
    one.
    """
    targets = validation.targets[:_TEXTS]
    if (targets == targets[0]).all():
        return
    probabilities = _first_probabilities(evaluation, preprocessor, validation)
    task = "single_label" if validation.targets.ndim == 1 else "multi_label"
    decided = decisions(probabilities, task)
    if (decided != decided[0]).any() or probabilities.std(0).mean() > _SHRUNK * untrained:
        return
    cure = f"Lower learning_rate ({rate:g}); 2e-5 to 5e-5 suits BERT, 1e-4 a small one, with recipe: berth."
    if steps < FEW_STEPS and rate <= _USUAL:
        cure = f"Raise epochs: {steps} updates are few, and the model has hardly begun to learn."
    predicted = repr(labels[decided[0].argmax()]) if task == "single_label" else "the same labels"
    raise BerthError(
        f"the model has collapsed: it predicts {predicted} for every validation text, and its probabilities hardly "
        f"differ. {cure}"
    )


def _first_probabilities(evaluation: Evaluation, preprocessor: Preprocessor, validation: TokenisedSplit) -> np.ndarray:
    """Return the probabilities of the first validation texts, which ingest has put there at random."""
    first = validation.subset(range(min(_TEXTS, len(validation))))
    return predict(evaluation, preprocessor, first, "validation")[0]
