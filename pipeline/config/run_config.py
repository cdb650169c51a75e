"""Run configuration: one YAML file is one run. Its fields are documented here and in berth/settings.py."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from berth.cluster_settings import BY_STEP, OF_A_RUN, Cluster
from berth.data.source import Source
from berth.errors import BerthError
from berth.settings import (
    AUTO,
    ENVIRONMENT,
    LONGEST,
    Address,
    Checks,
    Cleaning,
    Evaluation,
    Gates,
    Notify,
    RareLabels,
    Section,
    Split,
)
from berth.storage.addresses import NO_SECRETS, has_secret
from berth.storage.globs import with_literal_folders
from berth.training.settings import Training
from pipeline.config import yaml_file
from pipeline.config.explain import explain_all

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")


def check_name(name: str) -> str:
    """Return `name`; ValueError if it could not be the name of a run, a model or a schedule."""
    if not _NAME.fullmatch(name):
        raise ValueError("use 1 to 63 lower-case letters, digits, '-', '_' and '.', such as sms-spam")
    return name


def _as_section(source: Any) -> Any:
    return {"files": source} if isinstance(source, str) else source


def _without_nulls(labels: Any) -> Any:
    """Return a label map in which a missing or null `new` is empty: the label's rows are left out."""
    return {old: "" if new is None else new for old, new in labels.items()} if isinstance(labels, dict) else labels


def _texts(value: Any, field: str = "") -> Iterator[tuple[str, str]]:
    """Yield all texts of a configuration with the names of their fields."""
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _texts(one, f"{field}.{name}" if field else name)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one, field)


def number_or_auto(value: Any) -> Any:
    """Return 0 for `auto`: the pipeline's parameters are numbers. A 0 in the file is not meant as that."""
    if value == AUTO:
        return 0
    if re.fullmatch(r"-.*|0+(\.0*)?", str(value).strip()):
        raise ValueError("write auto, or a number above 0")
    return value


def _long_enough(length: int) -> int:
    if 0 < length < _SHORTEST:
        raise ValueError(f"write auto, or at least {_SHORTEST} tokens")
    return length


_Auto = BeforeValidator(number_or_auto)
_SHORTEST = 8


def _check_encoding(name: str) -> str:
    try:
        "a".encode(name or "utf-8").decode(name or "utf-8")
    except (LookupError, ValueError):
        raise ValueError(f"Python knows no text encoding {name!r}; write one such as cp1252 or utf-16") from None
    return name


Name = Annotated[str, AfterValidator(check_name)]


class RunConfig(Section):
    """One run of the pipeline. Relative paths are relative to the configuration file."""

    name: Name = Field(description="The run's name; the MLflow experiment of the same name holds its runs.")
    source: Annotated[Source, BeforeValidator(_as_section)] = Field(
        description="CSV, TSV, JSON Lines or Parquet, also .gz or .zst, or a query. A plain text means `source.files`."
    )
    columns: list[str] = Field([], description="Column names, for CSV and TSV files without a header row.")
    encoding: Annotated[str, AfterValidator(_check_encoding)] = Field(
        "",
        description="Encoding of text files, as Python names it: `cp1252`, `utf-16`, `shift_jis`; empty: UTF-8, or "
        "what the file shows to be, which is then reported.",
    )
    text_column: str = Field("text", min_length=1, description="The column that holds the text.")
    text_pair_column: str = Field("", description="The column that holds the second text of a pair; empty: no pairs.")
    label_column: str = Field("label", min_length=1, description="The column that holds the class.")
    task: Literal["single_label", "multi_label"] = Field(
        "single_label", description="`multi_label`: a text may carry several labels, or none."
    )
    label_separator: str = Field(
        ",", min_length=1, description="The text between two labels of `multi_label`; a list column needs none."
    )
    label_map: Annotated[dict[str, str], BeforeValidator(_without_nulls)] = Field(
        {},
        description="Labels to rename or merge, `old: new`; an empty `new` leaves the label's rows out. "
        "Each `old` has to be in the data.",
    )
    slice_columns: list[str] = Field(
        [], description="Columns whose values divide the test split into slices that evaluate scores one by one."
    )
    max_rows: int = Field(0, ge=0, description="How many texts to keep, at most; 0: all.")
    stratified: bool = Field(True, description="Whether `max_rows` keeps the labels' shares.")
    split: Split = Field(Split.model_validate({}), description="How rows are assigned to splits.")
    rare_labels: RareLabels = Field(RareLabels.model_validate({}), description="Labels that few texts have.")
    cleaning: Cleaning = Field(Cleaning.model_validate({}), description="How texts are cleaned before that.")
    memory_limit: str = Field(
        "1GB",
        pattern=r"^[0-9.]+ ?[KMGT]i?B$",
        description="Memory that ingest may use; the rest goes to disk.",
    )
    rows_per_shard: int = Field(100_000, ge=1_000, description="Rows of a dataset's Parquet file.")
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
        "minilm",
        min_length=1,
        description="`minilm` (built in), or a TF-Hub text encoder: a tfhub.dev or Kaggle URL, an https .tar.gz "
        "(`#sha256=` and its digest behind it pins it), gs://, s3:// or a folder. See docs/encoders.md.",
    )
    preprocessor: Address = Field("", description="The encoder's TF-Hub text preprocessor; `minilm` has its own.")
    pooling: Literal["auto", "pooled_output", "cls", "mean"] = Field(
        "auto",
        description="How the encoder's outputs become one vector: its `pooled_output`, or of `sequence_output` the "
        "first token (`cls`) or the `mean` over the text. `auto`: what the encoder was trained for, which is mean for "
        "minilm; for others pooled_output where they have one, else cls.",
    )
    sequence_length: Annotated[int, _Auto, AfterValidator(_long_enough)] = Field(
        0,
        ge=0,
        le=LONGEST,
        description="Longest input in tokens, at least 8; the rest of a text is cut off. `auto`: so long that 98% of "
        "the train texts are whole, at most 512.",
    )
    recipe: Literal["berth", "frozen", "auto", "baseline"] = Field(
        "berth",
        description="`berth`: fine-tune with AdamW, warm-up, linear decay, batches of similar length. `frozen`: leave "
        "the encoder as it is and fit a logistic regression to its vectors, in seconds. `auto`: both; the better one "
        "on the validation split is kept. `baseline`: the original recipe as it is: plain Adam at 1e-3, every text "
        "padded to `sequence_length`. It tends to collapse.",
    )
    epochs: Annotated[int, _Auto] = Field(
        0,
        ge=0,
        description="Passes over the train split; `training.select_by` decides what is kept. `auto`: 4, or up to 20 "
        "with few texts.",
    )
    batch_size: Annotated[int, _Auto] = Field(
        0, ge=0, description="Texts in a training step. `auto`: 32, or down to 8 with few texts."
    )
    learning_rate: Annotated[float, _Auto] = Field(
        0.0,
        ge=0,
        description="Peak learning rate. `auto`: 1e-4 for small encoders such as minilm, 3e-5 for others, and 1e-3 of "
        "`baseline`.",
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
    checkpoints: Address = Field(
        "",
        description="Where training saves checkpoints, to continue after an interruption: a folder, s3:// or gs://. "
        "Empty: .berth/checkpoints on one machine, nowhere on a cluster.",
    )
    checkpoint_minutes: float = Field(10.0, gt=0, description="Minutes of training that an interruption may cost.")
    require_gpu: bool = Field(False, description="Fail at the start of train if TensorFlow sees no GPU.")
    evaluation: Evaluation = Field(Evaluation.model_validate({}), description="How evaluate judges the model.")
    gates: Gates = Field(
        Gates.model_validate({}), description="Bounds that a model has to meet to be blessed and pushed."
    )
    model_name: Name = Field(
        "", validate_default=False, description="Name in the model registry; empty: the run's name."
    )
    push_to: Address = Field(
        "",
        description="Serving folder, `<push_to>/<model>/<version>/`: a path, s3:// or gs://; "
        "empty: .berth/serving where berth runs.",
    )
    keep: int = Field(5, ge=1, description="Versions in the serving folder; the champion is always one of them.")

    @model_validator(mode="before")
    @classmethod
    def _follow_other_fields(cls, values: Any) -> Any:
        if isinstance(values, dict):
            values = dict(values)
            values.setdefault("model_name", values.get("name", ""))
        return values

    notify: Notify = Field(Notify.model_validate({}), description="Notifications when the run ends.")
    cluster: Cluster = Field(Cluster.model_validate({}), description="Settings of the steps' pods on Kubeflow.")

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.encoder != "minilm" and not self.preprocessor:
            raise ValueError("preprocessor: name the TF-Hub preprocessor that the encoder's page gives as its match")
        if self.columns:
            self._check_columns(self.columns)
        gates = {"gates.metric": self.gates.metric, "threshold_metric": self.threshold_metric}
        gates |= {"gates.min_mcc": "mcc"} if self.gates.min_mcc is not None else {}
        for field, metric in gates.items():
            if self.task == "multi_label" and metric == "mcc":
                raise ValueError(f"{field}: mcc needs exactly one label per text; choose macro_f1 or accuracy")
        if self.gates.must_beat_baseline and not self.evaluation.baseline_rows:
            raise ValueError("gates.must_beat_baseline: there is no baseline with evaluation.baseline_rows: 0")
        for field, text in _texts(self.model_dump(by_alias=True)):
            if has_secret(text):
                raise ValueError(f"{field}: {NO_SECRETS}. Put credentials into the environment")
        for field in ("label_column", "text_pair_column"):
            if self.text_column == getattr(self, field):
                raise ValueError(f"{field}: {self.text_column!r} is the text column too")
        return self

    def _check_columns(self, columns: list[str]) -> None:
        for field in ("text_column", "text_pair_column", "label_column"):
            if (column := getattr(self, field)) and column not in columns:
                raise ValueError(f"{field}: {column!r} is not in columns: {', '.join(columns)}")
        if missing := [column for column in self.slice_columns if column not in columns]:
            raise ValueError(f"slice_columns: {missing[0]!r} is not in columns: {', '.join(columns)}")

    @classmethod
    def load(cls, path: str | Path) -> "RunConfig":
        """Read the configuration file at `path`, its relative paths made absolute.

        Raises:
            BerthError: the file is missing, is not YAML, or does not describe a run.
        """
        path = Path(path)
        try:
            values = yaml_file.parse(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BerthError(f"{path}: no such configuration file. Start from examples/sms-spam/config.yaml.") from None
        except OSError as error:
            raise BerthError(f"{path}: cannot be read ({error.strerror}). Name a YAML file.") from None
        except UnicodeDecodeError:
            raise BerthError(f"{path}: not UTF-8 text. Name a YAML file.") from None
        except ValueError as error:
            raise BerthError(f"{path}: {error}") from None
        if not isinstance(values, dict):
            raise BerthError(f"{path}: holds no settings. It needs at least 'name:' and 'source:'.")
        try:
            config = cls.model_validate(values)
        except pydantic.ValidationError as error:
            raise BerthError(f"{path}: {explain_all(cls, error.errors())}") from None
        return config._with_absolute_paths(path.resolve().parent)

    def as_scheduled(self) -> "RunConfig":
        """Return the configuration for a scheduled run: `on_unchanged` is skip unless the file itself sets it."""
        return self if "on_unchanged" in self.model_fields_set else self.model_copy(update={"on_unchanged": "skip"})

    def parameters(self) -> dict[str, Any]:
        """Return the pipeline parameters of this run, JSON values by name; the schema file is given by its content."""
        values = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        values["source"] = {key: value for key, value in values["source"].items() if value}
        apart = (*OF_A_RUN, *BY_STEP)
        cluster = {name: value for name, value in values.pop("cluster").items() if name not in apart}
        values |= {f"cluster_{name}": value for name, value in (cluster | self.cluster.by_step()).items()}
        if self.schema_file:
            try:
                values["schema"] = Path(self.schema_file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "not UTF-8 text"
                raise BerthError(
                    f"schema: {self.schema_file} cannot be read: {reason}. Name a TFDV .pbtxt file."
                ) from None
        return values

    def _with_absolute_paths(self, folder: Path) -> "RunConfig":
        def absolute(path: str) -> str:
            elsewhere = not path or "://" in path or path.startswith(ENVIRONMENT)
            return path if elsewhere else str(folder / Path(path).expanduser())

        paths: dict[str, Any] = {
            field: absolute(getattr(self, field)) for field in ("schema_file", "preprocessor", "push_to", "checkpoints")
        }

        def pattern(path: str) -> str:
            """Return the absolute glob for `path`: what its folders' own names have of `*?[` stands for itself."""
            whole = absolute(path)
            is_glob = whole != path or Path(path).is_absolute()
            if not is_glob or Path(whole).exists():
                return whole
            return with_literal_folders(whole, lambda one: Path(one).is_dir())

        files = {kind: pattern(getattr(self.source, kind)) for kind in ("files", "train", "validation", "test")}
        if self.source.sql and not self.source.connection:
            files["folder"] = str(folder / Path(self.source.folder).expanduser())
        paths["source"] = self.source.model_copy(update=files)
        binary = absolute(self.evaluation.tensorflow_serving)
        paths["evaluation"] = self.evaluation.model_copy(update={"tensorflow_serving": binary})
        if self.encoder != "minilm":
            paths["encoder"] = absolute(self.encoder)
        return self.model_copy(update=paths)
