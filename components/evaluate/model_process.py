"""`python -m components.evaluate.model_process`: a process that loads an exported model and writes its predictions.

It is fresh, as a server is: nothing of training, and nothing of another model, is in it. It imports TensorFlow before
it reads its request, the arguments of `main` as JSON on stdin, so that it can be started early; without one it ends.
"""

import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

from berth.data.dataset import PAIR, TEXT, read_columns
from berth.data.edge_cases import EDGE_CASES
from berth.errors import first_line
from berth.lean_import import import_tensorflow_for_serving
from berth.models.saved_model import ServedClassifier, load
from components.evaluate.agreement import BOUND, largest_difference
from components.evaluate.explained import explain_mistakes, explainer_of, mistakes_to_explain

if TYPE_CHECKING:
    import numpy as np

_WARM_UP = 10
_REQUESTS = 100
_BATCHES = (1, 256)
_VALIDATION_TEXTS = 256
"""Most validation texts that are compared with what the model answered in training."""


def main(model: str, dataset: str, out: str, check: bool, extra: Sequence[str] = (), explain: int = 0) -> None:
    """Write what the model answers for the test split, and with `check` what the serving check measures, to `out`.

    `probabilities.npy` is float32 [texts, labels]; `facts.json`, which comes after all else but the last, holds labels,
    task, threshold, the measurements and the labels of the texts `extra`; `explained.json` the words that the model
    used in `explain` mistakes.
    """
    import numpy as np

    start = time.perf_counter()
    classifier = load(model)
    load_seconds = time.perf_counter() - start
    rows = read_columns(dataset, "test")
    texts, pairs = rows[TEXT], rows.get(PAIR)
    start = time.perf_counter()
    _, probabilities = classifier.predict(texts, pairs)
    seconds = time.perf_counter() - start
    facts = {
        "labels": classifier.labels,
        "task": classifier.task,
        "pairs": classifier.pairs,
        "threshold": classifier.threshold,
        "abstain_below": classifier.abstain_below,
        "load_seconds": load_seconds,
        "texts_per_second": len(texts) / seconds,
    }
    if extra and not classifier.pairs:
        found, _ = classifier.predict(extra)
        facts["behaviour"] = [own if isinstance(own, str) else ", ".join(own) for own in found]
    folder = Path(out)
    np.save(folder / "probabilities.npy", probabilities)
    mistakes = mistakes_to_explain(classifier, rows, probabilities, explain) if explain else []
    if check:
        facts |= _latency(classifier, texts, pairs)
    with ThreadPoolExecutor(1) as background:  # after the latencies: it takes a core
        explainer = background.submit(explainer_of, model) if mistakes else None
        if check:
            facts["problems"] = _edge_cases(classifier, folder) + _batches(classifier, texts, pairs, probabilities)
            np.save(folder / "validation.npy", _validation(classifier, dataset))
        whole = folder / "facts.json.part"
        whole.write_text(json.dumps(facts), encoding="utf-8")
        whole.rename(folder / "facts.json")
        words = explain_mistakes(explainer.result, rows, mistakes) if explainer else {}
    (folder / "explained.json").write_text(json.dumps(words), encoding="utf-8")


def _latency(classifier: ServedClassifier, texts: Sequence[str], pairs: Sequence[str] | None) -> dict[str, float]:
    """Time requests of one text, real ones; the model has answered before."""
    import numpy as np

    took = []
    for number in range(_WARM_UP + _REQUESTS):
        row = number % len(texts)
        start = time.perf_counter()
        classifier.predict([texts[row]], [pairs[row]] if pairs else None)
        took.append(1000 * (time.perf_counter() - start))
    p50, p95 = np.percentile(took[_WARM_UP:], [50, 95])
    return {"p50_ms": float(p50), "p95_ms": float(p95)}


def _edge_cases(classifier: ServedClassifier, folder: Path) -> list[str]:
    """Send each edge case alone and all in one batch; return what is wrong, and keep the answers for comparison."""
    import numpy as np

    problems = []
    answers = np.full((len(EDGE_CASES), len(classifier.labels)), np.nan, np.float32)
    for number, (name, text) in enumerate(EDGE_CASES.items()):
        try:
            _, found = classifier.predict([text], [text] if classifier.pairs else None)
            answers[number] = found[0]
        except Exception as error:
            problems.append(f"fails on {name} ({first_line(error)[:120]})")
    if not problems:
        everything = list(EDGE_CASES.values())
        _, together = classifier.predict(everything, everything if classifier.pairs else None)
        problems += _differs(together, answers, "edge cases in one batch")
    np.save(folder / "edge.npy", answers)
    return problems


def _batches(
    classifier: ServedClassifier, texts: Sequence[str], pairs: Sequence[str] | None, expected: "np.ndarray"
) -> list[str]:
    """Send batches of 1 and 256 texts; an answer must not depend on what else is in the batch.

    The texts are of the shorter half: the signature pads to the longest of a batch, and 256 long texts would take
    minutes. Short next to long are the edge cases.
    """
    by_length = sorted(range(len(texts)), key=lambda row: len(texts[row]) + (len(pairs[row]) if pairs else 0))
    shorter = by_length[: (len(texts) + 1) // 2]
    problems = []
    for size in _BATCHES:
        rows = [shorter[place % len(shorter)] for place in range(size)]
        _, found = classifier.predict(
            [texts[row] for row in rows], [pairs[row] for row in rows] if pairs else None, batch_size=size
        )
        problems += _differs(found, expected[rows], f"a batch of {size}")
    return problems


def _validation(classifier: ServedClassifier, dataset: str) -> "np.ndarray":
    """Return the probabilities of validation texts that train has noted too, float32 [texts, labels]."""
    rows = read_columns(dataset, "validation")
    chosen = slice(0, _VALIDATION_TEXTS)
    pairs = rows.get(PAIR)
    return classifier.predict(rows[TEXT][chosen], pairs[chosen] if pairs else None)[1]


def _differs(found: "np.ndarray", expected: "np.ndarray", what: str) -> list[str]:
    worst = largest_difference(found, expected)
    return [] if worst <= BOUND else [f"answers {what} differently, by {worst:.1e} in the logits"]


if __name__ == "__main__":
    import_tensorflow_for_serving()
    if request := sys.stdin.readline():
        main(**json.loads(request))
