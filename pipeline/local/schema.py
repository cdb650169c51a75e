"""The schema as a file that a team reviews: inferred from the data, and compared in words."""

import json
import os
import sys
import tempfile
from pathlib import Path

from berth import images
from berth.errors import BerthError, printable
from pipeline import home
from pipeline.config.run_config import RunConfig
from pipeline.local.environment_process import run_module


def infer(config: RunConfig) -> str:
    """Return the TFDV schema, in text form, of what the configuration's source holds today; warn of what is doubtful.

    Raises:
        BerthError: the source cannot be read.
    """
    with tempfile.TemporaryDirectory(prefix="berth-schema-") as scratch:
        dataset = str(Path(scratch) / "dataset")
        Path(dataset).mkdir()
        notes = run_module(images.CORE, "components.ingest", dataset, stdin=json.dumps(config.parameters()))
        for note in notes.splitlines():
            print(f"warning {printable(note)}", file=sys.stderr)
        return run_module(images.VALIDATE, "components.validate", "infer", dataset)


def write(config: RunConfig, path: Path, force: bool) -> str:
    """Infer the schema and write it to `path`; return the outcome in a line.

    Raises:
        BerthError: another schema is there, or it cannot be written.
    """
    text = infer(config.model_copy(update={"schema_file": ""}))
    try:
        if path.exists() and not force:
            if path.read_text(encoding="utf-8") == text:
                return f"{home.relative(path)} is up to date"
            raise BerthError(
                f"{path}: another schema is there. See 'berth schema diff', then write over it with --force."
            )
        scratch = path.with_name(f".{path.name}.{os.getpid()}")
        scratch.write_text(text, encoding="utf-8")
        scratch.replace(path)
    except OSError as error:
        raise BerthError(f"{path}: cannot be written ({error.strerror}).") from None
    return f"wrote {home.relative(path)}; 'schema: {path.name}' in the configuration checks each run's data against it"


def diff(config: RunConfig, other: Path | None) -> list[str]:
    """Return what changed from the configuration's schema to `other`, or to what today's data would give.

    Raises:
        BerthError: the configuration names no schema, or one of the two cannot be read.
    """
    if not config.schema_file:
        raise BerthError("schema: the configuration names none. Write one with 'berth schema infer CONFIG'.")
    for path in filter(None, (Path(config.schema_file), other)):
        if not path.is_file():
            raise BerthError(f"{path}: no such schema. Write one with 'berth schema infer CONFIG'.")
    with tempfile.TemporaryDirectory(prefix="berth-schema-") as scratch:
        new = other or Path(scratch) / "schema.pbtxt"
        if other is None:
            new.write_text(infer(config.model_copy(update={"schema_file": ""})), encoding="utf-8")
        changes = run_module(images.VALIDATE, "components.validate", "diff", config.schema_file, str(new))
        return [line for line in changes.splitlines() if line]
