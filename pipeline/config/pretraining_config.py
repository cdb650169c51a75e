"""Configuration of a pre-training run. Its sections are documented here and in berth/pretraining/settings.py."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from berth.encoders.builtin.weights import BUILT_IN
from berth.encoders.fetch.handle import is_hub_page
from berth.pretraining.settings import EncoderGates, NewEncoder, Pretraining, Probe
from berth.settings import Address, Cleaning, Fraction
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
    RunName,
    absolute,
    absolute_source,
)


class PretrainingConfig(PipelineConfig):
    """One run of the pre-training pipeline. Relative paths are relative to the configuration file."""

    kind: ClassVar[str] = "pretraining"
    start_from: ClassVar[str] = "examples/pretraining/config.yaml"

    name: RunName
    source: Rows
    columns: Columns = Field([])
    encoding: Encoding = ""
    text_column: str = Field("text", min_length=1, description="The column that holds the text; others are ignored.")
    documents: Literal["row", "file", "blank_line"] = Field(
        "row",
        description="What a document is: a row, a whole text file, or a part of a text file between blank lines. "
        "Sentence pairs never cross documents.",
    )
    exclude: list[str] = Field(
        [],
        description="Names of registered models, or folders of datasets (with a / in them): every text of their test "
        "splits is left out, so that no model is judged on what its encoder has seen.",
    )
    held_out: Fraction = Field(0.02, description="Share of the documents that the encoder is judged on.")
    cleaning: Cleaning = Field(Cleaning.model_validate({}), description="How texts are cleaned before that.")
    memory_limit: MemoryLimit = "1GB"
    encoder: Address = Field(
        BUILT_IN,
        description="The encoder to start from, as `encoder` of a training configuration; or a mapping, which "
        "describes a new encoder: see new_encoder below.",
    )
    new_encoder: NewEncoder | None = Field(
        None, description="Set by a mapping as `encoder`: `encoder: {preset: small, vocabulary: 16000}`."
    )
    preprocessor: Address = Field(
        "", description="The encoder's TF-Hub text preprocessor; `minilm` and checkpoints include theirs."
    )
    pretraining: Pretraining = Field(Pretraining.model_validate({}), description="How the encoder is trained.")
    checkpoints: Checkpoints = ""
    checkpoint_minutes: CheckpointMinutes = 10.0
    require_gpu: RequireGpu = False
    probe: Probe | None = Field(None, description="A labelled source that shows what the encoder is worth.")
    gates: EncoderGates = Field(
        EncoderGates.model_validate({}), description="Bounds that an encoder has to meet to be pushed."
    )
    model_name: ModelName = ""
    push_to: PushTo = ""
    keep: Keep = 5
    notify: Notifications = NO_NOTIFICATIONS
    cluster: Pods = PODS

    @model_validator(mode="before")
    @classmethod
    def _from_nothing(cls, values: object) -> object:
        if isinstance(values, dict) and isinstance(shape := values.get("encoder"), dict):
            return {**values, "encoder": "", "new_encoder": shape}
        return values

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if self.source.train:
            raise ValueError("source: a corpus has no splits; name its files")
        if self.documents != "row" and self.source.sql:
            raise ValueError(f"documents: {self.documents} is for files; the rows of a query are documents themselves")
        if bool(self.encoder) == bool(self.new_encoder):
            raise ValueError("encoder: name one, or describe a new one as a mapping such as {preset: small}")
        if is_hub_page(self.encoder) and not self.preprocessor:
            raise ValueError("preprocessor: name the TF-Hub preprocessor that the encoder's page gives as its match")
        if self.new_encoder and self.preprocessor:
            raise ValueError("preprocessor: a new encoder gets one with the vocabulary that is learned; leave it out")
        if self.gates.max_probe_drop is not None and not self.probe:
            raise ValueError("gates.max_probe_drop: there is no probe; add one, or leave the gate out")
        return self

    def parameters(self) -> dict[str, Any]:
        """Return the pipeline parameters of this run, JSON values by name; what is not set is an empty mapping."""
        return {"new_encoder": {}, "probe": {}} | super().parameters()

    def places(self) -> Iterator[tuple[str, str]]:
        """Yield every setting that says where something is, with the field's name; what is built in is nowhere."""
        yield from super().places()
        if self.probe:
            for split, files in self.probe.source.split_files().items():
                yield f"probe.source.{split}" if split else "probe.source", files
        yield from (("exclude", one) for one in self.exclude if "/" in one)

    def _absolute_paths(self, folder: Path) -> dict[str, object]:
        paths = super()._absolute_paths(folder)
        if self.probe:
            paths["probe"] = self.probe.model_copy(update={"source": absolute_source(self.probe.source, folder)})
        paths["exclude"] = [absolute(one, folder) if "/" in one else one for one in self.exclude]
        return paths
