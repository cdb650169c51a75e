"""RunConfig: one YAML file is one run. Every field is documented here and nowhere else."""

import re
import types
import typing
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from components.common.errors import BerthError, nearest

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")


def _check_name(name: str) -> str:
    if not _NAME.fullmatch(name):
        raise ValueError("use 1 to 63 lower-case letters, digits, '-', '_' and '.', such as sms-spam")
    return name


Name = Annotated[str, AfterValidator(_check_name)]
Fraction = Annotated[float, Field(gt=0, lt=1)]
Score = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Split(Section):
    """How rows are divided. A text's split depends on the text and the seed alone."""

    train: Fraction = Field(0.8, description="Share of the texts to train on.")
    validation: Fraction = Field(0.1, description="Share that chooses the best epoch.")
    test: Fraction = Field(0.1, description="Share that the gates are judged on; the model never sees it before.")
    seed: int = Field(0, ge=0, description="Another seed deals the texts out anew.")

    @model_validator(mode="after")
    def _sums_to_one(self) -> Self:
        if abs(self.train + self.validation + self.test - 1) > 1e-6:
            total = self.train + self.validation + self.test
            raise ValueError(f"train, validation and test must add up to 1, not {total:g}")
        return self


class Gates(Section):
    """Bounds that a model has to hold on the test split to be blessed. Without any, nothing is pushed."""

    min_accuracy: Score | None = Field(None, description="Lowest accuracy that is blessed.")
    min_macro_f1: Score | None = Field(None, description="Lowest unweighted mean of the classes' F1 that is blessed.")


class RunConfig(Section):
    """One run of the pipeline. Relative paths are relative to the configuration file."""

    name: Name = Field(description="The run's name; the MLflow experiment of the same name holds its runs.")
    source: str = Field(description="CSV, TSV, JSON Lines or Parquet, plain, .gz or .zst: a file, a glob or a folder.")
    columns: list[str] = Field([], description="Column names, for CSV and TSV files without a header row.")
    text_column: str = Field("text", min_length=1, description="The column that holds the text.")
    label_column: str = Field("label", min_length=1, description="The column that holds the class.")
    split: Split = Field(Split.model_validate({}), description="How rows are divided.")
    schema_file: str = Field(
        "",
        alias="schema",
        description="A TFDV schema (.pbtxt) to validate against; empty: inferred from the train split.",
    )
    encoder: str = Field(
        "minilm",
        min_length=1,
        description="`minilm` (built in), or a TF-Hub text encoder: tfhub.dev or Kaggle URL, gs://, .tar.gz, folder.",
    )
    preprocessor: str = Field("", description="The encoder's TF-Hub text preprocessor; `minilm` brings its own.")
    sequence_length: int = Field(
        128, ge=8, le=512, description="Longest input in tokens; the rest of a text is cut off."
    )
    recipe: Literal["berth", "baseline"] = Field(
        "berth", description="`berth`: AdamW, warm-up, linear decay. `baseline`: plain Adam, as in the original recipe."
    )
    epochs: int = Field(3, ge=1, description="Passes over the train split; the best by validation loss is kept.")
    batch_size: int = Field(32, ge=1, description="Texts in a training step.")
    learning_rate: float = Field(
        3e-5, gt=0, description="Peak learning rate; 2e-5 to 5e-5 suits BERT. `baseline`: 1e-3."
    )
    warmup_fraction: float = Field(0.1, ge=0, lt=1, description="Share of the steps in which the rate rises from 0.")
    weight_decay: float = Field(
        0.01, ge=0, description="Decoupled weight decay of `berth`; biases and norms are spared."
    )
    seed: int = Field(0, ge=0, description="Seeds the head's weights, dropout and the order of batches.")
    gates: Gates = Field(
        Gates.model_validate({}), description="Bounds that a model has to hold to be blessed and pushed."
    )
    model_name: Name = Field(
        "", validate_default=False, description="Name in the model registry; empty: the run's name."
    )
    push_to: str = Field(
        "",
        description="Serving folder, `<push_to>/<model>/<version>/`; empty: .berth/serving where berth runs.",
    )

    @model_validator(mode="before")
    @classmethod
    def _follow_other_fields(cls, values: Any) -> Any:
        if isinstance(values, dict):
            values = dict(values)
            values.setdefault("model_name", values.get("name", ""))
            if values.get("recipe") == "baseline":
                values.setdefault("learning_rate", 1e-3)
        return values

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.encoder != "minilm" and not self.preprocessor:
            raise ValueError("preprocessor: name the TF-Hub preprocessor that the encoder's page gives as its match")
        if self.columns:
            for field in ("text_column", "label_column"):
                if (column := getattr(self, field)) not in self.columns:
                    raise ValueError(f"{field}: {column!r} is not in columns: {', '.join(self.columns)}")
        if self.text_column == self.label_column:
            raise ValueError(f"label_column: {self.label_column!r} is the text column too")
        return self

    @classmethod
    def load(cls, path: str | Path) -> "RunConfig":
        """Read the configuration file at `path`, its relative paths made absolute.

        Raises:
            BerthError: the file is missing, is not YAML, or does not describe a run.
        """
        import yaml

        path = Path(path)
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise BerthError(f"{path}: no such configuration file. Start from examples/sms-spam/config.yaml.") from None
        except OSError as error:
            raise BerthError(f"{path}: cannot be read ({error.strerror}). Name a YAML file.") from None
        except UnicodeDecodeError:
            raise BerthError(f"{path}: not UTF-8 text. Name a YAML file.") from None
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
            raise BerthError(f"{path}: {where}not valid YAML: {getattr(error, 'problem', None) or error}.") from None
        if not isinstance(values, dict):
            raise BerthError(f"{path}: holds no settings. It needs at least 'name:' and 'source:'.")
        try:
            config = cls.model_validate(values)
        except pydantic.ValidationError as error:
            raise BerthError(f"{path}: {'; '.join(_explain(cls, problem) for problem in error.errors())}") from None
        return config._with_absolute_paths(path.resolve().parent)

    def parameters(self) -> dict[str, Any]:
        """Return the pipeline parameters of this run, JSON values by name; the schema file is given by its content."""
        values = self.model_dump(mode="json", by_alias=True, exclude_none=True)
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
            return path if not path or "://" in path else str(folder / Path(path).expanduser())

        paths = {
            field: absolute(getattr(self, field)) for field in ("source", "schema_file", "preprocessor", "push_to")
        }
        if self.encoder != "minilm":
            paths["encoder"] = absolute(self.encoder)
        return self.model_copy(update=paths)


def reference() -> str:
    """Return the reference of the configuration file as Markdown tables."""
    parts = ["# Configuration", "", "Written by `berth config docs`; one YAML file is one run.", ""]
    for section, prefix in ((RunConfig, ""), (Split, "split."), (Gates, "gates.")):
        parts += [
            f"## {prefix.rstrip('.') or 'Run'}",
            "",
            (section.__doc__ or "").strip(),
            "",
            "| field | type | default | meaning |",
            "| --- | --- | --- | --- |",
        ]
        for name, field in section.model_fields.items():
            default = "required" if field.is_required() else _show_default(field.default)
            cells = (f"`{prefix}{field.alias or name}`", _type_name(field.annotation), default, field.description or "")
            parts.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        parts.append("")
    return "\n".join(parts)


def _show_default(default: Any) -> str:
    if isinstance(default, Section):
        return "see below"
    return "" if default is None or default == "" else f"`{default}`"


def _type_name(annotation: Any) -> str:
    if typing.get_origin(annotation) is Literal:
        return " or ".join(f"`{choice}`" for choice in typing.get_args(annotation))
    if typing.get_origin(annotation) is Annotated:
        return _type_name(typing.get_args(annotation)[0])
    if typing.get_origin(annotation) in (types.UnionType, typing.Union):
        return " or ".join(_type_name(part) for part in typing.get_args(annotation) if part is not type(None))
    if typing.get_origin(annotation) is list:
        return "list of " + _type_name(typing.get_args(annotation)[0])
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return "section"
    return {str: "text", int: "integer", float: "number", bool: "true or false"}[annotation]


def _explain(root: type[Section], problem: Any) -> str:
    """Say one pydantic error in the words of the file: which key, what is wrong, what was expected."""
    location = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        section: Any = root
        for part in problem["loc"][:-1]:
            section = section.model_fields[part].annotation
        keys = [field.alias or name for name, field in section.model_fields.items()]
        hint = nearest(str(problem["loc"][-1]), keys) or f" Valid keys: {', '.join(keys)}."
        return f"unknown key {location!r}.{hint}"
    if problem["type"] == "missing":
        return f"{location!r} is missing"
    message = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "value_error":
        return f"{location}: {message}" if location else message
    return f"{location}: {message[0].lower()}{message[1:]}, not {problem['input']!r}"
