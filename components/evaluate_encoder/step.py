"""The evaluate_encoder step: a pre-trained encoder and a corpus in; a verdict, metrics and a report out."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from berth.data.corpus import HELD_OUT, Corpus, CorpusManifest
from berth.data.dataset import SPLITS, read_split
from berth.encoders import loading
from berth.encoders import resolve as encoders
from berth.encoders.preprocessor import Preprocessor
from berth.errors import BerthError
from berth.interval import Interval
from berth.models import integrity
from berth.pretraining import examples
from berth.pretraining.batches import Masker
from berth.pretraining.before import Before
from berth.pretraining.examples import Example
from berth.pretraining.exported import ExportedEncoder
from berth.pretraining.held_out import Sums, held_out_rows, judge
from berth.pretraining.settings import EncoderGates, Pretraining
from berth.pretraining.settings import Probe as ProbeSettings
from berth.pretraining.special_tokens import special_tokens
from berth.pretraining.tokenising import tokenised
from berth.settings import LONGEST
from berth.verdict import Verdict
from components.evaluate_encoder import gates
from components.evaluate_encoder.probe import Probed, probe
from components.evaluate_encoder.probed import ProbedEncoder

_TOLERANCE = 1e-3
"""How far the exported encoder's mean loss may be from that in training: other kernels, other batches."""


@dataclass(frozen=True)
class EncoderJudgement:
    """All that is known of a pre-trained encoder, and whether it may be pushed."""

    verdict: Verdict
    before: dict[str, float]
    after: dict[str, float]
    change: Interval
    """Of the loss of a masked token."""
    examples: list[tuple[Example, Example]]
    """Before and after."""
    probed: list[Probed]
    curve: list[dict[str, float]]
    corpus: CorpusManifest
    facts: dict[str, Any]
    """encoder.json."""

    def scores(self) -> dict[str, float]:
        """Return the numbers of this encoder on the held-out documents."""
        return dict(self.after)

    def numbers(self) -> dict[str, float]:
        """Return every number that is worth a chart, by name."""
        found = {**self.after, **{f"before/{name}": value for name, value in self.before.items()}}
        found |= {"mlm_loss_change": self.change.value}
        found |= {"mlm_loss_change/low": self.change.low, "mlm_loss_change/high": self.change.high}
        for own in self.probed:
            name = f"probe/{own.kind}_{own.size}"
            found[name] = own.after.value
            if own.before:
                found[f"{name}_before"] = own.before.value
        return found


def evaluate_encoder(
    corpus: str | Path,
    pretrained: str | Path,
    before: str | Path,
    labelled: str | Path,
    *,
    encoder: str,
    preprocessor: str,
    bounds: EncoderGates,
    asked: ProbeSettings | None,
) -> EncoderJudgement:
    """Judge the encoder in the folder `pretrained` on the held-out documents of `corpus`.

    Args:
        corpus: Folder that ingest_corpus wrote.
        pretrained: Folder that pretrain wrote.
        before: Folder that pretrain wrote about the encoder before.
        labelled: Folder of the probe's dataset, as ingest writes it; without a probe it does not count.
        encoder: Handle of the encoder before; empty where the encoder is new.
        preprocessor: Handle of its preprocessor; empty: its own.
        bounds: The gates.
        asked: The probe; None: there is none.

    Raises:
        BerthError: the encoder cannot be loaded, or the probe has too few texts.
    """
    pretrained = Path(pretrained)
    integrity.verify(pretrained)
    facts = json.loads((pretrained / "encoder.json").read_text(encoding="utf-8"))
    settings = Pretraining.model_validate(facts["settings"])
    own_preprocessor, name = pretrained / "preprocessor", "the pre-trained encoder"
    exported = ExportedEncoder(pretrained, name)
    loaded = loading.load("preprocessor", str(own_preprocessor), name)
    tokens = special_tokens(loaded, own_preprocessor, name)
    told, read = Before.read(before), Corpus(corpus)
    with tempfile.TemporaryDirectory(prefix="berth-held-out-") as scratch:
        store = tokenised(read, HELD_OUT, Preprocessor(loaded, LONGEST, name), Path(scratch) / HELD_OUT)
        rows = held_out_rows(store, settings, tokens.end)
        after = judge(exported.judge, Masker(settings, tokens), rows, "evaluating the encoder")
    _check_alike(told.sums, after)
    filled = examples.filled(exported.words, tokens, told.blanks)
    change = gates.change_of_loss(told.sums, after, bounds.confidence)
    probed = _probe(asked, labelled, encoder, preprocessor, pretrained, bounds.confidence)
    findings = gates.EncoderFindings(
        mlm_loss=after.metrics()["mlm_loss"],
        change=change,
        documents=len(told.sums.loss),
        probe={own.name: own.change for own in probed if own.change},
        no_probe="no labelled source is named (probe)",
        new=not encoder,
        serving_problem=_differs(told.trained, after.metrics()),
    )
    return EncoderJudgement(
        gates.judge(bounds, findings),
        told.sums.metrics(),
        after.metrics(),
        change,
        list(zip(told.examples, filled, strict=True)),
        probed,
        told.curve,
        read.manifest,
        facts,
    )


def _check_alike(before: Sums, after: Sums) -> None:
    """Raise BerthError where the encoder before was asked about other documents."""
    if len(before.loss) != len(after.loss) or (before.masked != after.masked).any():
        raise BerthError(
            "the encoder before was judged on other documents: corpus and encoder are of two runs. Run again."
        )


def _differs(trained: dict[str, float], exported: dict[str, float]) -> str:
    """Return what the exported encoder does otherwise than the trained one; empty: nothing."""
    own, other = exported["mlm_loss"], trained["mlm_loss"]
    if abs(own - other) <= _TOLERANCE:
        return ""
    return f"the exported encoder's loss is {own:.4f}, and in training it was {other:.4f}"


def _probe(
    asked: ProbeSettings | None,
    labelled: str | Path,
    encoder: str,
    preprocessor: str,
    pretrained: Path,
    confidence: float,
) -> list[Probed]:
    if asked is None:
        return []
    # The probe draws for itself: the splits do not count.
    splits = [read_split(labelled, split) for split in SPLITS]
    texts, labels = ([one for split in splits for one in split[place]] for place in (0, 1))
    first = None
    if encoder:
        folder, own_preprocessor = encoders.resolve(encoder, preprocessor)
        first = ProbedEncoder(folder, own_preprocessor, encoder)
    after = ProbedEncoder(pretrained, pretrained / "preprocessor", encoder or "the new encoder")
    return probe(texts, labels, asked, first, after, confidence)
