"""The input side of training alone: token ids on the disk, an epoch's batches, and the tensors of each batch.

    .venv/train/bin/python -m benchmarks.input [--texts 1000000 10000000 100000000] [--batches 2000]

Texts are short, 4 to 30 tokens at random. Each size runs in a process of its own, so that its memory is its own. 100
million texts take about 7 GB of disk in TMPDIR and a few minutes; a batch has 32 of them.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np
from rich.console import Console
from rich.table import Table

_CHUNK = 1_000_000


def measure(texts: int, count: int) -> dict[str, float]:
    """Return seconds, and gigabytes of memory, of the input side with so many texts."""
    import tensorflow as tf

    from berth.data.token_ids import TokenIds, TokenisedSplit, segments
    from berth.training.batching import Batching, batches

    tf.constant(0)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    rng = np.random.default_rng(0)

    def chunks():
        for start in range(0, texts, _CHUNK):
            lengths = rng.integers(4, 31, min(_CHUNK, texts - start))
            yield rng.integers(0, 30_000, lengths.sum(), np.int32), lengths

    start = time.perf_counter()
    split = TokenisedSplit(TokenIds.on_disk(chunks()), np.zeros(texts, np.int32))
    written = time.perf_counter() - start
    start = time.perf_counter()
    made = list(batches(split.widths(126, 2), Batching(32), np.random.default_rng(0)))
    planned = time.perf_counter() - start
    start = time.perf_counter()
    for rows in made[:count]:
        segments(split, rows)
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return {"write": written, "plan": planned, "batch": seconds / min(count, len(made)), "memory": peak / 1e6}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--texts", type=int, nargs="+", default=[1_000_000, 10_000_000, 100_000_000])
    parser.add_argument("--batches", type=int, default=2_000, help="how many batches' tensors are made and timed")
    parser.add_argument("--measure", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.measure:
        print(json.dumps(measure(asked.measure, asked.batches)))
        return
    names = ("texts", "write token ids, s", "plan an epoch, s", "tensors of a batch, ms", "memory, GB")
    table = Table(*names)
    for texts in asked.texts:
        command = [sys.executable, "-m", "benchmarks.input", "--measure", str(texts), "--batches", str(asked.batches)]
        answer = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1]
        found = json.loads(answer)
        numbers = (found["write"], found["plan"], 1000 * found["batch"], found["memory"])
        table.add_row(f"{texts:,}", *(f"{number:.2f}" for number in numbers))
    Console().print(table)


if __name__ == "__main__":
    main()
