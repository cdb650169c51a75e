"""Workload of the contenders of benchmarks.train: the texts, the sizes, and how their work is counted."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

ROOT = Path(__file__).parents[1]
DATA = {
    "reviews": ["examples/sentences/sentences_imdb.tsv", "examples/sentences/sentences_amazon.tsv"],
    "messages": ["examples/sms-spam/sms_spam_collection.tsv"],
}
BATCH, EPOCHS, RATE, WARMUP, DECAY, LENGTH = 32, 3, 1e-4, 0.1, 0.01, 128
LAYERS, HIDDEN, INNER = 6, 384, 1536
SHAPE = {
    "vocab_size": 30522,
    "hidden_size": HIDDEN,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 12,
    "intermediate_size": INNER,
}
"""minilm, as transformers' BertConfig takes it."""
Batch = TypeVar("Batch")
SAMPLE = 8
"""Batches of a round."""


@dataclass(frozen=True)
class Texts:
    """Texts with their classes, 0 or 1."""

    texts: list[str]
    classes: np.ndarray

    def part(self, start: float, end: float) -> "Texts":
        """Return the texts from the share `start` to the share `end`."""
        first, last = (round(share * len(self.texts)) for share in (start, end))
        return Texts(self.texts[first:last], self.classes[first:last])


def read(data: str) -> dict[str, Texts]:
    """Return the distinct texts of `data`, split into train, validation and test: 70, 10 and 20 percent."""
    rows: dict[str, str] = {}
    for path in DATA[data]:
        for line in (ROOT / path).read_text(encoding="utf-8").splitlines():
            label, text = line.split("\t", 1)
            rows.setdefault(text, label)
    labels = sorted(set(rows.values()))
    order = np.random.default_rng(0).permutation(len(rows))
    texts = list(rows)
    classes = np.array([labels.index(rows[text]) for text in texts], np.int32)
    shuffled = Texts([texts[row] for row in order], classes[order])
    return {name: shuffled.part(*ends) for name, ends in zip(PARTS, ((0, 0.7), (0.7, 0.8), (0.8, 1)), strict=True)}


PARTS = ("train", "validation", "test")


def timed(
    step: Callable[[Batch], object], epoch: list[Batch], widths: "np.ndarray", which: int, of: int
) -> dict[str, float]:
    """Take SAMPLE steps on batches of `epoch`, and return what they were and how long they took.

    The batches are evenly from the shortest to the longest, each time (`which` of `of`) others.
    """
    ordered = sorted(epoch, key=lambda rows: int(widths[rows].max()))
    chosen = [ordered[int((number + (which + 0.5) / of) * len(ordered) / SAMPLE)] for number in range(SAMPLE)]
    start = time.perf_counter()
    for rows in chosen:
        step(rows)
    seconds = time.perf_counter() - start
    padded = sum(len(rows) * int(widths[rows].max()) for rows in epoch)
    return {**work(widths[np.concatenate(chosen)]), "padding": 1 - widths.sum() / padded, "seconds": seconds}


def work(widths: "np.ndarray") -> dict[str, float]:
    """Return texts, tokens and floating-point operations of training on texts as wide as `widths`.

    Two operations for each weight of a layer's matrix products and each token forward, twice that backward; and of
    attention 4 * hidden for each pair of tokens of a text forward, twice that backward (Kaplan et al. 2020).
    """
    weights = LAYERS * (4 * HIDDEN * HIDDEN + 2 * HIDDEN * INNER)
    tokens, pairs = float(widths.sum()), float((widths.astype(np.int64) ** 2).sum())
    return {
        "texts": len(widths),
        "tokens": tokens,
        "flops": 6 * weights * tokens + 12 * LAYERS * HIDDEN * pairs,
    }
