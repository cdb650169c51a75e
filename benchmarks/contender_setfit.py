"""SetFit as it comes, for benchmarks.quality: trained on train.jsonl and tested on test.jsonl of the working folder.

    python -m venv setfit && setfit/bin/pip install setfit==1.2.0
    .venv/core/bin/python -m benchmarks.quality --sizes 8 --setfit setfit/bin/python

The sentence encoder is made of the weights that `encoder: minilm` is made of, with the mean of its tokens. Prints a
JSON object of accuracy and macro_f1.

    python -m benchmarks.contender_setfit WEIGHTS SEED
"""

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def rows(name: str) -> tuple[list[str], list[str]]:
    """Return the texts and the labels of a split."""
    read = [json.loads(line) for line in Path(f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    return [own["text"] for own in read], [own["label"] for own in read]


def body(weights: str) -> "SentenceTransformer":
    """Return minilm as sentence-transformers has it: the mean of the tokens' vectors, scaled to a length of one."""
    from sentence_transformers import SentenceTransformer, models

    pooling = models.Pooling(384, pooling_mode="mean")
    return SentenceTransformer(modules=[models.Transformer(weights, max_seq_length=256), pooling, models.Normalize()])


def main(weights: str, seed: str) -> None:
    answers = os.fdopen(os.dup(1), "w")  # its libraries print to standard output, too
    os.dup2(2, 1)
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments
    from sklearn.metrics import accuracy_score, f1_score

    with tempfile.TemporaryDirectory() as scratch:
        body(weights).save(f"{scratch}/body")
        model = SetFitModel.from_pretrained(f"{scratch}/body")
        texts, labels = rows("train")
        options = TrainingArguments(seed=int(seed), output_dir=scratch, report_to="none", save_strategy="no")
        Trainer(model=model, args=options, train_dataset=Dataset.from_dict({"text": texts, "label": labels})).train()
        texts, labels = rows("test")
        found = [str(label) for label in model.predict(texts)]
    scores = {"accuracy": accuracy_score(labels, found), "macro_f1": f1_score(labels, found, average="macro")}
    print(json.dumps(scores), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
