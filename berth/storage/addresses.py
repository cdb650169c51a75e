"""Addresses of files: their scheme, and secrets in them, such as the signature of a signed URL."""

import re
from urllib.parse import parse_qsl

NO_SECRETS = "an address with a user or password in it, a key or a signature, which would be recorded with the run"
"""What is wrong with an address that `has_secret`. The address itself is not shown."""

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://[^\s'\"<>`]+", re.IGNORECASE)
_SECRETS = re.compile(
    r"signature|(?<![a-z])sig(?![a-z])|token|key(?!word)|secret|passw|pwd|credential|auth(?!or)|jwt", re.IGNORECASE
)
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)")


def has_secret(text: str) -> bool:
    """Return whether `text` is or holds an address with a user, a password, a key or a signature in it.

    Example:
        >>> has_secret("https://ann:secret@texts.example/a.csv"), has_secret("s3://texts/a.csv")
        (True, False)
    """
    return any(_is_secret(address) for address in _ADDRESS.findall(text))


def without_secrets(text: str) -> str:
    """Return `text`, such as a library's message, without the users and queries of the addresses in it.

    Example:
        >>> without_secrets("404 for https://ann:secret@texts.example/a.csv?sig=abc")
        '404 for https://...@texts.example/a.csv?...'
    """

    def shown(found: re.Match[str]) -> str:
        scheme, _, rest = found[0].partition("://")
        return f"{scheme}://" + re.sub(r"[?#].*", "?...", re.sub(r"^[^/?#]*@", "...@", rest))

    return _ADDRESS.sub(shown, text)


def with_lower_scheme(address: str) -> str:
    """Return `address` with its scheme in lower case, as libraries expect it; a path stays as it is.

    Example:
        >>> with_lower_scheme("S3://texts/A.csv")
        's3://texts/A.csv'
    """
    return _SCHEME.sub(lambda scheme: scheme[0].lower(), address, count=1) if _SCHEME.match(address) else address


def _is_secret(address: str) -> bool:
    rest = address.partition("://")[2]
    if "@" in rest.partition("/")[0]:
        return True
    _, _, query = rest.partition("?")
    values = parse_qsl(re.sub("[#;]", "&", query or rest.partition("#")[2]))
    return any(_SECRETS.search(name) for name, _ in values)
