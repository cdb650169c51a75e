"""The one exception family of Berth."""


class BerthError(Exception):
    """A problem that the user can mend.

    The message is one line: what is wrong, then what to change. The CLI prints it without a traceback; every
    other exception is a bug of ours and keeps its traceback.
    """

    def __init__(self, message: str) -> None:
        super().__init__(printable(" ".join(message.split())))


def first_line(error: BaseException) -> str:
    """Return the first line of what `error` says that is not blank; its type's name where it says nothing."""
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)


def printable(text: str) -> str:
    """Return `text` with its control characters spelled out, so that text from data cannot steer a terminal."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def nearest(word: str, candidates: list[str]) -> str:
    """Return " Did you mean 'x'?" for the candidate closest to `word`, or an empty string when none is close."""
    import difflib

    close = difflib.get_close_matches(word.lower(), candidates, n=1, cutoff=0.6)
    return f" Did you mean {close[0]!r}?" if close else ""
