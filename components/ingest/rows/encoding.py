"""Conversion of files that are not plain UTF-8 to a form that DuckDB reads."""

import codecs
import itertools
import re
from pathlib import Path

from berth.errors import BerthError
from components.ingest.sources.encodings import UTF_8
from components.ingest.sources.files import CARRIAGE_RETURN, File, lines, opened

UNDECODABLE = "\ufdd0"
"""Replaces each byte that is not UTF-8: a code point that Unicode never assigns to a character."""
_CHUNK = 4 << 20

_LONE_SURROGATE = re.compile(
    r"(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})|\\u[dD][89a-fA-F][0-9a-fA-F]{2}|(\\.)"
)
"""Group 1: a pair; group 2: another escape; no group: a surrogate without its other half."""


def _marked(error: UnicodeError) -> tuple[str, int]:
    """Replace a byte by UNDECODABLE; in UTF-16 and UTF-32 all of a unit's bytes."""
    assert isinstance(error, UnicodeDecodeError)
    return UNDECODABLE, error.end if error.encoding.startswith(
        ("utf-16", "utf-32", "utf16", "utf32")
    ) else error.start + 1


codecs.register_error("berth-mark", _marked)


def readable(file: File, format: str, scratch: Path, repair: bool = False) -> Path:
    """Return the file's path if DuckDB can read it, otherwise a UTF-8 copy with UNDECODABLE for each invalid byte.

    The copy has no lines above the header row, and no byte order mark, which DuckDB refuses in JSON. In the copy of a
    TSV or CSV all line ends are the same, except inside quotes. With `repair` it is made in any case, and has
    UNDECODABLE for each JSON escape of half a character too.
    """
    if not repair and is_plain(file, format):
        return file.path
    copy, quotes = scratch / f"readable.{format}", 0
    with copy.open("w", encoding="utf-8", newline="") as stream:
        below = itertools.islice(lines(file, errors="berth-mark"), file.skipped, None)
        for number, text in enumerate(below, start=file.skipped + 1):
            if format == "tsv":
                text = text.removesuffix("\n").removesuffix("\r")
                if "\r" in text:
                    raise BerthError(f"{file.uri}: line {number}: {CARRIAGE_RETURN}")
                text += "\n"
            elif format == "csv":
                quotes += text.count('"')
                if quotes % 2 == 0 and text.endswith("\r\n"):
                    text = text[:-2] + "\n"
            elif repair:
                text = _LONE_SURROGATE.sub(lambda found: found[0] if found[1] or found[2] else UNDECODABLE, text)
            stream.write(text)
    return copy


def is_plain(file: File, format: str) -> bool:
    """Return whether DuckDB can read `file`: UTF-8, a header first; no mark in JSON, one kind of line ends in TSV."""
    if file.encoding not in ("", UTF_8) or file.skipped:
        return False
    decoder = codecs.getincrementaldecoder("utf-8")()
    begun = False
    with opened(file) as stream:
        while chunk := stream.read(_CHUNK):
            if format == "json" and not begun and chunk.startswith(codecs.BOM_UTF8):
                return False
            begun = True
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                return False
        try:
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return format != "tsv" or not has_mixed_ends(file)


def has_mixed_ends(file: File) -> bool:
    """Return whether some lines of a file of UTF-8 end in another way than the others, inside quotes or not."""
    returns, windows_ends, ends, before = 0, 0, 0, b""
    with opened(file) as stream:
        while chunk := stream.read(_CHUNK):
            ends += chunk.count(b"\n")
            returns += chunk.count(b"\r")
            windows_ends += chunk.count(b"\r\n") + (before == b"\r" and chunk[:1] == b"\n")
            before = chunk[-1:]
    return returns > 0 and not returns == windows_ends == ends
