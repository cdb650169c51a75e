"""The labelled texts of the probe: CSV, TSV, JSON Lines or Parquet files, on a disk or in an object store.

The train image has no DuckDB, so queries and web addresses, which ingest takes, are refused here.
"""

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Any

from berth.errors import BerthError, first_line
from berth.pretraining.settings import Probe
from berth.storage.object_store import OBJECT_STORES, explained, scheme_of, store_of

if TYPE_CHECKING:
    import pandas as pd

_SUFFIXES = {".csv": ",", ".tsv": "\t", ".jsonl": "", ".ndjson": "", ".parquet": ""}
_COMPRESSED = (".gz", ".zst")


def labelled(settings: Probe) -> tuple[list[str], list[str]]:
    """Return the different texts and their labels; rows without one of them are left out.

    Raises:
        BerthError: the source is not files that can be read here, or lacks a column.
    """
    import pandas as pd

    address = settings.source.split_files().get("", "") or settings.source.train
    if not address or scheme_of(address) in ("http", "https", "env"):
        raise BerthError("probe.source: name files on a disk, s3:// or gs://; the probe reads no queries or web pages.")
    frames = [_read(path, opened, settings.columns) for path, opened in _files(address)]
    columns = {settings.text_column, settings.label_column}
    if missing := sorted(columns - set(frames[0].columns)):
        found = ", ".join(map(str, frames[0].columns))
        raise BerthError(
            f"probe: {address} has no column {missing[0]!r} but {found}. Set probe.text_column, label_column."
        )
    rows = pd.concat(frames)[[settings.text_column, settings.label_column]].dropna()
    rows = rows.astype(str).drop_duplicates(settings.text_column)
    return rows[settings.text_column].tolist(), rows[settings.label_column].tolist()


def _files(address: str) -> list[tuple[str, Any]]:
    """Return the names of the files at `address`, a file, a folder or a glob, each with what pandas can read."""
    if scheme_of(address) in OBJECT_STORES:
        with explained("probe.source", address, "read"):
            store = store_of(address)
            names = store.glob(address) if "*" in address else store.find(address)
            return [(name, store.open(name)) for name in sorted(names) if _suffix(name)] or _nothing(address)
    path = Path(address)
    names = path.rglob("*") if path.is_dir() else [path] if path.is_file() else path.parent.glob(path.name)
    return [(str(name), name) for name in sorted(names) if _suffix(str(name))] or _nothing(address)


def _nothing(address: str) -> Any:
    raise BerthError(f"probe.source: no CSV, TSV, JSON Lines or Parquet file at {address}. Check the address.")


def _suffix(name: str) -> str:
    suffixes = [suffix for suffix in Path(name.lower()).suffixes if suffix not in _COMPRESSED]
    return suffixes[-1] if suffixes and suffixes[-1] in _SUFFIXES else ""


def _read(name: str, opened: Any, columns: list[str]) -> "pd.DataFrame":
    import pandas as pd

    kind, compression = _suffix(name), {".gz": "gzip", ".zst": "zstd"}.get(Path(name).suffix.lower())
    try:
        if kind == ".parquet":
            return pd.read_parquet(opened)
        if _SUFFIXES[kind]:
            # As ingest reads them: quotes count in CSV alone, and NA is a text.
            quotes = csv.QUOTE_MINIMAL if kind == ".csv" else csv.QUOTE_NONE
            options = {"sep": _SUFFIXES[kind], "quoting": quotes, "names": columns or None}
            return pd.read_csv(opened, dtype=str, compression=compression, na_filter=False, **options)
        return pd.read_json(opened, lines=True, dtype=False, compression=compression)
    except (ValueError, OSError) as error:
        raise BerthError(f"probe.source: {name} cannot be read ({first_line(error)}). Check the file.") from None
