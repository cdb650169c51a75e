"""Output on a terminal that cannot show every character, as with `PYTHONIOENCODING=ascii`."""

import codecs
import io
import os
import sys

_ASCII = {"✓": "+", "✗": "x", "…": "~", "·": "-"}
"""What stands for the marks that Berth prints itself: one character each, so that columns stay aligned."""
_HANDLER = "berth-ascii"


def prepare() -> None:
    """Make standard output and error write what their encoding lacks as ASCII, instead of raising an error.

    The processes that are started from here write UTF-8, as their output is read.
    """
    codecs.register_error(_HANDLER, _replace)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and not is_unicode(stream.encoding):
            stream.reconfigure(errors=_HANDLER)
            os.environ["PYTHONIOENCODING"] = "utf-8"


def is_unicode(encoding: str) -> bool:
    """Return whether `encoding` has every character."""
    return encoding.lower().startswith("utf")


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Return what to write for the characters that cannot be encoded, and where to go on."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    shown = (_ASCII.get(char) or char.encode("unicode_escape").decode("ascii") for char in lacking)
    return "".join(shown), error.end
