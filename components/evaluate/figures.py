"""The confusion matrix and the ROC curve as figures for MLflow."""

from typing import TYPE_CHECKING

from components.evaluate.scores import SplitScores

_MOST_CURVES = 10

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def confusion_figure(evaluation: SplitScores) -> "Figure":
    """Return the confusion matrix, shaded by share of the true class."""
    import numpy as np
    from matplotlib.figure import Figure
    from sklearn.metrics import ConfusionMatrixDisplay

    figure = Figure(figsize=(5, 4), layout="constrained")
    ConfusionMatrixDisplay(np.array(evaluation.confusion), display_labels=_plain(evaluation.labels)).plot(
        ax=figure.subplots(), cmap="Blues", colorbar=False, xticks_rotation=45 if len(evaluation.labels) > 3 else 0
    )
    return figure


def roc_figure(evaluation: SplitScores) -> "Figure":
    """Return the ROC curves, of the first ten labels."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    curves = evaluation.roc[:_MOST_CURVES]
    for curve, name in zip(curves, _plain([curve.label for curve in curves]), strict=True):
        axes.plot(curve.x, curve.y, label=name)
    axes.plot([0, 1], [0, 1], linestyle="--", color="grey", linewidth=1)
    axes.set(xlabel="false positive rate", ylabel="true positive rate")
    axes.legend()
    return figure


def _plain(labels: list[str]) -> list[str]:
    """Return `labels` short, and without the dollar signs that matplotlib would read as mathematics."""
    return [label[:24].replace("$", r"\$") for label in labels]
