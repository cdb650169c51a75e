"""Classification as a training task."""

import math

import numpy as np
import tensorflow as tf

from berth.data.token_ids import TokenisedSplit, segments
from berth.encoders.preprocessor import Preprocessor
from berth.errors import BerthError
from berth.training.recipe import Recipe
from berth.training.task import Batch
from components.train import long_texts
from components.train.classifier import Classifier
from components.train.collapse import collapse_error, is_collapsed, is_gone, shares_of, spread, texts_of_every_class
from components.train.defaults import steps_of
from components.train.evaluation import (
    batch_signature,
    encoding_function,
    evaluation_function,
    metrics_of,
    predict,
)
from components.train.loss import objective

Predictions = tuple[np.ndarray, np.ndarray]
"""Probabilities, float32 [texts, classes], and losses, float32 [texts]."""


class EvaluatedWeights(list[np.ndarray]):
    """Weights, and what the model with them predicted for the validation split; None: that is not known."""

    def __init__(self, weights: list[np.ndarray], predictions: Predictions | None) -> None:
        super().__init__(weights)
        self.predictions = predictions


class ClassificationTask:
    """See TrainingTask.

    Args:
        classifier: What is evaluated, and holds the weights that are kept.
        replicated: What is trained: the classifier itself, or with several devices one that was made in their scope.
        preprocessor: The encoder's.
        train: The split that is trained on.
        validation: The split that is evaluated on.
        recipe: How.
        multiple: What the length of a batch is rounded up to, at most to the preprocessor's sequence_length.
    """

    def __init__(
        self,
        classifier: Classifier,
        replicated: Classifier,
        preprocessor: Preprocessor,
        train: TokenisedSplit,
        validation: TokenisedSplit,
        recipe: Recipe,
        multiple: int = 1,
    ) -> None:
        self._multiple = multiple
        self.classifier, self.replicated, self.preprocessor = classifier, replicated, preprocessor
        self.train, self.validation, self.recipe = train, validation, recipe
        self.evaluation = evaluation_function(classifier, preprocessor)
        """(segments, targets) -> (probabilities, losses), compiled."""
        self.encoding = encoding_function(classifier, preprocessor)
        """segments -> vectors, compiled where it is asked for."""
        self.variables = replicated.variables
        self.tied: list[tf.Variable] = []
        self.widths = preprocessor.widths(train)
        self.window = preprocessor.sequence_length
        self._packs = long_texts.needed(preprocessor, self.widths)
        pads = recipe.facts.pads_to_full_length and not classifier.takes_texts
        self.padded_width = preprocessor.sequence_length if pads else 0
        self.batch_signature = batch_signature(classifier, preprocessor)
        self._looked_at = texts_of_every_class(validation.targets)
        """The validation rows that show whether the model has collapsed."""
        self._shares = shares_of(train.targets, len(classifier.labels))
        if classifier.task == "multi_label" and recipe.facts.adapts:
            for own in (classifier, replicated):
                own.start_from(self._shares, len(train))
        self._predicted: Predictions | None = None
        """Of the whole split, with the weights that were evaluated or restored last."""
        self._objective = objective(recipe.training, classifier.task, train.targets, len(classifier.labels))

    def begin_epoch(self, epoch: int) -> None:
        """Do nothing: every epoch has all rows of the train split."""

    def rows_of(self, epochs: int) -> int:
        return len(self.train) * epochs

    def batch(self, rows: np.ndarray) -> Batch:
        return segments(self.train, rows), self.train.targets[rows]

    def parts(self, rows: np.ndarray) -> list[np.ndarray]:
        return long_texts.parts(rows, self.widths, self.preprocessor.sequence_length)

    def seed(self, step: int, part: int, worker: int) -> None:
        self.replicated.seeds.set(step, part, worker)

    def loss(self, batch: Batch) -> tf.Tensor:
        own_segments, targets = batch
        logits = self.replicated.logits_of(self.vectors(own_segments), training=True)
        return self._objective(self.replicated, logits, targets)

    def vectors(self, own_segments: list[tf.RaggedTensor]) -> tf.Tensor:
        """Return the vectors of a batch's texts in training, float32 [batch, hidden]."""
        padded = self.padded_width or None
        return long_texts.vectors(self.replicated, self._packs, own_segments, True, padded, self._multiple)

    def evaluate(self) -> dict[str, float]:
        self.take_over()
        return self.evaluate_own()

    def take_over(self) -> None:
        """Set the classifier to the weights that were trained on several devices."""
        if self.replicated is not self.classifier:
            self.classifier.restore(self.replicated.weights())

    def evaluate_own(self) -> dict[str, float]:
        """Return the metrics of the classifier as it is on the validation split."""
        self._predicted = predict(self.evaluation, self.preprocessor, self.validation, "validation")
        return metrics_of(*self._predicted, self.validation, self.classifier)

    def predictions(self) -> Predictions:
        """Return those for the validation split of the weights that were evaluated, or restored, last.

        They are made again only where a checkpoint brought the weights without them.
        """
        return self._predicted or predict(self.evaluation, self.preprocessor, self.validation, "validation")

    def score(self, metrics: dict[str, float]) -> float:
        name = self.recipe.select_by
        if name == "last":
            return 0.0
        return metrics[name] if name in ("val_accuracy", "val_macro_f1") else -metrics["val_loss"]

    def margin(self, metrics: dict[str, float]) -> float:
        return {"val_loss_1se": metrics["val_loss_error"], "last": math.inf}.get(self.recipe.select_by, 0.0)

    def weights(self) -> list[np.ndarray]:
        return EvaluatedWeights(self.classifier.weights(), self._predicted)

    def restore(self, weights: list[np.ndarray]) -> None:
        self.classifier.restore(weights)
        self._predicted = weights.predictions if isinstance(weights, EvaluatedWeights) else None

    def begin(self) -> dict[str, float]:
        return {"spread": spread(self._probabilities())}

    def check(self, begun: dict[str, float]) -> None:
        latest = self._probabilities()
        if not is_gone(latest, self.validation.targets[self._looked_at], self._shares, begun["spread"]):
            begun["of_use"] = 1.0  # and may be what is kept, whatever comes after it
        elif not begun.get("of_use") and begun.get("gone"):
            raise self._collapsed(latest)
        else:
            begun["gone"] = 1.0

    def end(self, begun: dict[str, float]) -> None:
        found = self._probabilities()
        if is_collapsed(found, self.validation.targets[self._looked_at], self._shares, begun["spread"]):
            raise self._collapsed(found)

    def _probabilities(self) -> np.ndarray:
        """Return the probabilities of the texts that show whether the model has collapsed."""
        if self._predicted:
            return self._predicted[0][self._looked_at]
        looked_at = self.validation.subset(self._looked_at)
        return predict(self.evaluation, self.preprocessor, looked_at, "validation")[0]

    def _collapsed(self, probabilities: np.ndarray) -> BerthError:
        rate, steps = self.recipe.peak_learning_rate, steps_of(self.recipe, self.rows_of(1), int(self.widths.sum()))
        return collapse_error(probabilities, self.train.targets, self.classifier.labels, rate, steps)
