"""Settings of ingest: the run configuration's fields about data."""

from collections import Counter
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict

from berth.data.dataset import LABEL, PAIR, TEXT
from berth.data.source import Source
from berth.errors import BerthError
from berth.settings import Cleaning, Fraction, RareLabels, Split


class IngestSettings(BaseModel):
    """RunConfig's fields about data, as KFP passes them: pydantic makes integers of its floats again."""

    model_config = ConfigDict(frozen=True)

    source: Source
    columns: list[str] = []
    encoding: str = ""
    text_column: str = "text"
    text_pair_column: str = ""
    label_column: str = "label"
    """Empty: the rows have no labels."""
    documents: Literal["row", "file", "blank_line"] = "row"
    """What a row is: a row of the source; or, in text files, a file, or what stands between blank lines."""
    task: Literal["single_label", "multi_label"] = "single_label"
    label_separator: str = ","
    label_map: dict[str, str] = {}
    slice_columns: list[str] = []
    max_rows: int = 0
    stratified: bool = True
    split: Split = Split.model_validate({})
    rare_labels: RareLabels = RareLabels.model_validate({})
    cleaning: Cleaning = Cleaning.model_validate({})
    corrections: Annotated[Source | None, BeforeValidator(lambda given: given or None)] = None
    """KFP has no parameter without a value: {} means that there are none."""
    memory_limit: str = "1GB"
    rows_per_shard: int = 100_000

    @classmethod
    def of(cls, **parameters: Any) -> Self:
        """Return the settings from KFP's `parameters`."""
        return cls.model_validate(parameters)

    @property
    def wanted(self) -> dict[str, str]:
        """The source's columns that are read, by the configuration's field that names them."""
        fields: dict[str, str] = {
            "text_column": self.text_column,
            "text_pair_column": self.text_pair_column,
            "label_column": self.label_column,
            "split.column": self.split.column,
            **{f"slice_columns[{number}]": column for number, column in enumerate(self.slice_columns)},
        }
        return {field: column for field, column in fields.items() if column and self.documents == "row"}

    def for_corrections(self) -> Self:
        """Return the settings to read the corrections with: their columns are text, label, and text_pair of pairs."""
        columns = {"text_column": TEXT, "label_column": LABEL}
        columns |= {"text_pair_column": PAIR} if self.text_pair_column else {}
        others: dict[str, object] = {
            "columns": [],
            "encoding": "",
            "slice_columns": [],
            "label_map": {},
            "corrections": None,
        }
        split = Split.model_validate({"seed": self.split.seed})
        return self.model_copy(update={"source": self.corrections, "split": split, **columns, **others})

    def check_slices(self) -> None:
        """Raise unless the splits' files can have the slice columns in addition to their own, under the same names."""
        own = {"text_column": self.text_column, "text_pair_column": self.text_pair_column}
        own |= {"label_column": self.label_column}
        for column, times in Counter(self.slice_columns).items():
            if not column:
                raise BerthError("slice_columns: one is empty. Name columns of the source.")
            if times > 1:
                raise BerthError(f"slice_columns: {column!r} is listed {times} times. Name it once.")
            for field, name in own.items():
                if column == name:
                    raise BerthError(f"slice_columns: {column!r} is also {field}. Name another column.")
            if column in (TEXT, PAIR, LABEL):
                raise BerthError(
                    f"slice_columns: a dataset has a column {column!r} of its own. Rename it in the source or a query."
                )

    def parameters(self) -> dict[str, object]:
        """Return the settings that are logged to MLflow as parameters; they do not contain credentials."""
        sections = {"source": self.source, "split": self.split, "rare_labels": self.rare_labels}
        sections |= {"cleaning": self.cleaning}
        sections |= {"corrections": self.corrections} if self.corrections else {}
        shown = self.model_dump(exclude={*sections, "columns", "memory_limit", "rows_per_shard"})
        for section, values in sections.items():
            for name, value in values.model_dump().items():
                shown[section if name == "files" else f"{section}_{name}"] = value
        return {name: value for name, value in shown.items() if value not in ("", {}, [], None)}


class CorpusSettings(IngestSettings):
    """The settings of a corpus: RunConfig's fields about data without those about labels and splits."""

    label_column: str = ""
    exclude: list[str] = []
    """Registered models and dataset folders whose test texts are left out."""
    held_out: Fraction = 0.02
    """Share of the documents that pre-training never sees, and is measured on."""

    def parameters(self) -> dict[str, object]:
        fields = {"source", "encoding", "text_column", "documents", "exclude", "held_out"}
        shown = {name: value for name, value in super().parameters().items() if name in fields}
        return shown | {f"cleaning_{name}": value for name, value in self.cleaning.model_dump().items()}
