"""Files that are not plain UTF-8, made readable for DuckDB."""

import codecs
from pathlib import Path

from berth.errors import BerthError
from components.ingest.sources.files import CARRIAGE_RETURN, File, open_decompressed, opened

UNDECODABLE = "\ufdd0"
"""Stands for each byte that is not UTF-8: a code point that Unicode keeps free of characters."""
_CHUNK = 4 << 20

codecs.register_error("berth-mark", lambda error: (UNDECODABLE, error.start + 1))  # type: ignore[attr-defined]


def readable(file: File, format: str, scratch: Path) -> Path:
    """Return the file's path where DuckDB reads it as it is, else a copy in UTF-8 with UNDECODABLE for what is not.

    The copy has no byte order mark, which DuckDB refuses in JSON. A TSV has one kind of line end in it.
    """
    if is_plain(file, format):
        return file.path
    copy = scratch / f"readable.{format}"
    with copy.open("w", encoding="utf-8", newline="") as stream:
        for number, line in enumerate(open_decompressed(file), start=1):
            text = line.removeprefix(codecs.BOM_UTF8).decode("utf-8", errors="berth-mark")
            if format == "tsv":
                text = text.removesuffix("\n").removesuffix("\r")
                if "\r" in text:
                    raise BerthError(f"{file.uri}: line {number}: {CARRIAGE_RETURN}")
                text += "\n"
            stream.write(text)
    return copy


def is_plain(file: File, format: str) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    returns, windows_ends, ends, begun, before = 0, 0, 0, False, b""
    with opened(file) as stream:
        while chunk := stream.read(_CHUNK):
            if format == "json" and not begun and chunk.startswith(codecs.BOM_UTF8):
                return False
            begun = True
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                return False
            if format == "tsv":
                ends += chunk.count(b"\n")
                returns += chunk.count(b"\r")
                windows_ends += chunk.count(b"\r\n") + (before == b"\r" and chunk[:1] == b"\n")
                before = chunk[-1:]
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return format != "tsv" or returns == 0 or (returns == windows_ends == ends)
