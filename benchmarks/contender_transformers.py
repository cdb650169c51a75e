"""transformers' Trainer as it comes, for benchmarks.quality: trained on train.jsonl, tested on test.jsonl.

    .venv/core/bin/python -m benchmarks.quality --sizes all --transformers .venv/torch/bin/python

The Trainer's own defaults: 3 epochs of batches of 8, learning rate 5e-5 that falls in a line; grouped by length, texts
cut at 256 tokens, in bfloat16 where the processor has instructions for it. `mean` puts the mean of the tokens' vectors
where the classifier has the pooler's output. It needs no validation texts, so it learns from those too. Prints a JSON
object of accuracy and macro_f1.

    python -m benchmarks.contender_transformers WEIGHTS SEED pooler|mean
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import BertForSequenceClassification

from benchmarks.contender_setfit import rows


def f1_and_accuracy(truth: list[int], found: list[int]) -> dict[str, float]:
    """Return accuracy, and the mean of the F1 of the classes that either list has, as scikit-learn has it."""
    scores = []
    for label in set(truth) | set(found):
        both = sum(own == answer == label for own, answer in zip(truth, found, strict=True))
        scores.append(2 * both / (truth.count(label) + found.count(label)))
    right = sum(own == answer for own, answer in zip(truth, found, strict=True))
    return {"accuracy": right / len(truth), "macro_f1": sum(scores) / len(scores)}


def mean_pooled(model: "BertForSequenceClassification") -> None:
    """Have `model`, a BertForSequenceClassification, classify the mean of its tokens' vectors."""
    import torch

    class Mean(torch.nn.Module):
        def forward(self, states: torch.Tensor) -> torch.Tensor:
            own = self.mask.unsqueeze(-1).to(states.dtype)
            return (states * own).sum(1) / own.sum(1)

    pooler = Mean()
    model.bert.pooler = pooler
    model.bert.register_forward_pre_hook(
        lambda _, arguments, named: setattr(pooler, "mask", named["attention_mask"]), with_kwargs=True
    )


def main(weights: str, seed: str, pooling: str) -> None:
    answers = os.fdopen(os.dup(1), "w")  # its libraries print to standard output, too
    os.dup2(2, 1)
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainingArguments,
        set_seed,
    )

    set_seed(int(seed))  # of the head's first values
    tokenizer = AutoTokenizer.from_pretrained(weights)
    (texts, labels), (tests, truth) = rows("train"), rows("test")
    names = sorted(set(labels) | set(truth))
    model = AutoModelForSequenceClassification.from_pretrained(weights, num_labels=len(names))
    if pooling == "mean":
        mean_pooled(model)

    def prepared(own: list[str], of: list[str]) -> list[dict[str, Any]]:
        ids = tokenizer(own, truncation=True, max_length=256)["input_ids"]
        return [
            {"input_ids": row, "label": names.index(label), "length": len(row)}
            for row, label in zip(ids, of, strict=True)
        ]

    with tempfile.TemporaryDirectory() as scratch:
        options = TrainingArguments(
            output_dir=scratch,
            seed=int(seed),
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
            use_cpu=True,
            bf16="avx512_bf16" in Path("/proc/cpuinfo").read_text(),
            train_sampling_strategy="group_by_length",
        )
        collator = DataCollatorWithPadding(tokenizer)
        trainer = Trainer(model=model, args=options, train_dataset=prepared(texts, labels), data_collator=collator)
        trainer.train()
        answered = trainer.predict(prepared(tests, truth))  # grouped by length too: not in the order of the texts
    found, own = answered.predictions.argmax(-1).tolist(), answered.label_ids.tolist()
    print(json.dumps(f1_and_accuracy(own, found)), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
