"""Run configuration: one YAML file is one run. Its fields are documented here and in berth/settings.py."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from berth.behaviour import Behaviour
from berth.data.source import Source, as_section
from berth.encoders.builtin.weights import BUILT_IN
from berth.encoders.fetch.handle import is_hub_page
from berth.errors import BerthError
from berth.settings import LONGEST, TRUNCATE, Address, Checks, Cleaning, Evaluation, Gates, RareLabels, Split
from berth.training.recipe import unused_settings
from berth.training.settings import SAME_AS_AUTO, Training
from pipeline.config import yaml_file
from pipeline.config.auto import Auto
from pipeline.config.pipeline_config import (
    NO_NOTIFICATIONS,
    PODS,
    CheckpointMinutes,
    Checkpoints,
    Columns,
    Encoding,
    Keep,
    MemoryLimit,
    ModelName,
    Notifications,
    PipelineConfig,
    Pods,
    PushTo,
    RequireGpu,
    Rows,
    RowsPerShard,
    RunName,
    absolute,
    absolute_source,
)


def _without_nulls(labels: object) -> object:
    """Return a label map in which a missing or null `new` is empty: the label's rows are left out."""
    return {old: "" if new is None else new for old, new in labels.items()} if isinstance(labels, dict) else labels


def _long_enough(length: int) -> int:
    if 0 < length < _SHORTEST:
        raise ValueError(f"write auto, or at least {_SHORTEST} tokens")
    return length


_SHORTEST = 8


class RunConfig(PipelineConfig):
    """One run of the pipeline. Relative paths are relative to the configuration file."""

    kind: ClassVar[str] = "training"
    start_from: ClassVar[str] = "examples/sms-spam/config.yaml"

    name: RunName
    source: Rows
    columns: Columns = Field([])
    encoding: Encoding = ""
    text_column: str = Field("text", min_length=1, description="The column that holds the text.")
    text_pair_column: str = Field("", description="The column that holds the second text of a pair; empty: no pairs.")
    label_column: str = Field("label", min_length=1, description="The column that holds the class.")
    task: Literal["single_label", "multi_label"] = Field(
        "single_label", description="`multi_label`: a text may carry several labels, or none."
    )
    label_separator: str = Field(
        ",", min_length=1, description="The text between two labels of `multi_label`; a list column needs none."
    )
    corrections: Annotated[Source | None, BeforeValidator(as_section)] = Field(
        None,
        description="A file or a query with the columns `text` (`text_pair`) and `label`: its labels replace those "
        "of the same texts in the source. As `source`; a plain text means `corrections.files`.",
    )
    label_map: Annotated[dict[str, str], BeforeValidator(_without_nulls)] = Field(
        {},
        description="Labels to rename or merge, `old: new`; an empty `new` leaves the label's rows out. "
        "Each `old` has to be in the data.",
    )
    positive_label: str = Field(
        "",
        description="With two labels, the one that ROC-AUC, PR-AUC and the curves are for; empty: the rarer one in the "
        "train split.",
    )
    slice_columns: list[str] = Field(
        [], description="Columns whose values divide the test split into slices that evaluate scores one by one."
    )
    max_rows: int = Field(0, ge=0, description="How many texts to keep, at most; 0: all.")
    stratified: bool = Field(True, description="Whether `max_rows` keeps the labels' shares.")
    split: Split = Field(Split.model_validate({}), description="How rows are assigned to splits.")
    rare_labels: RareLabels = Field(RareLabels.model_validate({}), description="Labels that few texts have.")
    cleaning: Cleaning = Field(Cleaning.model_validate({}), description="How texts are cleaned before that.")
    memory_limit: MemoryLimit = "1GB"
    rows_per_shard: RowsPerShard = 100_000
    on_unchanged: Literal["train", "skip"] = Field(
        "train",
        description="`skip`: end the run as a success when data, settings and code are those of the champion; "
        "schedules do so unless this is set.",
    )
    schema_file: str = Field(
        "",
        alias="schema",
        description="A TFDV schema (.pbtxt) to validate against; empty: the champion's, or inferred from train.",
    )
    checks: Checks = Field(Checks.model_validate({}), description="What validate checks in addition to the schema.")
    beam_args: list[str] = Field(
        [], description="Compute the statistics as an Apache Beam pipeline with these arguments; empty: in memory."
    )
    encoder: Address = Field(
        BUILT_IN,
        min_length=1,
        description="`minilm` (built in), or a TF-Hub text encoder: a tfhub.dev or Kaggle URL, an https .tar.gz "
        "(`#sha256=` and its digest behind it pins it), gs://, s3:// or a folder, which may also be a BERT of Hugging "
        "Face. See docs/encoders.md.",
    )
    preprocessor: Address = Field(
        "",
        description="The encoder's TF-Hub text preprocessor; `minilm` and checkpoints include theirs. "
        "`none`: the encoder takes texts, as NNLM does.",
    )
    pooling: Literal["auto", "pooled_output", "cls", "mean"] = Field(
        "auto",
        description="How the encoder's outputs become one vector: its `pooled_output`, or of `sequence_output` the "
        "first token (`cls`) or the `mean` over the text. `auto`: what the encoder was trained for, if its files say "
        "so, which is mean for minilm; for others pooled_output where they have one, else cls.",
    )
    sequence_length: Annotated[int, Auto, AfterValidator(_long_enough)] = Field(
        0,
        ge=0,
        le=LONGEST,
        description="Longest input in tokens, at least 8; the rest of a text is cut off. `auto`: long enough for all "
        "but one in a thousand of the train texts, at most 512.",
    )
    long_texts: Literal["truncate", "windows", "windows_max"] = Field(
        "truncate",
        description="What happens to a text longer than `sequence_length`. `truncate`: it is cut, see "
        "`training.truncate`. `windows`: all of it is read, in windows that overlap by a quarter, and its vector is "
        "the mean of theirs; `windows_max`: the largest of each component, which finds one sentence among many. "
        "Short texts are as with `truncate`. Not for pairs, nor for `predict --explain`.",
    )
    recipe: Literal["berth", "fine_tune", "contrast", "frozen", "auto", "baseline"] = Field(
        "berth",
        description="`fine_tune`: AdamW, warm-up, linear decay, batches of similar length. `contrast`: move vectors of "
        "texts of one label together and others apart, then fit a logistic regression to the encoder's vectors. "
        "`berth`: `contrast` for few texts (64 a label on average, 1,000 in all, one label each), unless you set how "
        "to train, else `fine_tune`. `frozen`: leave the encoder as it is and fit a logistic regression to its "
        "vectors, in seconds. `auto`: what `berth` does, and `frozen`; the better one on the validation split is kept. "
        "`baseline`: the original recipe as it is: plain Adam at 1e-3, every text padded to `sequence_length`. It "
        "tends to collapse.",
    )
    epochs: Annotated[int, Auto] = Field(
        0,
        ge=0,
        description="Passes over the train split; `training.select_by` decides what is kept. `auto`: 3, or more "
        "with few texts; see docs/training.md.",
    )
    batch_size: Annotated[int, Auto] = Field(
        0, ge=0, description="Texts in a training step. `auto`: 32, or down to 8 with few texts."
    )
    learning_rate: Annotated[float, Auto] = Field(
        0.0,
        ge=0,
        description="Peak learning rate. `auto`: 1e-4 for small encoders such as minilm, 3e-5 for others, and 1e-3 "
        "with `baseline`.",
    )
    warmup_fraction: float = Field(0.1, ge=0, lt=1, description="Share of the steps in which the rate rises from 0.")
    weight_decay: float = Field(
        0.01, ge=0, description="Decoupled weight decay of `berth`; not applied to biases and norms."
    )
    seed: int = Field(0, ge=0, description="Seeds the head's weights, dropout and the order of batches.")
    threshold_metric: Literal["none", "accuracy", "macro_f1", "mcc"] = Field(
        "none",
        description="Choose the threshold (two classes, or multi-label) that is best by this metric on the "
        "validation split, and store it in the model; `none`: 0.5. Useful with many validation texts, or a rare class.",
    )
    training: Training = Field(Training.model_validate({}), description="Options of fine-tuning that few runs change.")
    checkpoints: Checkpoints = ""
    checkpoint_minutes: CheckpointMinutes = 10.0
    require_gpu: RequireGpu = False
    evaluation: Evaluation = Field(Evaluation.model_validate({}), description="How evaluate judges the model.")
    behaviour: str = Field(
        "",
        description="A YAML file of cases that the model has to get right, a gate of its own. See docs/evaluation.md.",
    )
    gates: Gates = Field(
        Gates.model_validate({}), description="Bounds that a model has to meet to be blessed and pushed."
    )
    model_name: ModelName = ""
    push_to: PushTo = ""
    keep: Keep = 5
    notify: Notifications = NO_NOTIFICATIONS
    cluster: Pods = PODS

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if is_hub_page(self.encoder) and not self.preprocessor:
            raise ValueError("preprocessor: name the TF-Hub preprocessor that the encoder's page gives as its match")
        if self.columns:
            self._check_columns(self.columns)
        gates = {"gates.metric": self.gates.metric, "threshold_metric": self.threshold_metric}
        gates |= {"gates.min_mcc": "mcc"} if self.gates.min_mcc is not None else {}
        for field, metric in gates.items():
            if self.task == "multi_label" and metric == "mcc":
                raise ValueError(f"{field}: mcc needs exactly one label per text; choose macro_f1 or accuracy")
        if self.gates.min_coverage is not None and not self.training.abstain_below:
            raise ValueError("gates.min_coverage: every text gets a label without training.abstain_below; set that too")
        if self.gates.must_beat_baseline and not self.evaluation.baseline_rows:
            raise ValueError("gates.must_beat_baseline: there is no baseline with evaluation.baseline_rows: 0")
        for field in ("label_column", "text_pair_column"):
            if self.text_column == getattr(self, field):
                raise ValueError(f"{field}: {self.text_column!r} is the text column too")
        return self

    @model_validator(mode="after")
    def _recipe_fits_the_task(self) -> Self:
        if self.recipe == "contrast" and self.task == "multi_label":
            raise ValueError("recipe: contrast needs one label a text, and these have several; leave it out")
        return self

    @model_validator(mode="after")
    def _windows_are_of_use(self) -> Self:
        if self.long_texts == TRUNCATE:
            return self
        if self.text_pair_column:
            raise ValueError(f"long_texts: {self.long_texts} is for single texts; leave it or text_pair_column out")
        if self.preprocessor == "none":
            raise ValueError(
                f"long_texts: {self.long_texts}: an encoder that takes texts reads all of them; leave it out"
            )
        if self.training.truncate != "head":
            raise ValueError(f"training.truncate: with long_texts: {self.long_texts} nothing is cut; leave it out")
        return self

    @model_validator(mode="after")
    def _recipe_uses_what_is_set(self) -> Self:
        for name in unused_settings(self.recipe):
            section, _, field = name.rpartition(".")
            holder = self.training if section else self
            if getattr(holder, field) not in (type(holder).model_fields[field].default, SAME_AS_AUTO.get(field)):
                raise ValueError(
                    f"{name}: recipe: {self.recipe} does not use it; leave it out, or choose recipe: berth"
                )
        return self

    def _check_columns(self, columns: list[str]) -> None:
        for field in ("text_column", "text_pair_column", "label_column"):
            if (column := getattr(self, field)) and column not in columns:
                raise ValueError(f"{field}: {column!r} is not in columns: {', '.join(columns)}")
        if missing := [column for column in self.slice_columns if column not in columns]:
            raise ValueError(f"slice_columns: {missing[0]!r} is not in columns: {', '.join(columns)}")

    def as_scheduled(self) -> Self:
        """Return the configuration for a scheduled run: `on_unchanged` is skip unless the file itself sets it."""
        return self if "on_unchanged" in self.model_fields_set else self.model_copy(update={"on_unchanged": "skip"})

    def parameters(self) -> dict[str, Any]:
        """Return the pipeline parameters of this run, JSON values by name; the schema file is given by its content."""
        values = {"corrections": {}} | super().parameters()
        values["corrections"] = {key: value for key, value in values["corrections"].items() if value}
        if self.behaviour:
            values["behaviour"] = json.dumps(_cases(self.behaviour).model_dump(mode="json"))
        if self.schema_file:
            try:
                values["schema"] = Path(self.schema_file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
                raise BerthError(
                    f"schema: {self.schema_file} cannot be read: {reason}. Name a TFDV .pbtxt file."
                ) from None
        return values

    def places(self) -> Iterator[tuple[str, str]]:
        """Yield every setting that says where something is, with the field's name; what is built in is nowhere."""
        yield from super().places()
        for split, files in self.corrections.split_files().items() if self.corrections else ():
            yield f"corrections.{split}" if split else "corrections", files
        yield "evaluation.tensorflow_serving", self.evaluation.tensorflow_serving

    def _absolute_paths(self, folder: Path) -> dict[str, object]:
        paths = super()._absolute_paths(folder)
        if self.corrections:
            paths["corrections"] = absolute_source(self.corrections, folder)
        binary = absolute(self.evaluation.tensorflow_serving, folder)
        paths["evaluation"] = self.evaluation.model_copy(update={"tensorflow_serving": binary})
        paths |= {name: absolute(getattr(self, name), folder) for name in ("schema_file", "behaviour")}
        return paths


def _cases(path: str) -> Behaviour:
    """Return the behaviour file at `path`; raise BerthError if it is not one."""
    try:
        return Behaviour.parse(yaml_file.parse(Path(path).read_text(encoding="utf-8")), path)
    except OSError as error:
        raise BerthError(f"behaviour: {path} cannot be read: {error.strerror}. Name a YAML file.") from None
    except ValueError as error:
        raise BerthError(f"behaviour: {path}: {error}") from None
