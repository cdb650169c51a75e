"""The sections `pretraining`, `encoder` (a new one), `gates` and `probe` of a pre-training configuration."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from berth.data.source import AnySource
from berth.settings import LONGEST, Fraction, Positive, Score, Section

_Length = Annotated[int, Field(ge=8, le=LONGEST)]
_Count = Annotated[int, Field(ge=1)]
BATCH_TOKENS = 4096
"""Of a batch, by default. A step updates the whole word table, which takes as long as hundreds of tokens of a small
encoder: batches of few tokens are slow."""

FEWEST_TO_COMPARE = 20
"""Held-out documents that `must_improve` is judged on. Of fewer, the bootstrap's interval is too narrow: two are both
better by chance in a quarter of the cases."""


class Pretraining(Section):
    """Options of pre-training: masked language model and next sentence prediction."""

    steps: int = Field(0, ge=0, description="Updates of the weights; 0: as many as `epochs` take.")
    epochs: Positive = Field(1.0, description="Passes over the corpus, where `steps` is 0; 0.5 is half of it.")
    batch_tokens: int = Field(
        BATCH_TOKENS, ge=16, description="Tokens of a batch, padding included; a batch of short rows has many rows."
    )
    batch_size: int = Field(
        0,
        ge=0,
        description="Rows of a batch, in place of `batch_tokens`, at the first of `sequence_lengths`; 0: "
        "`batch_tokens` counts.",
    )
    accumulate: int = Field(1, ge=1, description="Batches that make one step together.")
    learning_rate: Positive = Field(4e-4, description="Peak learning rate, at the end of `warmup`.")
    warmup: Score = Field(0.1, description="Share of the training in which the learning rate rises.")
    weight_decay: Score = Field(0.01, description="Decay of the weights per step, times the learning rate.")
    sequence_lengths: list[_Length] = Field(
        [128], min_length=1, description="Tokens of a row; with several, training goes through them in this order."
    )
    shares: list[Fraction] = Field(
        [],
        description="Share of the tokens that each of `sequence_lengths` gets; empty: 0.9 for the first and the rest "
        "in equal parts.",
    )
    mlm_probability: Annotated[float, Field(gt=0, le=0.4)] = Field(0.15, description="Share of the tokens to predict.")
    whole_words: bool = Field(False, description="Mask all pieces of a word together.")
    nsp: bool = Field(True, description="Next sentence prediction; false: rows are packed with sentences alone.")
    head_steps: int = Field(
        200,
        ge=0,
        description="Steps in which only new heads are trained, before the encoder is; none if the encoder has "
        "its own.",
    )
    freeze_embeddings: bool = Field(False, description="Do not train the embeddings.")
    freeze_layers: int = Field(
        0, ge=0, description="Do not train this many layers, counted from the embeddings; 0: train all."
    )
    layer_decay: float = Field(
        1.0, gt=0, le=1, description="Factor of the learning rate from one layer to the one below it; 1: one rate."
    )
    evaluations: int = Field(10, ge=1, description="Evaluations on the held-out documents, evenly over the training.")
    precision: Literal["auto", "float32", "bfloat16", "float16"] = Field(
        "auto",
        description="Number format of training's matrix products; weights, evaluation and the encoder are float32. "
        "`auto`: float16 on a GPU, bfloat16 on a CPU with instructions for it.",
    )
    auto_batch: bool = Field(
        False, description="If memory runs out, halve the batches, double `accumulate` and continue."
    )
    seed: int = Field(0, ge=0, description="Of new weights, masks, sentence pairs, order and dropout.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.batch_size and self.batch_tokens != BATCH_TOKENS:
            raise ValueError("batch_size and batch_tokens both say how large a batch is: leave one of them out")
        if not self.shares:
            return self
        if len(self.shares) != len(self.sequence_lengths):
            raise ValueError("shares: one for each of sequence_lengths, or none")
        if len(self.shares) > 1 and abs(sum(self.shares) - 1) > 1e-6:
            raise ValueError(f"shares must add up to 1, not {sum(self.shares):g}")
        return self

    @property
    def token_budget(self) -> int:
        """Tokens of a batch; 0: a batch has `batch_size` rows. With several lengths it has equal tokens at each.

        Example:
            >>> Pretraining.model_validate({"batch_size": 8, "sequence_lengths": [128, 512]}).token_budget
            1024
        """
        if not self.batch_size:
            return self.batch_tokens
        return self.batch_size * self.sequence_lengths[0] if len(self.sequence_lengths) > 1 else 0

    @property
    def shares_of_lengths(self) -> list[float]:
        """The share of each of `sequence_lengths`, adding up to 1.

        Example:
            >>> Pretraining.model_validate({"sequence_lengths": [128, 512]}).shares_of_lengths
            [0.9, 0.1]
        """
        others = len(self.sequence_lengths) - 1
        if not others:
            return [1.0]
        return self.shares or [0.9, *[0.1 / others] * others]


_PRESETS = {"tiny": (2, 128), "mini": (4, 256), "small": (4, 512), "base": (12, 768)}
"""Layers and hidden size of Turc et al. 2019; a head has 64 numbers, the intermediate size is four times the hidden."""


class NewEncoder(Section):
    """A new encoder, in place of the name of one: a preset, or a shape of your own."""

    preset: Literal["tiny", "mini", "small", "base"] = Field(
        "mini",
        description="Layers and hidden size: tiny 2 and 128, mini 4 and 256, small 4 and 512, base 12 and 768.",
    )
    layers: int = Field(0, ge=0, le=48, description="0: the preset's.")
    hidden: int = Field(0, ge=0, description="Size of a token's vector; 0: the preset's.")
    heads: int = Field(0, ge=0, description="Attention heads, which share `hidden`; 0: one for each 64 of `hidden`.")
    intermediate: int = Field(0, ge=0, description="Size of the layers' inner product; 0: four times `hidden`.")
    vocabulary: int = Field(
        30_000, ge=100, description="Word pieces to learn from the corpus, special tokens included."
    )
    cased: bool = Field(False, description="Keep upper case and accents.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        _, hidden, heads, _ = self.shape
        if hidden % heads:
            raise ValueError(f"hidden {hidden} is not a multiple of heads {heads}")
        return self

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Layers, hidden size, heads and intermediate size.

        Example:
            >>> encoder = NewEncoder.model_validate({"preset": "tiny", "layers": 3})
            >>> encoder.shape
            (3, 128, 2, 512)
        """
        layers, hidden = _PRESETS[self.preset]
        layers, hidden = self.layers or layers, self.hidden or hidden
        return layers, hidden, self.heads or max(1, hidden // 64), self.intermediate or 4 * hidden

    def __str__(self) -> str:
        layers, hidden, heads, intermediate = self.shape
        shape = f"layers {layers}, hidden {hidden}, heads {heads}, intermediate {intermediate}"
        return f"new: {shape}, vocabulary {self.vocabulary}{', cased' if self.cased else ''}"


class EncoderGates(Section):
    """Bounds that the encoder must meet on the held-out documents to be pushed. Without any, nothing is pushed."""

    max_mlm_loss: Positive | None = Field(None, description="Highest mean loss of a masked token, in nats.")
    must_improve: bool = Field(
        False,
        description="The loss of masked tokens must have fallen: the `confidence` interval of the difference to the "
        "encoder before, with warmed-up heads, is below 0.",
    )
    max_probe_drop: Score | None = Field(
        None,
        description="How far the probe's accuracy may be below that of the encoder before, at most, with `confidence`.",
    )
    confidence: Fraction = Field(0.95, description="Of the intervals, found by bootstrap over documents.")


class Probe(Section):
    """A labelled source that shows what an encoder is worth to a classifier with few labels."""

    source: AnySource = Field(description="Labelled texts, as `source` of a training configuration.")
    columns: list[str] = Field([], description="Column names, for CSV and TSV files without a header row.")
    text_column: str = Field("text", description="The column with the text.")
    label_column: str = Field("label", description="The column with the label.")
    sizes: list[_Count] = Field([50, 200], min_length=1, description="Labelled texts to learn from.")
    seeds: int = Field(5, ge=2, description="Draws of each size; each is learned from once.")
    test: int = Field(1_000, ge=10, description="Texts to judge on, at most.")
    fine_tune: bool = Field(True, description="Fine-tune the encoder too; false: only a regression on its vectors.")

    @property
    def to_learn_from(self) -> int:
        """How many texts the draws are from, at most: seeds share some of the largest size, and not all."""
        return max(self.sizes) * self.seeds * 2

    @property
    def most_texts(self) -> int:
        """How many texts of the source are of use.

        Example:
            >>> probe = Probe.model_validate({"source": "labelled.csv", "sizes": [50, 200], "seeds": 5})
            >>> probe.to_learn_from, probe.most_texts
            (2000, 3000)
        """
        return self.test + self.to_learn_from
