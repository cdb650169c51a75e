"""The loss that training minimises: cross-entropy with the options of `training`. Evaluation uses the plain loss."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from berth.training.settings import Training
from components.train.classifier import Classifier

_MOST_WEIGHT = 100.0
_NEVER = -1e9
"""The logit of a class that is left out of a sum of exponentials."""


@dataclass(frozen=True)
class Objective:
    """The loss of a text.

    Label smoothing (Szegedy et al. 2016), focal loss (Lin et al. 2017: the loss times (1 - p)^gamma, p the probability
    of the true class), and a weight per class.
    """

    label_smoothing: float
    focal_gamma: float
    class_weights: np.ndarray | None
    """float32 [classes]; multi-label: of a label that does not apply, and of one that does, [2, labels]."""

    def __call__(self, classifier: Classifier, logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
        """Return the loss of each row, float32 [batch]; the arguments are those of Classifier.loss."""
        classes = len(classifier.labels)
        if classifier.sigmoids:  # one sigmoid per label, or one for the second of two classes
            truth = tf.cast(targets if classifier.task == "multi_label" else targets[:, None], tf.float32)
            smooth = truth * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
            each = tf.nn.sigmoid_cross_entropy_with_logits(smooth, logits)
            log_wrong = -tf.nn.softplus(tf.where(truth > 0.5, logits, -logits))
        else:
            truth = tf.one_hot(targets, classes)
            smooth = truth * (1.0 - self.label_smoothing) + self.label_smoothing / classes
            each = tf.nn.softmax_cross_entropy_with_logits(smooth, logits)[:, None]
            others = tf.where(truth > 0.5, _NEVER, logits)
            log_wrong = tf.reduce_logsumexp(others, -1, keepdims=True) - tf.reduce_logsumexp(logits, -1, keepdims=True)
        if self.focal_gamma:
            # (1 - p)^gamma by the logarithm of 1 - p: where p rounds to 1, a power's gradient is infinite.
            each *= tf.exp(self.focal_gamma * log_wrong)
        if self.class_weights is not None:
            weights = tf.constant(self.class_weights)
            if classifier.task == "multi_label":
                each *= truth * weights[1] + (1.0 - truth) * weights[0]
            else:
                each *= tf.gather(weights, targets)[:, None]
        return tf.reduce_mean(each, -1)


def objective(training: Training, task: str, targets: np.ndarray, classes: int) -> Objective:
    """Return the objective that `training` asks for; `balanced` weights come from the train split's `targets`.

    A weight is texts / (classes x texts of the class), scikit-learn's "balanced". In a multi-label task each label is
    two classes, the texts without it and those with it, and no weight is above 100: a label on one text of 10,000
    would be all that the model learns.
    """
    weights = None
    if training.class_weights == "balanced" and task == "multi_label":
        with_label = targets.sum(0)
        counts = np.stack([len(targets) - with_label, with_label])
        weights = np.minimum(len(targets) / (2 * np.maximum(counts, 1)), _MOST_WEIGHT).astype(np.float32)
    elif training.class_weights == "balanced":
        weights = (len(targets) / (classes * np.bincount(targets, minlength=classes))).astype(np.float32)
    return Objective(training.label_smoothing, training.focal_gamma, weights)
