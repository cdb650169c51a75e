"""Conversion of files that are not plain UTF-8 to a form that DuckDB reads."""

import codecs
from pathlib import Path

from berth.errors import BerthError
from components.ingest.sources.files import CARRIAGE_RETURN, File, open_decompressed, opened

UNDECODABLE = "\ufdd0"
"""Replaces each byte that is not UTF-8: a code point that Unicode never assigns to a character."""
_CHUNK = 4 << 20

codecs.register_error("berth-mark", lambda error: (UNDECODABLE, error.start + 1))  # type: ignore[attr-defined]


def readable(file: File, format: str, scratch: Path) -> Path:
    """Return the file's path if DuckDB can read it, otherwise a UTF-8 copy with UNDECODABLE for each invalid byte.

    The copy has no byte order mark, which DuckDB refuses in JSON. In the copy of a TSV all line ends are the same.
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
