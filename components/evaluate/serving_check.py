"""The serving check: does the exported model answer in a process of its own as it did in training, and how fast?"""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from berth.data.dataset import PAIR, TEXT, read_columns
from berth.data.edge_cases import EDGE_CASES
from berth.data.predictions import SplitPredictions, TrainingPredictions
from berth.errors import check_exit
from berth.models.decision_rule import Threshold, decisions
from components.evaluate.agreement import BOUND, largest_difference

if TYPE_CHECKING:
    import numpy as np


_TIMEOUT_SECONDS = 60
"""Seconds that TensorFlow Serving may take to load the model."""
_POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Served:
    """What a model in a process of its own answers for the test split, and what was measured there."""

    labels: list[str]
    task: str
    pairs: bool
    threshold: Threshold
    probabilities: "np.ndarray"
    """float32 [texts, labels]."""
    size_mb: float
    load_seconds: float
    texts_per_second: float
    abstain_below: float = 0.0
    p50_ms: float = 0.0
    p95_ms: float = 0.0
    problems: list[str] = field(default_factory=list)
    """What the serving check found."""
    behaviour: list[str] = field(default_factory=list)
    """The labels of the behaviour file's texts."""
    explained: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Explanations as dicts, by row of the test split."""
    unexplained: str = ""
    """Why there are no more of them; empty: there are all that were asked for."""

    @property
    def decided(self) -> "np.ndarray":
        """Which labels it gives the texts of the test split, bool [texts, labels]."""
        return decisions(self.probabilities, self.task, self.threshold, self.abstain_below)

    @property
    def coverage(self) -> float:
        """The share of the test split's texts on which it does not abstain."""
        return float(self.decided.any(axis=1).mean()) if self.task == "single_label" else 1.0


def answers(model: str | Path, dataset: str | Path, extra: Sequence[str] = ()) -> Served:
    """Return what the model answers for the test split of `dataset`, and for the texts `extra`.

    Raises:
        BerthError: the model cannot be loaded, or is not as it was exported.
    """
    with tempfile.TemporaryDirectory(prefix="berth-answers-") as scratch:
        _run(model, dataset, Path(scratch), check=False, extra=extra)
        return _served(model, Path(scratch))


@contextlib.contextmanager
def checked(
    model: str | Path,
    dataset: str | Path,
    predictions: str | Path,
    tensorflow_serving: str = "",
    extra: Sequence[str] = (),
    explain: int = 0,
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[tuple[Served, Callable[[], Served]]]:
    """Do what `answers` does, and hold the model against the in-training `predictions`; raises as that does.

    `predictions` is the file that train wrote. With `tensorflow_serving`, the path of its binary, the same requests go
    to that too. `meanwhile` is called while the model is loaded; it must not take longer, as it would take a core from
    the latencies. The second value waits for the words that the model used in `explain` mistakes, which its process
    finds afterwards.
    """
    with tempfile.TemporaryDirectory(prefix="berth-answers-") as scratch, ThreadPoolExecutor(1) as pool:
        folder = Path(scratch)
        ended = pool.submit(_run, model, dataset, folder, check=True, extra=extra, explain=explain)
        meanwhile()
        while not (folder / "facts.json").exists() and not ended.done():
            wait([ended], _POLL_SECONDS)
        if ended.done():
            ended.result()
        asked = _asked(folder)
        found = _served(model, folder)
        problems = [*found.problems, *_against_training(predictions, asked)]
        if tensorflow_serving and not problems:
            problems += _against_tensorflow_serving(tensorflow_serving, Path(model), dataset, asked)
        served = replace(found, problems=problems)

        def explained() -> Served:
            ended.result()
            return replace(served, **json.loads((folder / "explained.json").read_text(encoding="utf-8")))

        yield served, explained


def _run(
    model: str | Path, dataset: str | Path, folder: Path, check: bool, extra: Sequence[str], explain: int = 0
) -> None:
    request: dict[str, object] = {"model": str(model), "dataset": str(dataset), "out": str(folder), "check": check}
    request |= {"extra": list(extra), "explain": explain}
    with _started.pop() if _started else _start() as process:
        _, errors = process.communicate(json.dumps(request) + "\n")
    check_exit(process.returncode, errors, f"{model}: the model cannot be loaded")


def _served(model: str | Path, folder: Path) -> Served:
    """Return what the model's process wrote to `folder`."""
    import numpy as np

    facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
    size = sum(path.stat().st_size for path in Path(model).rglob("*") if path.is_file()) / 1e6
    return Served(size_mb=size, probabilities=np.load(folder / "probabilities.npy"), **facts)


def prepare() -> None:
    """Start the process that will load the next model, so that it imports TensorFlow meanwhile."""
    if not _started:
        _started.append(_start())


_started: "list[subprocess.Popen[str]]" = []
"""The process that `prepare` started, until it is used."""


def _start() -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "components.evaluate.model_process"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        errors="replace",
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
    )


def _asked(folder: Path) -> "dict[str, np.ndarray]":
    """Return the exported model's probabilities, float32 [texts, labels], by where train noted its own."""
    import numpy as np

    return {split: np.load(folder / f"{split}.npy") for split in ("edge", "validation")}


def _against_training(predictions: str | Path, asked: "dict[str, np.ndarray]") -> list[str]:
    import numpy as np

    noted = TrainingPredictions.read(predictions)
    problems = []
    for split, found in asked.items():
        own: SplitPredictions = getattr(noted, split)
        rows, probabilities = own.rows, own.probabilities
        expected = np.full_like(found, np.nan)
        expected[rows[rows < len(found)]] = probabilities[rows < len(found)]
        if split == "edge":  # a case that it failed on has been said
            expected[~np.isfinite(found).all(axis=1)] = found[~np.isfinite(found).all(axis=1)] = 0.0
        worst = largest_difference(found, expected)
        if worst > BOUND:
            what = "edge cases" if split == "edge" else f"{split} texts"
            problems.append(f"answers {what} differently than in training, by {worst:.1e} in the logits")
    return problems


def _against_tensorflow_serving(
    binary: str, model: Path, dataset: str | Path, asked: "dict[str, np.ndarray]"
) -> list[str]:
    """Send the same texts to a real server, and hold its answers against those of the fresh process."""
    edge, rows = list(EDGE_CASES.values()), read_columns(dataset, "validation")
    many = len(asked["validation"])
    requests = [("edge cases", {TEXT: edge, PAIR: edge}, asked["edge"])]
    for size in (1, many):
        texts = {name: rows.get(name, [])[:size] for name in (TEXT, PAIR)}
        requests.append((f"a batch of {size}", texts, asked["validation"][:size]))
    try:
        with _tensorflow_serving(binary, model) as address:
            return [problem for request in requests if (problem := _ask(address, *request, pairs=PAIR in rows))]
    except OSError as error:
        return [f"TensorFlow Serving does not answer ({error})"]


def _ask(address: str, what: str, inputs: dict[str, list[str]], expected: "np.ndarray", pairs: bool) -> str:
    """Return how the server's answers differ from those expected; empty: not."""
    import numpy as np

    given = {name: texts for name, texts in inputs.items() if pairs or name != PAIR}
    answer = _post(f"{address}:predict", {"signature_name": "serving_default", "inputs": given})
    worst = largest_difference(np.array(answer["outputs"]["probabilities"], np.float32), expected)
    return "" if worst <= BOUND else f"TensorFlow Serving answers {what} differently, by {worst:.1e} in the logits"


@contextlib.contextmanager
def _tensorflow_serving(binary: str, model: Path) -> Iterator[str]:
    """Start TensorFlow Serving on the model, on a free port of 127.0.0.1, and yield the model's address."""
    with tempfile.TemporaryDirectory(prefix="berth-serving-") as scratch, socket.socket() as probe:
        (Path(scratch) / "1").symlink_to(model.resolve())
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
        probe.close()
        command = [binary, "--model_name=model", f"--model_base_path={scratch}", f"--rest_api_port={port}", "--port=0"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as server:
            try:
                address = f"http://127.0.0.1:{port}/v1/models/model"
                _await(address, server)
                yield address
            finally:
                server.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    server.wait(10)
                server.kill()


def _await(address: str, server: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + _TIMEOUT_SECONDS
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=5) as answer:
            states = [version["state"] for version in json.load(answer)["model_version_status"]]
            if "AVAILABLE" in states:
                return
        if server.poll() is not None:
            raise OSError(f"it ended with code {server.returncode}")
        if time.monotonic() > deadline:
            raise OSError(f"the model is not available after {_TIMEOUT_SECONDS} s")
        time.sleep(0.2)


def _post(address: str, body: dict[str, object]) -> Any:
    request = urllib.request.Request(address, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:
        return json.load(answer)
