"""Training steps on a GPU: number formats, XLA on and off, and PyTorch on the same texts from the same weights.

    .venv/train/bin/python -m benchmarks.gpu [--torch PYTHON] [--data reviews] [--rounds 5]

On a machine with an NVIDIA GPU, where `make setup .venv/torch/.ready` has made the environments;
`--torch` names another Python with transformers and a PyTorch that was built for the GPU. A step is one batch of 32
texts. XLA is TensorFlow's automatic clustering (TF_XLA_FLAGS); a first round, which compiles, does not count.
"""

import argparse
import statistics
import subprocess
import sys

from rich.console import Console
from rich.table import Table

from benchmarks.train import _TORCH, Contender
from benchmarks.workload import BATCH

_XLA = {"TF_XLA_FLAGS": "--tf_xla_auto_jit=2"}
_CASES: dict[str, tuple[str, dict[str, str]]] = {
    "Berth, float32": ("berth-float32", {}),
    "Berth, float32, XLA": ("berth-float32", _XLA),
    "Berth, float16": ("berth-float16", {}),
    "Berth, float16, XLA": ("berth-float16", _XLA),
    "PyTorch, float32, SDPA": ("torch-grouped", {}),
    "PyTorch, bfloat16, SDPA": ("torch-bfloat16", {}),
}


def gpu() -> str:
    """Return the name of the first GPU; empty: there is none."""
    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.partition("\n")[0]
    except (OSError, subprocess.CalledProcessError):
        return ""


def table(data: str, rounds: int, torch: str) -> Table:
    """Return the table of the cases' medians over `rounds`, one case after the other: they share the GPU."""
    made = Table("", "steps/s", "texts/s", "tokens/s", "padding")
    for words, (name, environment) in _CASES.items():
        contender = Contender(name, data, torch, **environment)
        contender.ask(steps=[0, 1])
        answers = [contender.ask(steps=[number, rounds]) for number in range(rounds)]
        contender.end()
        texts, tokens = (
            statistics.median(answer[kind] / answer["seconds"] for answer in answers) for kind in ("texts", "tokens")
        )
        padding = statistics.median(answer["padding"] for answer in answers)
        made.add_row(words, f"{texts / BATCH:.1f}", f"{texts:,.0f}", f"{tokens:,.0f}", f"{padding:.1%}")
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", default="messages", help="the texts, as benchmarks.train names them")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--torch", default=str(_TORCH), help="a Python with transformers and PyTorch for CUDA")
    asked = parser.parse_args()
    name = gpu()
    if not name:
        sys.exit("no GPU: nvidia-smi does not list one. Run this on a machine with an NVIDIA GPU and its driver.")
    console = Console()
    console.print(f"{name}, {asked.data}, batches of {BATCH}")
    console.print(table(asked.data, asked.rounds, asked.torch))


if __name__ == "__main__":
    main()
