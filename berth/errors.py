"""The one exception family of Berth, and how it gets from one process to another."""

import contextlib
import re
import tempfile
from collections.abc import Iterator


class BerthError(Exception):
    """A problem that the user can fix.

    The message is one line: what is wrong, then what to change. The CLI prints it without a traceback; every
    other exception is a bug of ours and keeps its traceback.

    Example:
        >>> str(BerthError("data.csv is empty.\\n  Name another file."))
        'data.csv is empty. Name another file.'
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


def first_line(error: BaseException) -> str:
    """Return the first line of the message of `error` that is not blank; its type's name if it has no message.

    Example:
        >>> first_line(OSError("\\nno space left\\non device")), first_line(KeyError())
        ('no space left', 'KeyError')
    """
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def raised_in(line: str) -> BerthError | None:
    """Return the BerthError that `line`, the last line of a traceback, names; None: it is another line.

    Example:
        >>> raised_in("berth.errors.BerthError: data.csv is empty. Name another file.")
        BerthError('data.csv is empty. Name another file.')
    """
    match = _LAST_LINE.fullmatch(line)
    return BerthError(match[1]) if match else None


def check_exit(code: int, errors: str, what: str) -> None:
    """Raise what ended a process of Berth's own, unless its exit code is 0.

    Args:
        code: Its exit code, negative for a signal.
        errors: What it wrote to stderr.
        what: What cannot be done without it, for the message: "model/: the model cannot be loaded".

    Raises:
        BerthError: the process raised one, which is raised again here; or a signal ended it.
        RuntimeError: it ended for another reason, a bug; the message's last line is the last one of `errors`.

    Example:
        >>> check_exit(-9, "", "model/")
        Traceback (most recent call last):
            ...
        berth.errors.BerthError: model/: the process died of signal 9, perhaps for lack of memory.
    """
    if code == 0:
        return
    last = next((line for line in reversed(errors.splitlines()) if line.strip()), "")
    if own := raised_in(last):
        raise own
    if code < 0:
        raise BerthError(f"{what}: the process died of signal {-code}, perhaps for lack of memory.")
    raise RuntimeError(f"{what}:\n{errors.strip() or f'exit code {code} without an error message'}")


@contextlib.contextmanager
def full_disk_in_one_line() -> Iterator[None]:
    """Turn what Python, a database or TensorFlow raises on a full disk into one line.

    Raises:
        BerthError: in their place.

    Example:
        >>> with full_disk_in_one_line():
        ...     raise OSError(28, "No space left on device", "/a")
        Traceback (most recent call last):
            ...
        berth.errors.BerthError: the disk is full: no room for /a. Free some space on that disk, or run on a larger one.
    """
    try:
        yield
    except Exception as error:
        if isinstance(error, BerthError) or not _FULL_DISK.search(str(error)):
            raise
        place = _full_place(error)
        raise BerthError(
            f"the disk is full: no room for {place}. Free some space on that disk, or run on a larger one."
        ) from None


def _full_place(error: Exception) -> str:
    """Return what has no room on a full disk: the file, where `error` names it."""
    if file := getattr(error, "filename", None):
        return str(file)
    if "database or disk is full" in str(error):
        return "MLflow's database"
    if named := _FULL_FILE.search(str(error)):
        return named[1]
    return f"the step's outputs, or temporary files in {tempfile.gettempdir()}"


def printable(text: str) -> str:
    r"""Return `text` with its control characters spelled out, so that text from data cannot steer a terminal.

    Example:
        >>> print(printable("red: \x1b[31m"))
        red: \x1b[31m
    """
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def nearest(word: str, candidates: list[str]) -> str:
    """Return " Did you mean 'x'?" for the candidate closest to `word`, or an empty string when none is close.

    Example:
        >>> nearest("epoch", ["epochs", "seed"])
        " Did you mean 'epochs'?"
    """
    import difflib

    close = difflib.get_close_matches(word.lower(), candidates, n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""


_FULL_DISK = re.compile("No space left on device|Disk quota exceeded|database or disk is full")
_FULL_FILE = re.compile(r"(/[^\s;]+)[;:] (?:No space left|Disk quota)")
"""As TensorFlow names it."""
_LAST_LINE = re.compile(rf"(?:{re.escape(BerthError.__module__)}\.)?BerthError: (.*)")
"""The last line of the traceback of a BerthError that nothing caught."""
