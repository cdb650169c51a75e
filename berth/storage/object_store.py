"""Object stores through fsspec: credentials come from the environment alone, nothing waits for ever."""

import contextlib
from collections.abc import Iterator
from typing import Any

from berth.errors import BerthError, first_line

OBJECT_STORES = ("s3", "gs", "gcs")
"""The schemes of addresses, `s3://BUCKET/...`, that are object stores."""
_TIMEOUT_SECONDS = 20
"""Seconds that a store may take to answer."""
_ADVICE = {
    "s3": "Check the address, and the credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    "gs": "Check the address, and the credentials in GOOGLE_APPLICATION_CREDENTIALS.",
}


def store_of(address: str) -> Any:
    """Return the fsspec filesystem of an address in an object store, which lists anew each time."""
    import fsspec

    options: dict[str, Any] = {"use_listings_cache": False, "skip_instance_cache": True}
    if _scheme(address) == "s3":
        waits = {"connect_timeout": _TIMEOUT_SECONDS, "read_timeout": _TIMEOUT_SECONDS, "retries": {"max_attempts": 3}}
        return fsspec.filesystem("s3", config_kwargs=waits, **options)
    return fsspec.filesystem("gs", timeout=_TIMEOUT_SECONDS, **options)


@contextlib.contextmanager
def explained(setting: str, address: str, verb: str) -> Iterator[None]:
    """Turn whatever the stores' many libraries raise into one line: `setting`: `address` cannot be `verb`."""
    try:
        yield
    except BerthError:
        raise
    except Exception as error:
        reason = "not there" if isinstance(error, FileNotFoundError) else first_line(error)
        raise BerthError(f"{setting}: {address} cannot be {verb} ({reason}). {_ADVICE[_scheme(address)]}") from None


def _scheme(address: str) -> str:
    return address.partition("://")[0].replace("gcs", "gs")
