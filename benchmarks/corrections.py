"""Wrong labels found and corrected: 10% of the demo's train labels are flipped, the first 400 suspects corrected.

    .venv/core/bin/python -m benchmarks.corrections [--seeds 1] [--settings 'recipe: frozen']

Three runs of the pipeline a seed, on the same texts: with the true labels, with every tenth label flipped, and with the
corrections of the first 400 texts of the second run's suspects.json, as somebody would make them who looks at 400 texts
and knows their labels. The 1,000 test texts keep their true labels.
"""

import argparse
import json
import random
import sys
import tempfile
from pathlib import Path

from benchmarks.quality import ROOT, SETS, Rows, drawn, output

CORRECTED = 400


def run(folder: Path, train: Rows, test: Rows, settings: str, corrections: Rows) -> tuple[float, Rows]:
    """Return the test accuracy of a run of the pipeline in `folder`, and the train texts it suspects, worst first."""
    folder.mkdir()
    for name, rows in (("train", train), ("test", test), ("fixed", corrections)):
        lines = (json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    fixed = "corrections: fixed.jsonl\n" if corrections else ""
    config = f"name: corrections\nsource: {{train: train.jsonl, test: test.jsonl}}\n{fixed}{settings}\n"
    (folder / "config.yaml").write_text(config, encoding="utf-8")
    output([str(ROOT / ".venv/core/bin/berth"), "run", "config.yaml"], folder)
    scores = output([str(ROOT / ".venv/train/bin/python"), "-m", "benchmarks.baseline", "--json"], folder)
    (found,) = folder.glob(".berth/**/suspects.json")
    tasks = json.loads(found.read_text(encoding="utf-8"))
    return json.loads(scores)["Berth"]["accuracy"], [(own["data"]["text"], own["data"]["label"]) for own in tasks]


def measure(seed: int, settings: str, folder: Path) -> tuple[list[float], int, int]:
    """Return the accuracy with true, flipped and corrected labels, and of the flipped ones, how many were corrected."""
    train, test = drawn(SETS["messages"](), "all", seed)
    labels = sorted({label for _, label in train})
    flipped = set(random.Random(seed).sample(range(len(train)), len(train) // 10))
    wrong = [
        (text, labels[1 - labels.index(label)] if row in flipped else label) for row, (text, label) in enumerate(train)
    ]
    truth, noisy = dict(train), dict(wrong)
    clean, _ = run(folder / "clean", train, test, settings, [])
    with_errors, suspects = run(folder / "flipped", wrong, test, settings, [])
    looked_at = [text for text, _ in suspects[:CORRECTED] if text in truth]
    corrected, _ = run(folder / "corrected", wrong, test, settings, [(text, truth[text]) for text in looked_at])
    right = sum(truth[text] != noisy[text] for text in looked_at)
    return [clean, with_errors, corrected], right, len(flipped)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--settings", default="recipe: frozen", help="a line of the configuration")
    options = parser.parse_args()
    print("| seed | true labels | flipped | corrected | flipped labels among the 400 | of |")
    print("| --- | --- | --- | --- | --- | --- |")
    for seed in range(options.seeds):
        with tempfile.TemporaryDirectory(prefix="corrections-") as folder:
            accuracy, right, of = measure(seed, options.settings, Path(folder))
        print(f"| {seed} | " + " | ".join(f"{own:.3f}" for own in accuracy) + f" | {right} | {of} |", flush=True)


if __name__ == "__main__":
    sys.exit(main())
