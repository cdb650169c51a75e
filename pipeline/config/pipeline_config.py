"""Common parts of both pipelines' configurations: fields, and how a file is read."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

import pydantic
from pydantic import AfterValidator, Field, model_validator

from berth.cluster_settings import BY_STEP, OF_A_RUN, Cluster
from berth.data.source import AnySource, Source
from berth.encoders.builtin.weights import BUILT_IN
from berth.encoders.fetch.handle import NONE
from berth.errors import BerthError
from berth.registry.fetch import is_reference
from berth.settings import ENVIRONMENT, Address, Notify, Section
from berth.storage.addresses import NO_SECRETS, has_secret
from berth.storage.globs import with_literal_folders
from pipeline.config import yaml_file
from pipeline.config.explain import explain_all

_NAME = re.compile(r"[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?")
PIPELINE = "pipeline"
"""The key of a configuration that says which pipeline it is for."""
COMMANDS = {"training": "run", "pretraining": "pretrain"}
"""The command that runs each pipeline on this machine."""


def check_name(name: str) -> str:
    """Return `name`; ValueError if it could not be the name of a run, a model or a schedule."""
    if not _NAME.fullmatch(name):
        raise ValueError("use 1 to 63 lower-case letters, digits, '-', '_' and '.', such as sms-spam")
    return name


def _check_encoding(name: str) -> str:
    try:
        "a".encode(name or "utf-8").decode(name or "utf-8")
    except (LookupError, ValueError):
        raise ValueError(f"Python knows no text encoding {name!r}; write one such as cp1252 or utf-16") from None
    return name


def texts_of(value: object, field: str = "") -> Iterator[tuple[str, str]]:
    """Yield all texts of a configuration with the names of their fields."""
    if isinstance(value, str):
        yield field, value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from texts_of(one, f"{field}.{name}" if field else name)
    elif isinstance(value, list):
        for one in value:
            yield from texts_of(one, field)


Name = Annotated[str, AfterValidator(check_name)]
RunName = Annotated[Name, Field(description="The run's name; the MLflow experiment of the same name holds its runs.")]
Rows = Annotated[
    AnySource,
    Field(
        description="CSV, TSV, JSON Lines or Parquet, also .gz or .zst, or a query. A plain text means `source.files`."
    ),
]
Columns = Annotated[list[str], Field(description="Column names, for CSV and TSV files without a header row.")]
Encoding = Annotated[
    str,
    AfterValidator(_check_encoding),
    Field(
        description="Encoding of text files, as Python names it: `cp1252`, `utf-16`, `shift_jis`; empty: UTF-8, or "
        "the encoding that Berth recognises, which is then reported."
    ),
]
MemoryLimit = Annotated[
    str,
    Field(pattern=r"^[0-9.]+ ?[KMGT]i?B$", description="Memory that ingest may use; the rest goes to disk."),
]
RowsPerShard = Annotated[int, Field(ge=1_000, description="Rows of a dataset's Parquet file.")]
Checkpoints = Annotated[
    Address,
    Field(
        description="Where training saves checkpoints, to continue after an interruption: a folder, s3:// or gs://. "
        "Empty: .berth/checkpoints on one machine, nowhere on a cluster."
    ),
]
CheckpointMinutes = Annotated[float, Field(gt=0, description="Minutes of training that an interruption may cost.")]
RequireGpu = Annotated[bool, Field(description="Fail at the start of train if TensorFlow sees no GPU.")]
ModelName = Annotated[
    Name, Field(validate_default=False, description="Name in the model registry; empty: the run's name.")
]
PushTo = Annotated[
    Address,
    Field(
        description="Serving folder, `<push_to>/<model>/<version>/`: a path, s3:// or gs://; "
        "empty: .berth/serving where berth runs."
    ),
]
Keep = Annotated[int, Field(ge=1, description="Versions in the serving folder; the champion is always one of them.")]
Notifications = Annotated[Notify, Field(description="Notifications when the run ends.")]
Pods = Annotated[Cluster, Field(description="Settings of the steps' pods on Kubeflow.")]
NO_NOTIFICATIONS = Notify.model_validate({})
PODS = Cluster.model_validate({})


class PipelineConfig(Section):
    """A run of one of the pipelines. Relative paths are relative to the configuration file."""

    kind: ClassVar[str] = ""
    """The pipeline's name, as the file's key `pipeline` has it."""
    start_from: ClassVar[str] = ""
    """The configuration to start from."""

    if TYPE_CHECKING:  # each pipeline's configuration has them at a place of its own, which is their order in the docs
        name: str
        source: Source
        encoder: str
        preprocessor: str
        model_name: str
        push_to: str
        checkpoints: str
        notify: Notify
        cluster: Cluster

    @model_validator(mode="before")
    @classmethod
    def _follow_other_fields(cls, values: object) -> object:
        if isinstance(values, dict):
            values = dict(values)
            values.setdefault("model_name", values.get("name", ""))
        return values

    @model_validator(mode="after")
    def _holds_no_secrets(self) -> Self:
        for field, text in texts_of(self.model_dump(by_alias=True)):
            if has_secret(text):
                raise ValueError(f"{field}: {NO_SECRETS}. Put credentials into the environment")
        return self

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read the configuration file at `path`, its relative paths made absolute.

        Raises:
            BerthError: the file is missing, is not YAML, or does not describe a run of this pipeline.
        """
        path = Path(path)
        values = read(path, cls.start_from)
        check_kind(path, values.pop(PIPELINE, "training"), cls.kind)
        try:
            config = cls.model_validate(values)
        except pydantic.ValidationError as error:
            raise BerthError(f"{path}: {explain_all(cls, error.errors())}") from None
        return config.with_absolute_paths(path.resolve().parent)

    def as_scheduled(self) -> Self:
        """Return the configuration for a scheduled run."""
        return self

    def parameters(self) -> dict[str, Any]:
        """Return the pipeline parameters of this run, JSON values by name."""
        values = self.model_dump(mode="json", by_alias=True, exclude_none=True)
        values["source"] = {key: value for key, value in values["source"].items() if value}
        apart = (*OF_A_RUN, *BY_STEP)
        cluster = {name: value for name, value in values.pop("cluster").items() if name not in apart}
        by_step = self.cluster.by_step(self.kind)
        return values | {f"cluster_{name}": value for name, value in (cluster | by_step).items()}

    def places(self) -> Iterator[tuple[str, str]]:
        """Yield every setting that says where something is, with the field's name.

        What is built in or registered is nowhere.
        """
        for split, files in self.source.split_files().items():
            yield f"source.{split}" if split else "source", files
        for field in ("encoder", "preprocessor", "push_to", "checkpoints"):
            place = getattr(self, field)
            yield field, "" if place in (BUILT_IN, NONE) or is_reference(place) else place

    def with_absolute_paths(self, folder: Path) -> Self:
        """Return the configuration with its relative paths below `folder`."""
        return self.model_copy(update=self._absolute_paths(folder))

    def _absolute_paths(self, folder: Path) -> dict[str, object]:
        paths: dict[str, object] = {
            field: absolute(getattr(self, field), folder) for field in ("preprocessor", "push_to", "checkpoints")
        }
        paths["source"] = absolute_source(self.source, folder)
        if self.encoder != BUILT_IN:
            paths["encoder"] = absolute(self.encoder, folder)
        if self.preprocessor == NONE:
            paths["preprocessor"] = NONE
        return paths


def absolute(path: str, folder: Path) -> str:
    """Return `path` below `folder`, unless it is empty, absolute, an address, a registered model or in a variable."""
    elsewhere = not path or "://" in path or path.startswith(ENVIRONMENT) or is_reference(path)
    return path if elsewhere else str(folder / Path(path).expanduser())


def absolute_source(source: Source, folder: Path) -> Source:
    """Return `source` with its relative paths below `folder`."""

    def pattern(path: str) -> str:
        """Return the absolute glob for `path`: what its folders' own names have of `*?[` stands for itself."""
        whole = absolute(path, folder)
        is_glob = whole != path or Path(path).is_absolute()
        if not is_glob or Path(whole).exists():
            return whole
        return with_literal_folders(whole, lambda one: Path(one).is_dir())

    files = {kind: pattern(getattr(source, kind)) for kind in ("files", "train", "validation", "test")}
    if source.sql and not source.connection:
        files["folder"] = str(folder / Path(source.folder).expanduser())
    return source.model_copy(update=files)


def read(path: Path, start_from: str) -> dict[str, Any]:
    """Return the mapping that a configuration file holds; raises BerthError if it holds none."""
    try:
        values = yaml_file.parse(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BerthError(f"{path}: no such configuration file. Start from {start_from}.") from None
    except OSError as error:
        raise BerthError(f"{path}: cannot be read ({error.strerror}). Name a YAML file.") from None
    except UnicodeDecodeError:
        raise BerthError(f"{path}: not UTF-8 text. Name a YAML file.") from None
    except ValueError as error:
        raise BerthError(f"{path}: {error}") from None
    if not isinstance(values, dict):
        raise BerthError(f"{path}: holds no settings. It needs at least 'name:' and 'source:'.")
    return values


def check_kind(path: Path, kind: Any, wanted: str) -> None:
    """Raise BerthError unless `kind`, the file's key `pipeline`, is the pipeline that is `wanted`."""
    if kind not in COMMANDS:
        raise BerthError(f"{path}: {PIPELINE}: there is no {kind!r}. Write one of: {', '.join(COMMANDS)}.")
    if kind != wanted:
        raise BerthError(
            f"{path}: is for the pipeline {kind}, not for {wanted}. Call: berth {COMMANDS[kind]} {path}. "
            f"(Its key {PIPELINE!r} says so; without one it is {next(iter(COMMANDS))}.)"
        )
