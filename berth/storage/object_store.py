"""Clients for object stores, through fsspec: the one place of their options, time limits and advice.

Credentials come from the environment alone: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY,
GOOGLE_APPLICATION_CREDENTIALS. Needs fsspec, with s3fs or gcsfs: the images core and train have them.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from berth.errors import BerthError, first_line

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

OBJECT_STORES = ("s3", "gs", "gcs")
"""The schemes of addresses, `s3://BUCKET/...`, that are object stores."""
TIMEOUT_SECONDS = 20
"""Longest wait for a connection, and for the next bytes of an answer."""
_ADVICE = {
    "s3": "Check the address, and the credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    "gs": "Check the address, and the credentials in GOOGLE_APPLICATION_CREDENTIALS.",
}


def store_of(address: str) -> "AbstractFileSystem":
    """Return the client for an address in an object store.

    Each call makes a new client, which keeps no listings: another process may write to the same place.

    Example:
        >>> versions = store_of("s3://models/sms").ls("models/sms", detail=False)
    """
    import fsspec

    return fsspec.filesystem(scheme_of(address), **options_of(address))


def options_of(address: str) -> dict[str, object]:
    """Return the options of the client for an address in an object store: time limits, and no cache of any kind.

    Example:
        >>> options_of("gs://models/sms")
        {'timeout': 20, 'use_listings_cache': False, 'skip_instance_cache': True}
    """
    options: dict[str, object] = {"use_listings_cache": False, "skip_instance_cache": True}
    if scheme_of(address) == "gs":
        return {"timeout": TIMEOUT_SECONDS, **options}
    limits = {"connect_timeout": TIMEOUT_SECONDS, "read_timeout": TIMEOUT_SECONDS, "retries": {"max_attempts": 3}}
    return {"config_kwargs": limits, **options}


@contextlib.contextmanager
def explained(setting: str, address: str, verb: str) -> Iterator[None]:
    """Turn what the stores' libraries raise into one line: `setting`: `address` cannot be `verb` (why). What to do.

    Raises:
        BerthError: in place of any other exception.

    Example:
        >>> with explained("push_to", "s3://models/sms", "written"):
        ...     store.pipe_file("models/sms/probe", b"")
    """
    try:
        yield
    except BerthError:
        raise
    except Exception as error:
        raise BerthError(f"{setting}: {address} cannot be {verb} ({reason_of(error)}). {advice_on(address)}") from None


def reason_of(error: Exception) -> str:
    """Return in a few words why an object store failed.

    Example:
        >>> reason_of(FileNotFoundError("models/sms")), reason_of(TimeoutError())
        ('not there', 'no answer')
    """
    if isinstance(error, FileNotFoundError):
        return "not there"
    return "no answer" if isinstance(error, TimeoutError) else first_line(error)


def advice_on(address: str) -> str:
    """Return the sentence that tells the user what to check where an object store fails.

    Example:
        >>> advice_on("gcs://models/sms")
        'Check the address, and the credentials in GOOGLE_APPLICATION_CREDENTIALS.'
    """
    return _ADVICE[scheme_of(address)]


def scheme_of(address: str) -> str:
    """Return `s3` or `gs`, or any other address's scheme in lower case; `gcs://` is another name of `gs://`.

    Example:
        >>> scheme_of("gcs://models/sms"), scheme_of("HTTPS://texts.example/a.csv")
        ('gs', 'https')
    """
    scheme = address.partition("://")[0].lower()
    return "gs" if scheme == "gcs" else scheme
