"""The gates of a pre-trained encoder, and the bootstrap over held-out documents that they are judged by."""

from dataclasses import dataclass, field

import numpy as np

from berth.interval import Interval, interval
from berth.pretraining.held_out import Sums
from berth.pretraining.settings import FEWEST_TO_COMPARE, EncoderGates
from berth.verdict import Gate, Verdict

_RESAMPLES, _AT_A_TIME = 2_000, 100


@dataclass(frozen=True)
class EncoderFindings:
    """What the gates are judged on."""

    mlm_loss: float
    change: Interval
    """Of mlm_loss, from the encoder before to this one."""
    documents: int
    """Held-out ones, which `change` is from."""
    probe: dict[str, Interval] = field(default_factory=dict)
    """Changes of accuracy, by the kind and the number of labels."""
    no_probe: str = ""
    """Why there are none."""
    new: bool = False
    """Whether the encoder was made from nothing, so that there is none before it to lose."""
    serving_problem: str = ""


def judge(gates: EncoderGates, findings: EncoderFindings) -> Verdict:
    """Return the verdict of `gates` on `findings`."""
    judged: list[Gate] = []
    if gates.max_mlm_loss is not None:
        holds = findings.mlm_loss <= gates.max_mlm_loss
        words = f"{findings.mlm_loss:.4f} {'<=' if holds else '>'} {gates.max_mlm_loss:g}"
        judged.append(_gate("max_mlm_loss", findings.mlm_loss, gates.max_mlm_loss, holds, words))
    if gates.must_improve and findings.documents < FEWEST_TO_COMPARE:
        words = (
            f"cannot be judged: {findings.documents} held-out documents are too few. Raise held_out until it is "
            f"{FEWEST_TO_COMPARE}, or give more documents."
        )
        judged.append(_gate("must_improve", findings.change.value, 0.0, False, words))
    elif gates.must_improve:
        change = findings.change
        holds = change.high < 0
        words = f"loss of masked tokens {_between(change, gates)}, {'better' if holds else 'not certainly better'}"
        judged.append(_gate("must_improve", change.value, 0.0, holds, words))
    if gates.max_probe_drop is not None:
        judged.append(_max_probe_drop(gates.max_probe_drop, gates, findings))
    return Verdict([*judged, Gate.serving_check(findings.serving_problem)])


def change_of_loss(before: Sums, after: Sums, confidence: float, seed: int = 0) -> Interval:
    """Return the change of the mean loss of a masked token, with its interval over resampled documents.

    Both are of the same documents in the same order, and each resample draws the same ones for both.
    """
    rng = np.random.default_rng(seed)
    documents = len(before.loss)
    drawn: list[np.ndarray] = []
    for _ in range(_RESAMPLES // _AT_A_TIME):
        times = rng.multinomial(documents, np.full(documents, 1 / documents), _AT_A_TIME).astype(np.float64)
        masked = np.maximum(1.0, times @ after.masked)
        drawn.append((times @ (after.loss - before.loss)) / masked)
    value = float((after.loss - before.loss).sum() / after.masked.sum())
    return interval(value, np.concatenate(drawn), confidence)


def _max_probe_drop(bound: float, gates: EncoderGates, findings: EncoderFindings) -> Gate:
    name = "max_probe_drop"
    if findings.new:
        return Gate(name, None, bound, "skipped", "skipped: the encoder is new, there is none before it")
    if not findings.probe:
        return Gate(name, None, bound, "fail", f"cannot be judged: {findings.no_probe}")
    worst = min(findings.probe, key=lambda kind: findings.probe[kind].low)
    change = findings.probe[worst]
    holds = change.low >= -bound
    drop = f"{'so no' if holds else 'so perhaps a'} drop of more than {bound:g}"
    words = f"accuracy {_between(change, gates)} {worst}, {drop}"
    return _gate(name, change.value, bound, holds, words)


def _gate(name: str, value: float, bound: float, holds: bool, words: str) -> Gate:
    return Gate(name, value, bound, "pass" if holds else "fail", words)


def _between(change: Interval, gates: EncoderGates) -> str:
    return f"{change.value:+.4f} ({gates.confidence:.0%}: {change.low:+.4f} to {change.high:+.4f})"
