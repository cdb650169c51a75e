"""Long texts of which one sentence decides, read with each value of `long_texts`.

    .venv/train/bin/python -m benchmarks.long_texts [--messages | --speed]

A sentence of 4 words decides behind 560 tokens and before 100 more; the tests' tiny BERT, which reads 128 tokens, is
fine-tuned. With --messages the sentence is a message of the demo, spam or not, among film reviews, and minilm stays
as it is. The row of short texts has the sentence with a few words, or the message alone.
"""

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.quality import ROOT, SETS, drawn
from berth.data.dataset import SPLITS
from berth.encoders.preprocessor import Preprocessor
from berth.encoders.resolve import load_preprocessor, resolve
from berth.errors import BerthError
from berth.models.saved_model import load
from berth.settings import LONGEST, TRUNCATE
from berth.training.recipe import Recipe
from components.train.classifier import Classifier
from components.train.export import export
from components.train.step import train_model
from tests.support import tiny_bert
from tests.support.datasets import write_dataset

Rows = list[tuple[str, str]]
_TOKENS_PER_WORD = 1.25
"""Of the reviews; measured."""
_BEFORE, _BEHIND = 560, 100
_SHORT, _ROUNDS, _TEXTS = 200, 7, 100


def hidden(rows: Rows, reviews: list[str]) -> Rows:
    """Return `rows` with reviews around each text."""
    draw = random.Random(0)

    def some(tokens: int) -> str:
        words: list[str] = []
        while len(words) * _TOKENS_PER_WORD < tokens:
            words += draw.choice(reviews).split()
        return " ".join(words)

    return [(f"{some(_BEFORE)} {text} {some(_BEHIND)}", label) for text, label in rows]


def planted(count: int, before: int, behind: int, seed: int) -> Rows:
    """Return texts of a sentence that decides among so many other words, a token each; half of them of each label."""
    draw = random.Random(seed)
    words = [word for word in tiny_bert.vocabulary()[-400:] if word.isalpha() and word not in ("prize", "home")]
    rows = []
    for number in range(count):
        sentence = ["prize" if number % 2 else "home"] * 4
        text = [*draw.choices(words, k=before), *sentence, *draw.choices(words, k=behind)]
        rows.append((" ".join(text), ["ham", "spam"][number % 2]))
    return rows


def measure(
    splits: dict[str, Rows], long_texts: str, length: int, recipe: Recipe, encoder: tuple[str, str], folder: Path
) -> tuple[float, float]:
    """Return the accuracy on test, that of a guess where the model has collapsed, and the seconds of the training."""
    labels = sorted({label for _, label in splits["train"]})
    start = time.perf_counter()
    try:
        train_model(
            write_dataset(folder / "dataset", splits, labels),
            folder / "model",
            folder / "predictions",
            encoder=encoder[0],
            preprocessor=encoder[1],
            sequence_length=length,
            pooling="mean",
            recipe=recipe,
            threshold_metric="none",
            long_texts=long_texts,
            log_metrics=lambda *_: None,
        )
    except BerthError as error:
        print(error, flush=True)
        guess = max(np.mean([label == own for _, own in splits["test"]]) for label in labels)
        return float(guess), time.perf_counter() - start
    seconds = time.perf_counter() - start
    found, _ = load(folder / "model").predict([text for text, _ in splits["test"]])
    return float(np.mean([own == label for own, (_, label) in zip(found, splits["test"], strict=True)])), seconds


def speed(texts: list[str]) -> None:
    """Print how many short texts a second an exported model of each kind answers, one after the other in each round."""
    encoder, handle = resolve("minilm", "")
    classifier = Classifier(encoder, "minilm", ["ham", "spam"], 0, pooling="mean")
    found: dict[str, list[float]] = {TRUNCATE: [], "windows": []}
    with tempfile.TemporaryDirectory(prefix="berth-long-") as scratch:
        models = {}
        for name in found:
            loaded = load_preprocessor(handle, "minilm")
            export(classifier, Preprocessor(loaded, 128, "minilm", long_texts=name), 0.5, Path(scratch) / name)
            models[name] = load(Path(scratch) / name)
            models[name].predict(texts)
        for _ in range(_ROUNDS):
            for name, model in models.items():
                start = time.perf_counter()
                model.predict(texts)
                found[name].append(len(texts) / (time.perf_counter() - start))
    shown = ", ".join(f"{name} {statistics.median(own):.0f}" for name, own in found.items())
    ratio = statistics.median(two / one for one, two in zip(*found.values(), strict=True))
    print(f"messages a second, medians of {_ROUNDS} rounds: {shown}; ratio {ratio:.3f}")


def messages(texts: int) -> tuple[dict[str, Rows], dict[str, Rows]]:
    """Return the splits of messages alone and among reviews, with so many to train on."""
    lines = (ROOT / "examples/sentences/sentences_imdb.tsv").read_text(encoding="utf-8").splitlines()
    reviews = [line.split("\t", 1)[1] for line in lines]
    train, test = drawn(SETS["messages"](), str(texts // 2), 0)
    of_label = [[row for row in test if row[1] == label][: texts // 2] for label in ("ham", "spam")]
    others = [row for two in zip(*of_label, strict=True) for row in two]
    cut = len(others) // 3
    short = dict(zip(SPLITS, (train, others[:cut], others[cut:]), strict=True))
    return short, {name: hidden(rows, reviews) for name, rows in short.items()}


def compare(with_messages: bool, scratch: Path) -> None:
    """Print the accuracy of each `long_texts`."""
    if with_messages:
        (short, long), encoder, length, longest = messages(_TEXTS), ("minilm", ""), 64, LONGEST
        recipe = Recipe("frozen", 0, 0, 0.0, 0.1, 0.01, 0)
    else:
        sizes = dict(zip(SPLITS, (160, 60, 100), strict=True))
        short, long = (
            {name: planted(count, *around, count) for name, count in sizes.items()}
            for around in ((10, 5), (_BEFORE, _BEHIND))
        )
        encoder, length, longest = tiny_bert.build(scratch / "tiny"), 32, 128
        recipe = Recipe("berth", 8, 8, 5e-3, 0.1, 0.01, 0)
    runs = [("short", short, TRUNCATE, length), ("long", long, TRUNCATE, longest)]
    runs += [("long", long, name, length) for name in ("windows", "windows_max")]
    rows = []
    for number, (name, splits, long_texts, own) in enumerate(runs):
        accuracy, seconds = measure(splits, long_texts, own, recipe, encoder, scratch / str(number))
        rows.append(f"| {name} | {long_texts} | {own} | {accuracy:.3f} | {seconds:.0f} |")
    print("\n| texts | long_texts | sequence_length | accuracy | seconds |\n| --- | --- | --- | --- | --- |")
    print("\n".join(rows))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--messages", action="store_true", help="messages among reviews, with minilm as it is")
    parser.add_argument("--speed", action="store_true", help="compare the speed of short texts instead")
    options = parser.parse_args()
    if options.speed:
        speed([text for text, _ in drawn(SETS["messages"](), "all", 0)[1]][:_SHORT])
        return
    with tempfile.TemporaryDirectory(prefix="berth-long-") as scratch:
        compare(options.messages, Path(scratch))


if __name__ == "__main__":
    main()
