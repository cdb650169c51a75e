"""The section `training` of a run configuration."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from berth.settings import Positive, Section

SAME_AS_AUTO = {"layer_decay": 1.0, "early_stopping": 0}
"""Values that a recipe without a use for the field has anyway: writing them steers nothing."""


class Training(Section):
    """Options of fine-tuning that few runs need to change."""

    batch_tokens: int = Field(
        0,
        ge=0,
        description="Tokens of a batch, padding included, in place of `batch_size`: short texts then come in larger "
        "batches, at equal memory; 0: `batch_size` counts.",
    )
    accumulate: int = Field(
        1, ge=1, description="Batches that make one step together: a large batch in the memory of a small one."
    )
    truncate: Literal["head", "tail", "head_tail"] = Field(
        "head",
        description="What is kept of a text longer than `sequence_length`: its start, its end, or a quarter of start "
        "and three of end, which does best on long reviews (Sun et al. 2019).",
    )
    layer_decay: Literal["auto"] | Annotated[float, Field(gt=0, le=1)] = Field(
        "auto",
        description="Factor of the learning rate from one layer to the one below it: 0.9 keeps the lower layers closer "
        "to what pre-training taught. `auto`: 1, one rate.",
    )
    head_rate: Literal["auto"] | Positive = Field(
        "auto",
        description="Factor of the learning rate for the classification head, which starts from nothing; `auto`: 10 "
        "for more than two labels, 100 for more than 100 of a multi-label task, else 1.",
    )
    freeze_embeddings: bool = Field(False, description="Do not train the embeddings.")
    freeze_layers: int = Field(
        0, ge=0, description="Do not train this many layers, counted from the embeddings; 0: train all."
    )
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Share of the target that is spread over all classes.")
    class_weights: Literal["none", "balanced"] = Field(
        "none",
        description="`balanced`: a text counts more if its class is rare in the train split. Multi-label: so do, for "
        "each label, the texts with it or without it, at most a hundredfold.",
    )
    focal_gamma: float = Field(0.0, ge=0, description="Focal loss: hard texts count more; 2 is usual, 0: off.")
    calibrate: bool = Field(
        False,
        description="Divide the exported model's logits by a temperature that is chosen on the validation split, so "
        "that a probability of 0.9 is right in 90%; the model is not changed if the log loss is not certain to fall.",
    )
    threshold_per_label: bool = Field(
        False, description="Multi-label: `threshold_metric` chooses a threshold for each label, not one for all."
    )
    precision_at_least: float = Field(
        0.0,
        ge=0,
        le=1,
        description="Two labels: the threshold is the one that finds most of `positive_label` with this precision "
        "on the validation split; 0: off.",
    )
    abstain_below: float = Field(
        0.0,
        ge=0,
        lt=1,
        description="The exported model gives a text the empty label if the label's probability is lower; not for "
        "multi-label. 0: every text gets a label.",
    )
    select_by: Literal["auto", "val_loss", "val_loss_1se", "val_accuracy", "val_macro_f1", "last"] = Field(
        "auto",
        description="What decides which evaluation's weights are kept. `val_loss_1se`: the newest within one standard "
        "error of the lowest val_loss; `last`: always the newest. `auto`: val_loss_1se, or last where the validation "
        "split has fewer than 50 texts, or val_loss if you set `early_stopping`.",
    )
    early_stopping: Literal["auto"] | Annotated[int, Field(ge=0)] = Field(
        "auto",
        description="Evaluations in a row that `select_by` does not keep, after which training ends; 0: never. "
        "`auto`: 4, or 0 where the validation split has fewer than 50 texts, or with `evaluate_steps`, `contrast` or "
        "`baseline`.",
    )
    evaluate_steps: int = Field(
        0, ge=0, description="Evaluate after this many steps too, not only after an epoch; 0: only then."
    )
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Number format of training's matrix products; weights, validation and the exported model are "
        "float32. `auto`: float16 on a GPU, bfloat16, which is for CPUs only, on a CPU with instructions for it.",
    )
    auto_batch: bool = Field(
        False, description="If memory runs out, halve the batches, double `accumulate` and continue."
    )

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.select_by == "last" and self.early_stopping not in ("auto", 0):
            raise ValueError("early_stopping: with select_by: last no evaluation is worse than another; set only one")
        of_one_label = [name for name in ("precision_at_least", "abstain_below") if getattr(self, name)]
        if self.threshold_per_label and of_one_label:
            raise ValueError(f"threshold_per_label is for multi-label, {of_one_label[0]} for one label; set only one")
        return self
