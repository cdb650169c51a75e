"""Training side by side: the original recipe, Berth, and PyTorch with transformers, from the same weights and texts.

    make bench-train                                  (everything; about 20 minutes on 2 idle cores)
    .venv/train/bin/python -m benchmarks.train [--data reviews] [--contenders berth torch-grouped]
                                              [--rounds 5] [--seeds 3] [--startup]

A round asks every contender (benchmarks.contenders) in turn for 8 batches of 32 texts; a speed is the median over the
rounds, a ratio the median of the rounds' own ratios, so that a machine that is slow for a while is slow for all. With
--seeds 0 accuracy is left out, with --rounds 0 speed; without .venv/torch the PyTorch rows are. --startup shows
where the time from process start to the first training step goes, in place of the rest.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time

from rich.console import Console
from rich.table import Table

from benchmarks.workload import DATA, ROOT
from berth.encoders.builtin import weights

_TORCH = ROOT / ".venv/torch/bin/python"
_NAMES = {
    "original": "original recipe",
    "torch": "PyTorch, padded by batch",
    "torch-grouped": "PyTorch, grouped by length",
    "torch-bfloat16": "PyTorch, grouped, bfloat16",
    "berth-float32": "Berth, float32",
    "berth": "Berth, precision: auto",
}
_ACCURACY = ("original", "torch-grouped", "berth")


class Contender:
    """A contender's process."""

    def __init__(self, name: str, data: str, torch: str = str(_TORCH), **environment: str) -> None:
        self.name = name
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  open as long as the process is
        python = torch if name.startswith("torch") else sys.executable
        self.process = subprocess.Popen(
            [python, "-m", "benchmarks.contenders", name, data, str(weights.weights_dir())],
            cwd=ROOT,
            env={**os.environ, **environment},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.errors,
            text=True,
        )

    def ask(self, **what: object) -> dict[str, float]:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        print(json.dumps(what), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            self.errors.seek(0)
            sys.exit(f"{self.name} has failed:\n{self.errors.read()[-3000:]}")
        return json.loads(answer)

    def end(self) -> None:
        self.process.communicate()


def speed(data: str, contenders: list[str], rounds: int, console: Console) -> None:
    """Print the table of speeds on `data`."""
    own = {}
    for name in [*contenders, "matmuls"]:
        own[name] = Contender(name, data)
        own[name].ask(steps=[0, 1])  # the first steps compile
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in own}
    for number in range(rounds):
        for name, contender in own.items():
            measured[name].append(contender.ask(steps=[number, rounds]))
        said = (
            f"{name} {answers[-1]['texts'] / answers[-1]['seconds']:.0f}"
            for name, answers in measured.items()
            if name != "matmuls"
        )
        print(f"{data}, round {number + 1}, texts/s: {', '.join(said)}", file=sys.stderr, flush=True)
    for contender in own.values():
        contender.end()

    matmuls = measured.pop("matmuls")
    counted = [answer for answers in measured.values() for answer in answers]
    mean = sum(answer["tokens"] for answer in counted) / sum(answer["texts"] for answer in counted)
    peaks = [statistics.median(answer[kind] for answer in matmuls) / 1e9 for kind in ("own", "large")]
    console.print(
        f"\n{data}: {mean:.1f} tokens a text. Matmuls in float32, in the model's own shapes forward and backward: "
        f"{peaks[0]:.0f} GFLOP/s; large ones: {peaks[1]:.0f} GFLOP/s.\n"
    )
    table = Table(
        "",
        "texts/s",
        "tokens/s",
        "padding",
        "times original",
        "times grouped PyTorch",
        "of own-shape matmuls",
        box=None,
    )

    def texts(answer: dict[str, float]) -> float:
        return answer["texts"] / answer["seconds"]

    def ratio(name: str, other: str) -> str:
        if other not in measured or other == name:
            return ""
        pairs = zip(measured[name], measured[other], strict=True)
        return f"{statistics.median(texts(one) / texts(another) for one, another in pairs):.2f}"

    for name in (name for name in _NAMES if name in measured):
        answers = measured[name]
        padding = statistics.median(answer["padding"] for answer in answers)
        share = statistics.median(
            answer["flops"] / answer["seconds"] / peak["own"] for answer, peak in zip(answers, matmuls, strict=True)
        )
        table.add_row(
            _NAMES[name],
            f"{statistics.median(map(texts, answers)):.0f}",
            f"{statistics.median(answer['tokens'] / answer['seconds'] for answer in answers):,.0f}",
            f"{padding:.1%}",
            ratio(name, "original"),
            ratio(name, "torch-grouped"),
            f"{share:.0%}",
        )
    console.print(table)


def accuracy(data: str, contenders: list[str], seeds: int, console: Console) -> None:
    """Print the table of accuracies on the test texts of `data`, of the epoch with the lowest validation loss."""
    table = Table("", "seeds", "mean accuracy", "lowest", "highest", box=None)
    for name in (name for name in _ACCURACY if name in contenders):
        contender = Contender(name, data)
        found = []
        for seed in range(1 if name == "original" else seeds):
            found.append(contender.ask(accuracy=seed)["accuracy"])
            print(f"{data}, {name}, seed {seed}: {found[-1]:.4f}", file=sys.stderr, flush=True)
        contender.end()
        numbers = (f"{value:.4f}" for value in (statistics.mean(found), min(found), max(found)))
        table.add_row(_NAMES[name], str(len(found)), *numbers)
    console.print(f"\n{data}: 3 epochs, learning rate 1e-4; the original recipe's is 1e-3.\n")
    console.print(table)


_STARTUP = """
import time; marks = []
def mark(what): marks.append((what, time.time()))
import berth
import tensorflow as tf
mark("import TensorFlow")
import tensorflow_text, tensorflow_hub, tf_keras
mark("import tensorflow_text, tensorflow_hub, tf_keras")
from benchmarks import workload
from berth.encoders.builtin import minilm
minilm.handles()
texts = workload.read("messages")
mark("read the texts, find the encoder")
from berth.encoders import loading
from berth.data.token_ids import TokenisedSplit
from berth.encoders.preprocessor import Preprocessor, tokenize_all
prepare = Preprocessor(loading.load("preprocessor", minilm.handles()[1], ""), 128, "")
mark("load the preprocessor")
splits = {name: TokenisedSplit(tokenize_all(prepare, own.texts)[0], own.classes) for name, own in texts.items()}
mark("tokenise 4,127 texts")
from berth.training.settings import Training
from berth.training.devices import find
from components.train.task import ClassificationTask
from berth.training.trainer import Trainer
from components.train.classifier import Classifier
from berth.training.recipe import Recipe
from berth.training.batching import batches
classifier = Classifier(minilm.handles()[0], "minilm", ["ham", "spam"], 0)
mark("load the encoder")
recipe = Recipe("berth", 1, 32, 1e-4, 0.1, 0.01, 0)
task = ClassificationTask(classifier, classifier, prepare, splits["train"], splits["validation"], recipe)
trainer = Trainer(task, recipe, lambda *_: None, find(), None, 1e9)
mark("make optimizer and step")
first = next(batches(trainer.task.widths, trainer.batching, trainer.rng))
trainer.train_step([first], 1e-6, 0).read()
mark("trace and run the first step")
trainer.train_step([first], 1e-6, 0).read()
mark("(second step)")
import json; print(json.dumps(marks))
"""


def startup(console: Console, times: int = 3) -> None:
    """Print where the time to the first training step goes: medians of `times` starts, files in the page cache."""
    runs: list[dict[str, float]] = []
    for _ in range(times + 1):
        last, run = time.time(), {}
        done = subprocess.run([sys.executable, "-c", _STARTUP], cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(done.stderr[-3000:])
        for what, when in json.loads(done.stdout.splitlines()[-1]):
            run[what], last = when - last, when
        runs.append(run)
    table = Table("from process start to the first training step", "seconds", box=None)
    medians = {what: statistics.median(run[what] for run in runs[1:]) for what in runs[0]}
    for what, seconds in medians.items():
        if not what.startswith("("):
            table.add_row(what, f"{seconds:.1f}")
    table.add_row("together", f"{sum(value for what, value in medians.items() if not what.startswith('(')):.1f}")
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", nargs="+", choices=DATA, default=list(DATA))
    parser.add_argument("--contenders", nargs="+", choices=_NAMES, default=list(_NAMES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--startup", action="store_true")
    chosen = parser.parse_args()
    console = Console(width=140)
    if chosen.startup:
        startup(console)
        return
    contenders = [name for name in chosen.contenders if _TORCH.exists() or not name.startswith("torch")]
    for data in chosen.data:
        if chosen.rounds:
            speed(data, contenders, chosen.rounds, console)
        if chosen.seeds and data == chosen.data[0]:
            accuracy(data, contenders, chosen.seeds, console)


if __name__ == "__main__":
    main()
