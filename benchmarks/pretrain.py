"""Pre-training next to transformers' Trainer: masked language model, the same weights and rows.

    .venv/train/bin/python -m benchmarks.pretrain [--rounds 5] [--epochs 0 --seeds 3] [--contenders berth transformers]

A round asks every contender in turn to train on the same 1,024 rows, in steps of about 4,096 tokens of similar length,
those of transformers in several batches; a speed is the median over the rounds, tokens without padding. `fine-tuning`
is Berth's own fine-tuning on the same rows. With --epochs N each contender then trains N epochs from its first weights,
with new heads, once for each of --seeds, and says what its loss is on the same masked tokens of held-out rows. Each
masks 15% of the tokens by its own draws. Without .venv/torch (make bench-pretrain makes it) the rows of transformers
are left out.
"""

import argparse
import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks.workload import DATA, DECAY, LENGTH, ROOT, SHAPE, WARMUP, read

if TYPE_CHECKING:
    from transformers import BertForMaskedLM

    from berth.training.recipe import Recipe
    from berth.training.trainer import Trainer
    from components.pretrain.task import PretrainingTask
    from components.train.task import ClassificationTask

_TORCH = ROOT / ".venv/torch/bin/python"
_NAMES = ("berth", "berth-float32", "fine-tuning", "transformers", "transformers-bf16")
_PROBABILITY, _RATE = 0.15, 4e-4
_BATCH_TOKENS, _ROWS = 4_096, 1_024
"""Of a step, and of a round."""
_TRAINER_ROWS = 32
"""Of a batch of transformers, which has logits for every token: 190 rows of 128 tokens took 11 GB."""


def write_rows(path: Path) -> None:
    """Write the token ids of the rows to train on and of the held-out rows, one after the other, to `path`."""
    from berth.encoders import loading
    from berth.encoders.builtin import minilm
    from berth.encoders.preprocessor import Preprocessor, tokenize_all

    prepare = Preprocessor(loading.load("preprocessor", minilm.handles()[1], ""), LENGTH, "")
    texts = [text for data in DATA for text in read(data)["train"].texts]
    held_out = [text for data in DATA for text in read(data)["test"].texts]
    found = {}
    for name, own in (("train", texts), ("held_out", held_out)):
        tokens, _ = tokenize_all(prepare, own)
        found |= {f"{name}_values": tokens.values, f"{name}_splits": tokens.splits}
    np.savez(path, **found)


class Rows:
    """The rows that `write_rows` wrote, without special tokens."""

    def __init__(self, path: str, name: str) -> None:
        stored = np.load(path)
        self.values, self.splits = stored[f"{name}_values"], stored[f"{name}_splits"]

    def __len__(self) -> int:
        return len(self.splits) - 1

    def __getitem__(self, row: int) -> np.ndarray:
        return self.values[self.splits[row] : self.splits[row + 1]]

    def widths(self) -> np.ndarray:
        """Return the tokens of each row, with [CLS] and [SEP]."""
        return np.diff(self.splits) + 2

    def of_round(self, number: int) -> np.ndarray:
        """Return the rows of a round, the same for every contender."""
        return np.random.default_rng(number).permutation(len(self))[:_ROWS]

    def masked(self, row: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return a row of BERT's uncased vocabulary with [CLS] and [SEP], masked, and its masked places and tokens."""
        from berth.pretraining import draws, masking

        ids = np.concatenate([[101], self[row], [102]]).astype(np.int32)
        rng = draws.generator(draws.MASKS, seed=1, epoch=0, place=row)
        return masking.mask(ids, ids > 103, rng, probability=_PROBABILITY, mask_id=103, vocabulary=30522)


class Berth:
    """The task of pre-training on the given rows, without next sentence prediction; or fine-tuning on them."""

    def __init__(self, path: str, precision: str = "auto", fine_tunes: bool = False) -> None:
        self.rows, self.held_out = Rows(path, "train"), Rows(path, "held_out")
        self.precision, self.fine_tunes = precision, fine_tunes
        self.trainer = self._trainer(1, 0)

    def _trainer(self, epochs: int, seed: int) -> "Trainer":
        from berth.training.devices import find
        from berth.training.recipe import Recipe
        from berth.training.settings import Training
        from berth.training.trainer import Trainer

        own = {"precision": self.precision, "select_by": "last", "head_rate": 1.0, "batch_tokens": _BATCH_TOKENS}
        recipe = Recipe("berth", epochs, 0, _RATE, WARMUP, DECAY, seed, Training.model_validate(own))
        task = self._fine_tuning(recipe) if self.fine_tunes else self._pretraining(epochs, seed)
        task.begin_epoch(1)
        return Trainer(task, recipe, lambda *_: None, find(), None, math.inf)

    def _pretraining(self, epochs: int, seed: int) -> "PretrainingTask":
        from types import SimpleNamespace

        from berth.encoders import loading
        from berth.encoders.builtin import minilm
        from berth.pretraining import batches, sentence_pairs, settings, special_tokens
        from components.pretrain.model import PretrainingModel
        from components.pretrain.task import PretrainingTask

        encoder, preprocessor = minilm.handles()
        chosen = settings.Pretraining.model_validate({"nsp": False, "sequence_lengths": [LENGTH]})
        tokens = special_tokens.special_tokens(loading.load("preprocessor", preprocessor, ""), preprocessor, "")
        empty = np.zeros(0, np.int32)
        own = [sentence_pairs.Instance(self.rows[row], empty, True, row) for row in range(len(self.rows))]

        def of_round(number: int) -> batches.TokenRows:
            return batches.TokenRows.of(((number, place, one) for place, one in enumerate(own)), False)

        rounds = SimpleNamespace(rows=of_round, rounds=[SimpleNamespace(rows=len(own))] * epochs)
        self.model = PretrainingModel(encoder, "minilm", seed, False)
        return PretrainingTask(self.model, self.model, batches.Masker(chosen, tokens), rounds, of_round(0))  # type: ignore[arg-type]

    def _fine_tuning(self, recipe: "Recipe") -> "ClassificationTask":
        from berth.data.token_ids import TokenIds, TokenisedSplit
        from berth.encoders import loading
        from berth.encoders.builtin import minilm
        from berth.encoders.preprocessor import Preprocessor
        from components.train.classifier import Classifier
        from components.train.task import ClassificationTask

        encoder, preprocessor = minilm.handles()
        prepare = Preprocessor(loading.load("preprocessor", preprocessor, ""), LENGTH, "")
        targets = np.arange(len(self.rows), dtype=np.int32) % 2
        split = TokenisedSplit(TokenIds(self.rows.values, self.rows.splits), targets)
        classifier = Classifier(encoder, "minilm", ["0", "1"], 0)
        return ClassificationTask(classifier, classifier, prepare, split, split, recipe)

    def round(self, number: int) -> dict[str, float]:
        from berth.training.batching import batches

        trainer, own = self.trainer, self.rows.of_round(number)
        widths = trainer.task.widths[own]
        start = time.perf_counter()
        to_do = [own[rows] for rows in batches(widths, trainer.batching, trainer.rng)]
        for place, rows in enumerate(to_do):
            trainer.train_step([rows], 1e-6, 0, following=to_do[place + 1 : place + 2]).read()
        return {"tokens": float(widths.sum()), "seconds": time.perf_counter() - start}

    def loss(self, epochs: int, seed: int) -> float:
        from berth.pretraining.exported import input_batch

        trainer = self._trainer(epochs, seed)
        trainer.task.evaluate = lambda: {}
        trainer.run()
        found, masked = 0.0, 0
        for row in range(len(self.held_out)):
            ids, positions, labels = self.held_out.masked(row)
            batch = input_batch([ids], [positions], 0)._replace(labels=labels)
            losses = trainer.task.judge(batch)[0].numpy()
            found, masked = found + float(losses.sum()), masked + len(losses)
        return found / masked


class Transformers:
    """transformers' Trainer with its collator for masked words, and its grouping by length."""

    def __init__(self, path: str, weights: str, bf16: bool = False) -> None:
        import torch
        from transformers import BertTokenizerFast, DataCollatorForLanguageModeling

        torch.set_num_threads(os.cpu_count() or 1)
        self.weights, self.bf16 = weights, bf16
        self.rows, self.held_out = Rows(path, "train"), Rows(path, "held_out")
        tokenizer = BertTokenizerFast(vocab=f"{weights}/vocab.txt", do_lower_case=True)
        self.collate = DataCollatorForLanguageModeling(tokenizer, mlm_probability=_PROBABILITY)
        self.data = [{"input_ids": [101, *self.rows[row].tolist(), 102]} for row in range(len(self.rows))]
        self.model = self._model(0)

    def _model(self, seed: int) -> "BertForMaskedLM":
        import torch
        from safetensors.torch import load_file
        from transformers import BertConfig, BertForMaskedLM

        torch.manual_seed(seed)
        config = BertConfig(**SHAPE)
        model = BertForMaskedLM(config)
        missing = model.bert.load_state_dict(load_file(f"{self.weights}/model.safetensors"), strict=False)
        assert not missing.missing_keys, missing.missing_keys
        model.tie_weights()
        return model

    def _train(self, data: list[dict[str, list[int]]], rate: float, epochs: int, seed: int = 0) -> float:
        """Train on `data`; return the seconds from the first step to the end."""
        from transformers import Trainer, TrainerCallback, TrainingArguments

        begun: list[float] = []

        class Clock(TrainerCallback):
            def on_epoch_begin(self, *_: object, **__: object) -> None:
                begun.append(time.perf_counter())

        with tempfile.TemporaryDirectory() as scratch:
            arguments = TrainingArguments(
                scratch,
                per_device_train_batch_size=_TRAINER_ROWS,
                gradient_accumulation_steps=round(_BATCH_TOKENS / self.rows.widths().mean() / _TRAINER_ROWS),
                train_sampling_strategy="group_by_length",
                num_train_epochs=epochs,
                seed=seed,
                learning_rate=rate,
                weight_decay=DECAY,
                warmup_steps=WARMUP,
                bf16=self.bf16,
                use_cpu=True,
                save_strategy="no",
                logging_strategy="no",
                report_to="none",
                disable_tqdm=True,
                dataloader_pin_memory=False,
            )
            Trainer(self.model, arguments, self.collate, data, callbacks=[Clock()]).train()
            return time.perf_counter() - begun[0]

    def round(self, number: int) -> dict[str, float]:
        own = self.rows.of_round(number)
        seconds = self._train([self.data[row] for row in own], 1e-6, 1)
        return {"tokens": float(self.rows.widths()[own].sum()), "seconds": seconds}

    def loss(self, epochs: int, seed: int) -> float:
        import torch

        self.model = self._model(seed)
        self._train(self.data, _RATE, epochs, seed)
        self.model.eval()
        found, masked = 0.0, 0
        with torch.no_grad():
            for row in range(len(self.held_out)):
                ids, positions, labels = self.held_out.masked(row)
                logits = self.model(torch.tensor(ids)[None].long()).logits[0, positions]
                losses = torch.nn.functional.cross_entropy(logits.float(), torch.tensor(labels).long(), reduction="sum")
                found, masked = found + float(losses), masked + len(labels)
        return found / masked


def contend(name: str, path: str, weights: str) -> None:
    """Answer each line of JSON on standard input with one: {"round": number}, or {"loss": epochs, "seed": number}."""
    answers = os.fdopen(os.dup(1), "w")  # libraries print to standard output, too
    os.dup2(2, 1)
    own: Berth | Transformers
    if name.startswith("transformers"):
        own = Transformers(path, weights, name.endswith("bf16"))
    else:
        own = Berth(path, "float32" if name.endswith("float32") else "auto", name == "fine-tuning")
    for line in sys.stdin:
        asked = json.loads(line)
        found = own.round(asked["round"]) if "round" in asked else {"loss": own.loss(asked["loss"], asked["seed"])}
        print(json.dumps(found), file=answers, flush=True)


class Contender:
    """A contender's process, from which rounds ask in turn."""

    def __init__(self, name: str, path: str) -> None:
        from berth.encoders.builtin.weights import weights_dir

        python = str(_TORCH) if name.startswith("transformers") else sys.executable
        command = [python, "-m", "benchmarks.pretrain", "--contend", name, path, str(weights_dir())]
        self.name = name
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115  open as long as the process is
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": self.errors}
        self.process = subprocess.Popen(command, cwd=ROOT, text=True, **pipes)  # type: ignore[call-overload]

    def ask(self, **what: object) -> dict[str, float]:
        print(json.dumps(what), file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            self.errors.seek(0)
            sys.exit(f"{self.name} has failed:\n{self.errors.read()[-3000:]}")
        return json.loads(answer)


def compare(names: list[str], rounds: int, epochs: int, seeds: int) -> None:
    """Print the speeds, and with `epochs` the losses."""
    with tempfile.TemporaryDirectory() as scratch:
        path = str(Path(scratch) / "rows.npz")
        write_rows(Path(path))
        own = {name: Contender(name, path) for name in names}
        for contender in own.values():
            contender.ask(round=rounds)  # the first steps compile
        speeds: dict[str, list[float]] = {name: [] for name in names}
        for number in range(rounds):
            for name, contender in own.items():
                found = contender.ask(round=number)
                speeds[name].append(found["tokens"] / found["seconds"])
            print(
                f"round {number + 1}, tokens/s: { ({name: round(all[-1]) for name, all in speeds.items()}) }",
                flush=True,
            )
        losses: dict[str, list[float]] = {name: [] for name in names if epochs and name != "fine-tuning"}
        for seed in range(seeds):
            for name in losses:
                losses[name].append(own[name].ask(loss=epochs, seed=seed)["loss"])
                print(f"seed {seed}, held-out loss of {name}: {losses[name][-1]:.3f}", flush=True)
        for contender in own.values():
            contender.process.communicate()
    table = Table("", "tokens/s", "times transformers", "held-out loss", box=None)
    for name in names:
        others = speeds.get("transformers", [])
        ratio = [one / other for one, other in zip(speeds[name], others, strict=False)]
        table.add_row(
            name,
            f"{statistics.median(speeds[name]):,.0f}",
            f"{statistics.median(ratio):.2f}" if ratio else "",
            f"{statistics.mean(losses[name]):.3f} ({min(losses[name]):.3f} to {max(losses[name]):.3f})"
            if name in losses
            else "",
        )
    Console(width=120).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--contenders", nargs="+", choices=_NAMES, default=list(_NAMES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=0, help="train so long, and compare held-out losses")
    parser.add_argument("--seeds", type=int, default=3, help="of those trainings")
    chosen = parser.parse_args()
    names = [name for name in chosen.contenders if _TORCH.exists() or not name.startswith("transformers")]
    compare(names, chosen.rounds, chosen.epochs, chosen.seeds)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--contend"]:
        contend(*sys.argv[2:])
    else:
        main()
