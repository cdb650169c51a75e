"""Files that are not of this machine: found, told apart by their versions, and fetched, through fsspec."""

import datetime
from pathlib import Path
from typing import Any

from berth.errors import BerthError, first_line

SCHEMES = ("s3", "gs", "gcs", "http", "https")
_TIMEOUT_SECONDS = 20
"""Seconds that a store may take to answer."""
_ADVICE = {
    "s3": "Check the address, and the credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY.",
    "gs": "Check the address, and the credentials in GOOGLE_APPLICATION_CREDENTIALS.",
    "http": "Check the address.",
}


def find(address: str) -> list[tuple[str, int, str]]:
    """Return the URI, the size in bytes (-1: not told) and the version of the files at `address`.

    `address` is a file, a glob or a folder. The version is the ETag or the time of the last change; empty where the
    server tells neither.

    Raises:
        BerthError: there is nothing, or it cannot be listed.
    """
    import fsspec

    scheme = address.partition("://")[0].lower()
    if scheme not in SCHEMES:
        raise BerthError(f"source: {address}: no store of the kind {scheme}://. Berth reads s3://, gs:// and https://.")
    with _explained(address):
        system, path = fsspec.core.url_to_fs(address, **_options(scheme))
        if scheme.startswith("http"):
            found = [path]
        elif fsspec.core.has_magic(path):
            found = system.glob(path)
        elif system.isdir(path):
            found = system.find(path)
        else:
            found = [path]
        found = sorted(one for one in found if not Path(one).name.startswith((".", "_")) and not one.endswith("/"))
        infos = [system.info(one) for one in found]
        uris = [one if scheme.startswith("http") else f"{scheme}://{one}" for one in found]
    if not found:
        raise BerthError(f"source: nothing at {address}. {_advice(scheme)}")
    return [(uri, int(info.get("size") or -1), _version(info)) for uri, info in zip(uris, infos, strict=True)]


def fetch(uri: str, target: Path) -> None:
    """Copy the file at `uri` to `target`.

    Raises:
        BerthError: it cannot be read whole.
    """
    import fsspec

    scheme = uri.partition("://")[0]
    with _explained(uri):
        system, path = fsspec.core.url_to_fs(uri, **_options(scheme))
        system.get_file(path, str(target))


class _explained:
    """Turns whatever the stores' many libraries raise about `address` into one line."""

    def __init__(self, address: str) -> None:
        self.address = address

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, Exception) or isinstance(error, BerthError):
            return
        if isinstance(error, FileNotFoundError):
            import aiohttp

            # fsspec takes a web server that does not answer, or is not trusted, for a file that is not there.
            cause = error.__cause__ or error.__context__
            dead = isinstance(cause, aiohttp.ClientConnectionError)
            reason = "no answer" if dead else "not there"
            if isinstance(cause, aiohttp.ClientConnectorCertificateError):
                why = getattr(cause.certificate_error, "verify_message", "not valid")
                reason = f"its certificate: {why}; SSL_CERT_FILE names other authorities"
        elif isinstance(error, TimeoutError):
            reason = "no answer"
        else:
            reason = first_line(error)
        advice = _advice(self.address.partition("://")[0])
        raise BerthError(f"source: {self.address} cannot be read ({reason}). {advice}") from None


def _advice(scheme: str) -> str:
    return _ADVICE[{"gcs": "gs", "https": "http"}.get(scheme, scheme)]


def _options(scheme: str) -> dict[str, Any]:
    """Return the store's options: credentials come from its own variables, never from here; nothing waits for ever."""
    if scheme == "s3":
        waits = {"connect_timeout": _TIMEOUT_SECONDS, "read_timeout": _TIMEOUT_SECONDS, "retries": {"max_attempts": 3}}
        return {"config_kwargs": waits, "use_listings_cache": False, "skip_instance_cache": True}
    if scheme in ("gs", "gcs"):
        return {"timeout": _TIMEOUT_SECONDS, "use_listings_cache": False, "skip_instance_cache": True}
    import aiohttp

    patience = aiohttp.ClientTimeout(total=None, sock_connect=_TIMEOUT_SECONDS, sock_read=_TIMEOUT_SECONDS)
    return {"client_kwargs": {"timeout": patience, "raise_for_status": True}, "skip_instance_cache": True}


def _version(info: dict[str, Any]) -> str:
    for key in ("ETag", "etag", "LastModified", "updated", "mtime"):
        if value := info.get(key):
            return value.isoformat() if isinstance(value, datetime.datetime) else str(value).strip('"')
    return ""
