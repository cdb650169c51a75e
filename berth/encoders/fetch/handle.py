"""Handles of encoders and preprocessors: where the SavedModel is, and the SHA-256 that its archive must have."""

import hashlib
import re
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Literal
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from berth.errors import BerthError
from berth.registry.fetch import is_reference
from berth.storage.addresses import has_secret, without_secrets
from berth.storage.object_store import OBJECT_STORES

ADVICE = (
    "Name a TF-Hub text model: a tfhub.dev or Kaggle URL, an https .tar.gz, gs://, s3://, a folder, or models:/NAME."
)

NONE = "none"
"""The preprocessor of a module that takes texts, where one has to be named."""
_ARCHIVES = (".tar.gz", ".tgz", ".tar")
_MOST_LETTERS = 60


@dataclass(frozen=True)
class Handle:
    """The location of a SavedModel.

    An archive may be pinned, `https://HOST/x.tar.gz#sha256=<64 hexadecimal digits>`.

    Example:
        >>> handle = parse("encoder", "https://tfhub.dev/town/bert/1")
        >>> handle.request, handle.name
        ('https://tfhub.dev/town/bert/1?tf-hub-format=compressed', 'bert-1-3efc5a1e')
    """

    text: str
    """The handle as it was given."""
    kind: Literal["folder", "http", "store", "registered"]
    address: str
    """The handle without its pin."""
    sha256: str
    """The pin; empty: any archive is accepted."""

    @property
    def is_archive(self) -> bool:
        """Whether the address names a tar archive. (A hub's page serves one too, but is not counted here.)"""
        return urlsplit(self.address).path.endswith(_ARCHIVES)

    @property
    def request(self) -> str:
        """The URL to request: a hub's page serves the archive if asked with tensorflow_hub's query parameter."""
        parts = urlsplit(self.address)
        query = parts.query
        if not self.is_archive:
            query = urlencode([*parse_qsl(query), ("tf-hub-format", "compressed")])
        return urlunsplit(parts._replace(query=query))

    @property
    def name(self) -> str:
        """A short readable name, with a digest of the handle that makes it unique."""
        path = PurePosixPath(urlsplit(self.address).path)
        words = "-".join([part for part in path.parts if part != "/"][-2:])
        for suffix in _ARCHIVES:
            words = words.removesuffix(suffix)
        words = re.sub(r"[^A-Za-z0-9._-]+", "-", words).strip("-._")[-_MOST_LETTERS:] or "model"
        return f"{words}-{hashlib.sha256(self.text.encode()).hexdigest()[:8]}"


def is_hub_page(text: str) -> bool:
    """Return whether the handle `text` is a page of a hub, whose models never bring their preprocessor.

    Example:
        >>> is_hub_page("https://tfhub.dev/town/bert/1"), is_hub_page("https://models.example/bert.tar.gz")
        (True, False)
    """
    return text.startswith(("http://", "https://")) and not urlsplit(text).path.endswith(_ARCHIVES)


def parse(field: str, text: str) -> Handle:
    """Return the Handle for `text`, the value of the setting `field`.

    Raises:
        BerthError: it is not a handle, or holds a secret, which would be recorded with the run.

    Example:
        >>> handle = parse("encoder", "gs://models/bert.tar.gz")
        >>> handle.kind, handle.is_archive
        ('store', True)
    """
    if is_reference(text):
        return Handle(text, "registered", text, "")
    if "://" not in text:
        return Handle(text, "folder", text, "")
    address, _, pin = text.partition("#")
    try:
        parts = urlsplit(address)
    except ValueError as error:
        raise BerthError(f"{field}: {without_secrets(text)!r} is not a valid address ({error}). {ADVICE}") from None
    if has_secret(address):
        raise BerthError(
            f"{field}: an address on {parts.hostname} with a password, a key or a signature in it, which would be "
            "recorded with the run. Give a bucket's address and put credentials into the environment, or a folder."
        )
    is_web = parts.scheme in ("http", "https")
    if not is_web and parts.scheme not in OBJECT_STORES:
        raise BerthError(f"{field}: {text!r}: a handle cannot begin with {parts.scheme}://. {ADVICE}")
    if not parts.netloc or not parts.path.strip("/"):
        raise BerthError(f"{field}: {text!r} does not name a model. {ADVICE}")
    sha256 = pin.removeprefix("sha256=").lower()
    if pin and (not pin.startswith("sha256=") or not re.fullmatch(r"[0-9a-f]{64}", sha256)):
        raise BerthError(f"{field}: {text!r}: after '#' comes sha256= and the archive's 64 hexadecimal digits.")
    handle = Handle(text, "http" if is_web else "store", address, sha256)
    if sha256 and not is_web and not handle.is_archive:
        raise BerthError(f"{field}: {text!r}: sha256 is for archives, and this is a folder. Leave it out.")
    return handle
