"""The model that users have now, asked about the same test split, whatever run made it."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import mlflow
from mlflow.exceptions import MlflowException

from berth.data.dataset import PAIR, TEXT, Manifest, read_columns
from berth.data.seen_texts import FILE, SeenTexts
from berth.errors import BerthError
from berth.models import integrity
from berth.registry import versions
from berth.registry.fetch import fetch
from berth.tracking import tags
from components.evaluate.indicators import ModelOutputs
from components.evaluate.serving_check import Served, answers

if TYPE_CHECKING:
    import numpy as np
    from mlflow.entities.model_registry import ModelVersion


@dataclass(frozen=True)
class Champion:
    """The champion's version and its answers in the challenger's labels; or why it has none."""

    version: str
    answers: ModelOutputs | None
    problem: str = ""
    remarks: list[str] = field(default_factory=list)
    """What a reader has to know of the comparison."""
    same: bool = False
    """Whether it is the challenger itself, file by file."""
    seen: "np.ndarray | None" = None
    """Which test texts it has learnt from, bool [texts]; None: none of them."""
    behaviour: list[str] = field(default_factory=list)
    """Its labels of the behaviour file's texts."""


def ask(
    model_name: str, dataset: str | Path, challenger: str | Path, served: Served, extra: Sequence[str] = ()
) -> Champion | None:
    """Return what the champion of `model_name` answers for the test split of `dataset`; None: there is no champion.

    `served` is the challenger's own: a champion of the very same files answers the same. It is asked about the texts
    `extra` as well.
    """
    registered = versions.champion(model_name)
    if registered is None:
        return None
    version = str(registered.version)
    with tempfile.TemporaryDirectory(prefix="berth-champion-") as scratch:
        try:
            stored = fetch(f"{model_name}/{version}", scratch)
            if stored.digest == integrity.verify(challenger):
                remarks = ["The champion is this very model, file by file."]
                found = _of(version, served, served)
                return replace(found, remarks=remarks, same=True, behaviour=served.behaviour)
            own = answers(stored.folder, dataset, extra)
            found = replace(_of(version, own, served), behaviour=own.behaviour)
            return _judged_on_unseen(found, registered, dataset)
        except (BerthError, MlflowException, OSError, RuntimeError) as error:
            why = str(error).strip().splitlines()[-1].replace(f"{scratch}/", "").rstrip(".")
            return Champion(version, None, f"the champion, version {version}, cannot be asked: {why}")


def _judged_on_unseen(champion: Champion, registered: "ModelVersion", dataset: str | Path) -> Champion:
    """Return `champion` with the test texts that it has learnt from, or a remark where nobody knows."""
    manifest = Manifest.read(dataset)
    if not champion.answers or registered.tags.get(tags.FINGERPRINT) == manifest.fingerprint:
        return champion  # it was made of the same splits
    unknown = (
        "Which texts the champion has learnt from is not known: if some are in this test split, it looks better than "
        "it is."
    )
    try:
        with tempfile.TemporaryDirectory(prefix="berth-seen-") as scratch:
            path = mlflow.artifacts.download_artifacts(run_id=registered.run_id, artifact_path=FILE, dst_path=scratch)
            sketch = SeenTexts.read(path)
    except (MlflowException, OSError, ValueError, KeyError):  # an older Berth registered it
        return replace(champion, remarks=[*champion.remarks, unknown])
    rows = read_columns(dataset, "test")
    seen = sketch.has(rows[TEXT], rows.get(PAIR))
    many, texts = int(seen.sum()), len(seen)
    if not many:
        return champion
    if many == texts:
        problem = f"the champion, version {champion.version}, has learnt from every text of this test split"
        return Champion(champion.version, None, f"{problem}; another seed or other shares moved them", [])
    about = "" if sketch.share == 1 else f" of the {sketch.share:.0%} of its texts that are recorded"
    remark = (
        f"The champion has learnt from {many:,} of the {texts:,} test texts{about}: the two are compared on the other "
        f"{texts - many:,}."
    )
    return replace(champion, remarks=[*champion.remarks, remark], seen=seen)


def _of(version: str, own: Served, challenger: Served) -> Champion:
    """Return the champion's answers, a column for each of the challenger's labels."""
    import numpy as np

    if (own.task, own.pairs) != (challenger.task, challenger.pairs):
        return Champion(version, None, f"the champion, version {version}, was made for another task")
    if not np.isfinite(own.probabilities).all():
        return Champion(version, None, f"the champion, version {version}, gives probabilities that are not numbers")
    labels = challenger.labels
    chosen = own.decided
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
