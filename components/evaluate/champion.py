"""The model that users have now, asked about the same test split, whatever run made it."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlflow.exceptions import MlflowException

from berth.errors import BerthError
from berth.models import integrity
from berth.models.decision_rule import decisions
from berth.registry import versions
from berth.registry.fetch import fetch
from components.evaluate.indicators import ModelOutputs
from components.evaluate.serving_check import Served, answers


@dataclass(frozen=True)
class Champion:
    """The champion's version and its answers in the challenger's labels; or why it has none."""

    version: str
    answers: ModelOutputs | None
    problem: str = ""
    remarks: list[str] = field(default_factory=list)
    """What a reader has to know of the comparison."""


def ask(model_name: str, dataset: str | Path, challenger: str | Path, served: Served) -> Champion | None:
    """Return what the champion of `model_name` says of the test split of `dataset`; None: there is no champion.

    `served` is the challenger's own: a champion of the very same files says the same.
    """
    registered = versions.champion(model_name)
    if registered is None:
        return None
    version = str(registered.version)
    with tempfile.TemporaryDirectory(prefix="berth-champion-") as scratch:
        try:
            stored = fetch(f"{model_name}/{version}", scratch)
            if stored.digest == integrity.verify(challenger):
                return replace(_of(version, served, served), remarks=["The champion is this very model, file by file."])
            return _of(version, answers(stored.folder, dataset), served)
        except (BerthError, MlflowException, OSError, RuntimeError) as error:
            why = str(error).strip().splitlines()[-1].replace(f"{scratch}/", "").rstrip(".")
            return Champion(version, None, f"the champion, version {version}, cannot be asked: {why}")


def _of(version: str, own: Served, challenger: Served) -> Champion:
    """Return the champion's answers, a column for each of the challenger's labels."""
    import numpy as np

    if (own.task, own.pairs) != (challenger.task, challenger.pairs):
        return Champion(version, None, f"the champion, version {version}, was made for another task")
    if not np.isfinite(own.probabilities).all():
        return Champion(version, None, f"the champion, version {version}, gives probabilities that are not numbers")
    labels = challenger.labels
    chosen = decisions(own.probabilities, own.task, own.threshold)
    probabilities = np.zeros((len(chosen), len(labels)), np.float32)
    decided = np.zeros((len(chosen), len(labels)), bool)
    for column, label in enumerate(own.labels):
        if label in labels:
            probabilities[:, labels.index(label)] = own.probabilities[:, column]
            decided[:, labels.index(label)] = chosen[:, column]
    return Champion(version, ModelOutputs(probabilities, decided), remarks=_label_remarks(own.labels, labels))


def _label_remarks(own: Sequence[str], labels: Sequence[str]) -> list[str]:
    remarks = []
    if unknown := sorted(set(labels) - set(own)):
        remarks.append(f"The champion does not know {_named(unknown)}: it is wrong on every text of it.")
    if gone := sorted(set(own) - set(labels)):
        remarks.append(f"Only the champion knows {_named(gone)}: where it says so, it is wrong.")
    return remarks


def _named(labels: Sequence[str]) -> str:
    return f"the label{'s' if len(labels) > 1 else ''} {', '.join(labels)}"
