"""The contenders of benchmarks.train, each a process that answers what it is asked, so that rounds interleave.

    python -m benchmarks.contenders CONTENDER DATA WEIGHTS

reads {"steps": [which, of]} (train on a sample of an epoch's batches, alike in length to the whole) or
{"accuracy": seed} as lines of JSON and answers each with one. All start from the weights in WEIGHTS, learn from the
same texts in batches of 32 with the same schedule, and clip to a global norm of 1; `original` does as its recipe says.
"""

import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.workload import (
    BATCH,
    DECAY,
    EPOCHS,
    HIDDEN,
    INNER,
    LENGTH,
    RATE,
    SAMPLE,
    SHAPE,
    WARMUP,
    Texts,
    read,
    timed,
    work,
)

if TYPE_CHECKING:
    from berth.training.trainer import Trainer


class Original:
    """The original recipe: preprocessor and encoder as Keras layers, 128 tokens, Adam as it comes, compile and fit."""

    def __init__(self, texts: dict[str, Texts], weights: str, seed: int = 0) -> None:
        import tensorflow as tf
        import tensorflow_hub as hub
        import tensorflow_text  # noqa: F401
        import tf_keras

        from berth.encoders.builtin import minilm

        tf.random.set_seed(seed)
        encoder, preprocessor = minilm.handles()
        self.texts = texts
        text = tf_keras.layers.Input(shape=(), dtype=tf.string)
        encoded = hub.KerasLayer(encoder, trainable=True)(hub.KerasLayer(preprocessor)(text))
        dropped = tf_keras.layers.Dropout(0.1)(encoded["pooled_output"])
        self.model = tf_keras.Model(text, tf_keras.layers.Dense(1, activation="sigmoid")(dropped))
        self.model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
        rows = tf.data.Dataset.from_tensor_slices((texts["train"].texts, texts["train"].classes))
        self.batches = rows.shuffle(10_000, seed=seed).batch(BATCH)
        self.endless = iter(rows.shuffle(10_000, seed=seed).repeat().batch(BATCH).prefetch(2))
        self.mean = _mean_width(texts["train"])

    def steps(self, which: int, of: int) -> dict[str, float]:
        start = time.perf_counter()
        self.model.fit(self.endless, steps_per_epoch=SAMPLE, verbose=0)
        seconds = time.perf_counter() - start
        # Its batches are not by length: they have the mean length.
        useful = work(np.full(SAMPLE * BATCH, self.mean))
        return {**useful, "padding": 1 - self.mean / LENGTH, "seconds": seconds}

    def accuracy(self, seed: int) -> float:
        validation, test = self.texts["validation"], self.texts["test"]
        self.__init__(self.texts, "", seed)  # type: ignore[misc]
        best, accuracy = math.inf, 0.0
        for _ in range(EPOCHS):
            self.model.fit(self.batches, verbose=0)
            loss, _ = self.model.evaluate(np.array(validation.texts), validation.classes, verbose=0)
            if loss < best:
                best = loss
                accuracy = self.model.evaluate(np.array(test.texts), test.classes, verbose=0)[1]
        return accuracy


class Berth:
    """The recipe `berth`: fit's own steps on fit's own batches; accuracy is of fit itself."""

    def __init__(self, texts: dict[str, Texts], weights: str, precision: str = "auto") -> None:
        from berth.data.token_ids import TokenisedSplit
        from berth.encoders import loading
        from berth.encoders.builtin import minilm
        from berth.encoders.preprocessor import Preprocessor, tokenize_all
        from berth.training.settings import Training

        self.encoder, preprocessor = minilm.handles()
        self.prepare = Preprocessor(loading.load("preprocessor", preprocessor, ""), LENGTH, "")
        self.splits = {
            name: TokenisedSplit(tokenize_all(self.prepare, own.texts)[0], own.classes) for name, own in texts.items()
        }
        self.training = Training.model_validate({"precision": precision})
        self.trainer = self._trainer(0)

    def _trainer(self, seed: int) -> "Trainer":
        import tensorflow as tf

        from berth.training.devices import find
        from berth.training.recipe import Recipe
        from berth.training.trainer import Trainer
        from components.train.classifier import Classifier
        from components.train.task import ClassificationTask

        tf.random.set_seed(seed)
        classifier = Classifier(self.encoder, "minilm", ["0", "1"], seed)
        recipe = Recipe("berth", EPOCHS, BATCH, RATE, WARMUP, DECAY, seed, self.training)
        splits = self.splits["train"], self.splits["validation"]
        devices = find()
        task = ClassificationTask(classifier, classifier, self.prepare, *splits, recipe, devices.multiple)
        return Trainer(task, recipe, lambda *_: None, devices, None, math.inf)

    def steps(self, which: int, of: int) -> dict[str, float]:
        from berth.training.batching import batches

        trainer = self.trainer
        epoch = list(batches(trainer.task.widths, trainer.batching, trainer.rng))
        return timed(lambda rows: trainer.train_step([rows], 1e-6, 0).read(), epoch, trainer.task.widths, which, of)

    def accuracy(self, seed: int) -> float:
        from components.train.evaluation import metrics_of, predict

        trainer = self._trainer(seed)
        trainer.run()
        task = trainer.task
        found = predict(task.evaluation, self.prepare, self.splits["test"], "test")
        return metrics_of(*found, self.splits["test"], task.classifier)["val_accuracy"]


class Torch:
    """PyTorch and transformers as people use them: tokenised once, padded by batch, AdamW; a plain loop.

    On a GPU in bfloat16 with `half`; transformers' attention is PyTorch's scaled_dot_product_attention.
    """

    def __init__(self, texts: dict[str, Texts], weights: str, grouped: bool = False, half: bool = False) -> None:
        import torch
        from transformers import BertTokenizerFast, DataCollatorWithPadding

        torch.set_num_threads(os.cpu_count() or 1)
        self.weights, self.grouped, self.half = weights, grouped, half
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        tokenizer = BertTokenizerFast(vocab=f"{weights}/vocab.txt", do_lower_case=True)
        self.collate = DataCollatorWithPadding(tokenizer)
        self.rows = {
            name: [
                {"input_ids": ids, "labels": int(label)}
                for ids, label in zip(
                    tokenizer(own.texts, truncation=True, max_length=LENGTH)["input_ids"], own.classes, strict=True
                )
            ]
            for name, own in texts.items()
        }
        self._start(0)

    def _start(self, seed: int) -> None:
        import torch
        from safetensors.torch import load_file
        from transformers import BertConfig, BertForSequenceClassification, get_linear_schedule_with_warmup

        torch.manual_seed(seed)
        config = BertConfig(**SHAPE, num_labels=2)
        self.model = BertForSequenceClassification(config)
        missing = self.model.bert.load_state_dict(load_file(f"{self.weights}/model.safetensors"), strict=False)
        assert not missing.missing_keys, missing.missing_keys
        self.model.to(self.device).train()
        spared = ("bias", "LayerNorm.weight")
        groups = [
            {
                "params": [own for name, own in self.model.named_parameters() if name.endswith(spared) == flag],
                "weight_decay": decay,
            }
            for flag, decay in ((False, DECAY), (True, 0.0))
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=RATE, eps=1e-6)
        steps = EPOCHS * math.ceil(len(self.rows["train"]) / BATCH)
        self.schedule = get_linear_schedule_with_warmup(self.optimizer, round(WARMUP * steps), steps)

    def _dealt(self) -> list[list[int]]:
        import torch
        from transformers.trainer_pt_utils import LengthGroupedSampler

        rows = self.rows["train"]
        order = torch.randperm(len(rows)).tolist()
        if self.grouped:
            order = list(LengthGroupedSampler(BATCH, lengths=[len(row["input_ids"]) for row in rows]))
        return [order[start : start + BATCH] for start in range(0, len(order), BATCH)]

    def _step(self, rows: list[int]) -> None:
        import torch

        batch = self.collate([self.rows["train"][row] for row in rows]).to(self.device)
        with torch.autocast(self.device, torch.bfloat16, enabled=self.half):
            loss = self.model(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.schedule.step()
        self.optimizer.zero_grad()

    def steps(self, which: int, of: int) -> dict[str, float]:
        widths = np.array([len(row["input_ids"]) for row in self.rows["train"]])
        return timed(self._step, self._dealt(), widths, which, of)

    def accuracy(self, seed: int) -> float:
        self._start(seed)
        best, accuracy = math.inf, 0.0
        for _ in range(EPOCHS):
            for rows in self._dealt():
                self._step(rows)
            loss, _ = self._evaluate("validation")
            if loss < best:
                best, accuracy = loss, self._evaluate("test")[1]
        return accuracy

    def _evaluate(self, name: str) -> tuple[float, float]:
        import torch

        self.model.eval()
        rows, loss, right = self.rows[name], 0.0, 0
        with torch.no_grad():
            for start in range(0, len(rows), BATCH):
                batch = self.collate(rows[start : start + BATCH]).to(self.device)
                said = self.model(**batch)
                loss += float(said.loss) * len(batch["labels"])
                right += int((said.logits.argmax(-1) == batch["labels"]).sum())
        self.model.train()
        return loss / len(rows), right / len(rows)


class Matmuls:
    """What the machine reaches, in float32: the products of a layer forward and backward, and large ones."""

    def __init__(self, texts: dict[str, Texts], weights: str) -> None:
        import tensorflow as tf

        rows = round(BATCH * _mean_width(texts["train"]))
        shapes = [(HIDDEN, 3 * HIDDEN), (HIDDEN, HIDDEN), (HIDDEN, INNER), (INNER, HIDDEN)]
        operands = [
            (tf.random.normal([rows, ins]), tf.random.normal([ins, outs]), tf.random.normal([rows, outs]))
            for ins, outs in shapes
        ]

        @tf.function
        def layer() -> list[tf.Tensor]:
            return [
                product
                for x, kernel, upstream in operands
                for product in (
                    tf.matmul(x, kernel),
                    tf.matmul(upstream, kernel, transpose_b=True),
                    tf.matmul(x, upstream, transpose_a=True),
                )
            ]

        large = tf.random.normal([2048, 2048])
        self.tasks = {
            "own": (layer, 6 * rows * (4 * HIDDEN * HIDDEN + 2 * HIDDEN * INNER), 60),
            "large": (tf.function(lambda: tf.matmul(large, large)), 2 * 2048**3, 20),
        }
        for task, _, _ in self.tasks.values():
            task()

    def steps(self, which: int, of: int) -> dict[str, float]:
        answer = {}
        for name, (task, flops, times) in self.tasks.items():
            start = time.perf_counter()
            for _ in range(times):
                done = task()
            (done[0] if isinstance(done, list) else done).numpy()
            answer[name] = times * flops / (time.perf_counter() - start)
        return answer


CONTENDERS: dict[str, Callable[[dict[str, Texts], str], Original | Berth | Torch | Matmuls]] = {
    "original": Original,
    "berth": Berth,
    "berth-float32": lambda texts, weights: Berth(texts, weights, "float32"),
    "berth-float16": lambda texts, weights: Berth(texts, weights, "float16"),
    "torch": Torch,
    "torch-bfloat16": lambda texts, weights: Torch(texts, weights, grouped=True, half=True),
    "torch-grouped": lambda texts, weights: Torch(texts, weights, grouped=True),
    "matmuls": Matmuls,
}


def _mean_width(texts: Texts) -> float:
    """Return the mean number of tokens of a text, special tokens counted."""
    from berth.encoders import loading
    from berth.encoders.builtin import minilm
    from berth.encoders.preprocessor import Preprocessor, tokenize_all

    prepare = Preprocessor(loading.load("preprocessor", minilm.handles()[1], ""), LENGTH, "")
    return float(tokenize_all(prepare, texts.texts)[0].lengths().mean()) + prepare.special_tokens


def _asked() -> Iterator[dict[str, Any]]:
    for line in sys.stdin:
        yield json.loads(line)


def main(contender: str, data: str, weights: str) -> None:
    answers = os.fdopen(os.dup(1), "w")  # libraries print to standard output, too
    os.dup2(2, 1)
    own = CONTENDERS[contender](read(data), weights)
    for asked in _asked():
        answer = own.steps(*asked["steps"]) if "steps" in asked else {"accuracy": own.accuracy(asked["accuracy"])}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    if not sys.argv[1].startswith("torch"):
        import berth  # noqa: F401  Keras 2
    main(*sys.argv[1:])
