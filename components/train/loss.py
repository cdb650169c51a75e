"""The loss that training minimises: cross-entropy with the options of `training`. Evaluation uses the plain loss."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from berth.training.settings import Training

if TYPE_CHECKING:
    import numpy as np

    from components.train.classifier import Classifier


@dataclass(frozen=True)
class Objective:
    """The loss of a text.

    Label smoothing (Szegedy et al. 2016), focal loss (Lin et al. 2017: the loss times (1 - p)^gamma, p the probability
    of the true class), and a weight per class.
    """

    label_smoothing: float
    focal_gamma: float
    class_weights: "np.ndarray | None"
    """float32 [classes]; multi-label: the weight of a label that applies, relative to one that does not."""

    def __call__(self, classifier: "Classifier", logits: Any, targets: Any) -> Any:
        """Return the loss of each row, float32 [batch]; the arguments are those of Classifier.loss."""
        import tensorflow as tf

        classes = len(classifier.labels)
        if classifier.sigmoids:  # one sigmoid per label, or one for the second of two classes
            truth = tf.cast(targets if classifier.task == "multi_label" else targets[:, None], tf.float32)
            smooth = truth * (1.0 - self.label_smoothing) + 0.5 * self.label_smoothing
            each = tf.nn.sigmoid_cross_entropy_with_logits(smooth, logits)
            right = tf.sigmoid(tf.where(truth > 0.5, logits, -logits))
        else:
            truth = tf.one_hot(targets, classes)
            smooth = truth * (1.0 - self.label_smoothing) + self.label_smoothing / classes
            each = tf.nn.softmax_cross_entropy_with_logits(smooth, logits)[:, None]
            right = tf.reduce_sum(tf.nn.softmax(logits) * truth, -1, keepdims=True)
        if self.focal_gamma:
            each *= tf.pow(1.0 - right, self.focal_gamma)
        if self.class_weights is not None:
            weights = tf.constant(self.class_weights)
            if classifier.task == "multi_label":
                each *= truth * weights + (1.0 - truth)
            else:
                each *= tf.gather(weights, targets)[:, None]
        return tf.reduce_mean(each, -1)


def objective(training: Training, task: str, targets: "np.ndarray", classes: int) -> Objective:
    """Return the objective that `training` asks for; `balanced` weights come from the train split's `targets`.

    For a single-label task a weight is texts / (classes x texts of the class), scikit-learn's "balanced"; for a
    multi-label task it is texts without the label / texts with it.
    """
    import numpy as np

    weights = None
    if training.class_weights == "balanced" and task == "multi_label":
        with_label = targets.sum(0)
        weights = ((len(targets) - with_label) / np.maximum(with_label, 1)).astype(np.float32)
    elif training.class_weights == "balanced":
        weights = (len(targets) / (classes * np.bincount(targets, minlength=classes))).astype(np.float32)
    return Objective(training.label_smoothing, training.focal_gamma, weights)
