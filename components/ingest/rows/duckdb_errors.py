"""DuckDB's errors as one line."""

import re
import tempfile

from components.ingest.sources.files import LONGEST_ROW

_ROWS = {
    "csv": "Quote the text, or fix the row. A comment may only be above the header row.",
    "tsv": "A text in a TSV has neither tabs nor line breaks, and quotes do not help: fix the row, or save it as .csv.",
}


def lack(error: Exception) -> str:
    """Return what the machine lacks; empty if `error` is about something else."""
    text = str(error)
    if "No space left" in text or "max_temp_directory_size" in text or "temp directory" in text:
        return no_room()
    if "Out of Memory" in text:
        return "memory_limit is too small for its rows. Raise it."
    return ""


def no_room() -> str:
    """Return what to say of a full disk."""
    return f"no room on the disk for its rows while they are read. Make room in {tempfile.gettempdir()}."


def explain(error: str, format: str, skipped: int = 0) -> str:
    """Return DuckDB's message about a file of a format in one line, without any of the file's text.

    `skipped` is the number of lines that the file has above those that DuckDB has read.
    """
    first = (error.splitlines() or [""])[0]
    if "No such file" in error or "No files found" in error:
        return "removed while it was read. Run again."
    if json := re.search(r" in line \d+: ([^:]+)", first):  # its number of the line is not that of the file
        return f"not the JSON that is expected ({json[1].strip(' .')}). Fix the row."
    line = re.search(r"CSV Error on Line: (\d+)", error)
    where = f"line {int(line[1]) + skipped}: " if line else ""
    if columns := re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", error):
        return f"{where}{columns[2]} columns where {columns[1]} are expected. {_ROWS[format]}"
    if "unterminated quote" in error.lower() or "unquoted value" in error.lower():
        return f"{where}a double quote that is never closed, or text after a closing one. Fix the row, or use a .tsv."
    if "Maximum line size" in error or "maximum_object_size" in error:
        return f"{where}a row of more than {LONGEST_ROW >> 20} MB. Close its quotes, or cut the text."
    reason = first.removeprefix("Invalid Input Error: ")
    return f"{where}{reason}" if line is None else f"{where}not valid in this format ({reason})."
