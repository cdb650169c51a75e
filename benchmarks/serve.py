"""Serving: the original recipe's export, every text padded to 128 tokens, compared with Berth's two signatures.

    .venv/train/bin/python -m benchmarks.serve

Same weights (all-MiniLM-L6, and a head that is not trained: speed does not depend on it), same real texts, one process,
rounds in turn; a figure is the median over the rounds, a ratio the median of the rounds' ratios.
"""

import functools
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

EXAMPLES = Path(__file__).parents[1] / "examples"
DATA = {
    "review sentences": sorted((EXAMPLES / "sentences").glob("sentences_*.tsv")),
    "text messages": [EXAMPLES / "sms-spam" / "sms_spam_collection.tsv"],
}
TEXTS = 512
ROUNDS = 3
BATCH = 64
REQUESTS = 20
"""Single requests of each kind in a round."""
SHORT_WORDS = 8
BULK_BAR, REQUEST_BAR = 4.0, 3.0

Serve = Callable[[list[str]], object]
Found = TypeVar("Found")


def main() -> int:
    """Measure, print the tables, and return whether a bar is missed."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from rich.console import Console
    from rich.table import Table

    graphs = _graphs()
    console = Console()
    missed = False
    throughput = Table("texts", "graph", "texts/s", "times the original", title=f"{TEXTS} texts", box=None)
    for name, files in DATA.items():
        speeds = _rounds(graphs, functools.partial(_speed, _texts(files)))
        for graph, own in speeds.items():
            ratio = _ratio(own, speeds["original"])
            throughput.add_row(name, graph, f"{statistics.median(own):,.0f}", f"{ratio:.1f}")
            missed |= graph == "bulk" and ratio < BULK_BAR
    console.print(throughput)

    texts = [text for files in DATA.values() for text in _texts(files) if len(text.split()) <= SHORT_WORDS]
    latency = Table("graph", "p50 ms", "p95 ms", "times faster (p50)", title="one short request", box=None)
    single = {graph: serve for graph, serve in graphs.items() if graph != "bulk"}
    waits = _rounds(single, functools.partial(_latencies, texts))
    for graph, own in waits.items():
        p50, p95 = _percentiles([wait for once in own for wait in once])
        ratio = _ratio(*([statistics.median(once) for once in waits[one]] for one in ("original", graph)))
        latency.add_row(graph, f"{p50:.1f}", f"{p95:.1f}", f"{ratio:.1f}")
        missed |= graph == "serving_default" and ratio < REQUEST_BAR
    console.print(latency)
    console.print(
        f"bars: bulk {BULK_BAR:.0f} times the original's texts/s, a short request {REQUEST_BAR:.0f} times faster"
    )
    return int(missed)


def _graphs() -> dict[str, Serve]:
    """Return the three graphs, each loaded from its own SavedModel and called on a list of texts."""
    import tensorflow as tf

    from berth.encoders.builtin import minilm
    from berth.encoders.loading import load
    from berth.encoders.preprocessor import Preprocessor
    from components.train.classifier import Classifier
    from components.train.export import export

    encoder, folder = minilm.handles()
    preprocessor = load("preprocessor", folder, "minilm")
    classifier = Classifier(encoder, "minilm", ["neg", "pos"], 0)
    with tempfile.TemporaryDirectory() as scratch:
        export(classifier, Preprocessor(preprocessor, 128, "minilm"), 0.5, Path(scratch) / "berth")

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
        def original(text: tf.Tensor) -> dict[str, tf.Tensor]:
            logits = classifier.logits(preprocessor(text), training=False)
            return {"probabilities": classifier.probabilities(logits)}

        root = tf.Module()
        root.parts = [preprocessor, classifier.encoder, classifier.head]
        tf.saved_model.save(root, f"{scratch}/original", signatures={"serving_default": original})
        berth, plain = (tf.saved_model.load(f"{scratch}/{name}") for name in ("berth", "original"))

    def batches(signature: tf.types.experimental.ConcreteFunction) -> Serve:
        return lambda texts: [
            signature(text=tf.constant(texts[start : start + BATCH]))["probabilities"].numpy()
            for start in range(0, len(texts), BATCH)
        ]

    bulk = berth.signatures["bulk"]
    bulk.keeps_alive, plain.signatures["serving_default"].keeps_alive = berth, plain
    graphs: dict[str, Serve] = {
        "original": batches(plain.signatures["serving_default"]),
        "serving_default": batches(berth.signatures["serving_default"]),
        "bulk": lambda texts: [bulk(text=tf.constant(texts))["probabilities"].numpy()],
    }
    _check_equal(graphs)
    return graphs


def _check_equal(graphs: dict[str, Serve]) -> None:
    """Warm the graphs up; the same weights have to give the same answers, or the comparison is of nothing."""
    import numpy as np

    texts = [text for text in _texts(DATA["review sentences"]) if len(text.split()) < 40][:BATCH]
    expected, *others = (np.concatenate(serve(texts)) for serve in graphs.values())
    assert all(np.abs(other - expected).max() < 1e-4 for other in others)


def _texts(files: list[Path]) -> list[str]:
    """Return TEXTS texts, evenly out of the files."""
    lines = [line for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    return [lines[number * len(lines) // TEXTS].split("\t", 1)[1] for number in range(TEXTS)]


def _rounds(graphs: dict[str, Serve], measure: Callable[[Serve], Found]) -> dict[str, list[Found]]:
    """Return what `measure` gave of each graph in each round; they take turns, and each round another goes first."""
    results: dict[str, list[Found]] = {name: [] for name in graphs}
    names = list(graphs)
    for number in range(ROUNDS):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            results[name].append(measure(graphs[name]))
    return results


def _speed(texts: list[str], serve: Serve) -> float:
    start = time.perf_counter()
    serve(texts)
    return len(texts) / (time.perf_counter() - start)


def _latencies(texts: list[str], serve: Serve) -> list[float]:
    """Return how long single requests took, in ms."""
    took = []
    for text in texts[:REQUESTS]:
        start = time.perf_counter()
        serve([text])
        took.append(1000 * (time.perf_counter() - start))
    return took


def _ratio(numerators: list[float], denominators: list[float]) -> float:
    return statistics.median(above / below for above, below in zip(numerators, denominators, strict=True))


def _percentiles(values: list[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(values, n=20)
    return statistics.median(values), cuts[-1]


if __name__ == "__main__":
    sys.exit(main())
