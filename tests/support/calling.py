"""Berth called as a person calls it: through the command line, in a folder of its own."""

import os
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
DEMO = ROOT / "examples" / "sms-spam"
MESSAGES = (DEMO / "sms_spam_collection.tsv").read_text(encoding="utf-8").splitlines(keepends=True)
QUICK = {
    "epochs": 1,
    "sequence_length": 32,
    "gates": {"min_accuracy": 0.5},
    "evaluation": {"resamples": 1000, "explain": 0},
}
"""Settings of a run that has to go through every step and need not learn.

To explain a mistake takes 4 CPU-seconds, for which the model is loaded again: the demo's runs do it.
"""
GOOD = {
    **{"epochs": 12, "batch_size": 16, "learning_rate": 2e-3, "sequence_length": 32},
    **{"gates": {"min_accuracy": 0.9, "max_drop": 0.05}, "evaluation": QUICK["evaluation"]},
}
"""Settings with which the tiny BERT learns."""

Done = subprocess.CompletedProcess[str]


def berth(cwd: Path, *arguments: str, stdin: str | None = None, **environment: str) -> Done:
    """Call `berth` in `cwd` and return what came of it."""
    program = str(Path(sys.executable).with_name("berth"))
    variables = {key: value for key, value in os.environ.items() if key != "MLFLOW_TRACKING_URI"} | environment
    variables["COLUMNS"] = "80"
    return subprocess.run(
        [program, *arguments], cwd=cwd, env=variables, input=stdin, capture_output=True, text=True, timeout=560
    )


def write_config(folder: Path, **changes: object) -> Path:
    """Write the demo's own configuration to `folder`, on the rows that the folder's messages.tsv holds."""
    own = {"source": "messages.tsv", "schema": str(DEMO / "schema.pbtxt")}
    values = yaml.safe_load((DEMO / "config.yaml").read_text()) | own | changes
    (folder / "config.yaml").write_text(yaml.safe_dump(values))
    return folder / "config.yaml"


def set_trap(folder: Path) -> None:
    """Make modules in `folder` named as Berth's packages and as one of Python's, which end what imports them."""
    for name in ("berth/__init__.py", "components/__init__.py", "random.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("raise SystemExit('the working folder was imported')")
