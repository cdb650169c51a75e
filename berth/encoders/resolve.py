"""Resolve an encoder and its preprocessor, `minilm` or any handles, and load them.

Anything that is not a local folder is fetched into the user's cache (berth.encoders.fetch.cache), and again when the
server has other files.
"""

from pathlib import Path

from berth.encoders import registered
from berth.encoders.builtin import minilm
from berth.encoders.builtin.weights import BUILT_IN
from berth.encoders.describe import examine
from berth.encoders.fetch import cache, download
from berth.encoders.fetch.archive import saved_model_below
from berth.encoders.fetch.handle import ADVICE, Handle, parse
from berth.encoders.loading import check_graph
from berth.encoders.present import name_in_cache
from berth.errors import BerthError


def resolve(encoder: str, preprocessor: str) -> tuple[str, str]:
    """Return the local folders of the encoder and the preprocessor, fetched into the cache if need be.

    Raises:
        BerthError: a handle does not lead to a SavedModel; the message names the field and what to change.
    """
    if encoder == BUILT_IN:
        own_encoder, own_preprocessor = minilm.handles()
        return own_encoder, _resolve("preprocessor", preprocessor) if preprocessor else own_preprocessor
    return _resolve("encoder", encoder), _resolve("preprocessor", preprocessor or _own_preprocessor(encoder))


def _own_preprocessor(encoder: str) -> str:
    """Return the handle of the preprocessor that an encoder brings; empty: none."""
    return encoder if parse("encoder", encoder).kind == "registered" else ""


def _resolve(field: str, text: str) -> str:
    handle = parse(field, text)
    if handle.kind == "registered" and field == "preprocessor":
        return str(obtain(field, handle) / registered.PREPROCESSOR)
    if handle.kind != "folder":
        fetched = str(obtain(field, handle))
        check_graph(field, fetched, text)  # it may have been fetched before graphs were checked
        return fetched
    folder = Path(text)
    if not folder.is_dir():
        raise BerthError(f"{field}: no folder {text!r}. {ADVICE}")
    if not (folder / "saved_model.pb").is_file():
        raise BerthError(f"{field}: {text!r} is not a SavedModel: it has no saved_model.pb. {ADVICE}")
    check_graph(field, text, text)
    return text


def obtain(field: str, handle: Handle) -> Path:
    """Return the folder in the cache of the SavedModel that `handle` leads to, fetched now if no earlier run did so.

    If other files are there than were fetched before, they are fetched too.

    The model is loaded once before it enters the cache, so that the cache holds only text models that load.

    Raises:
        BerthError: it does not lead to an encoder or a preprocessor.
    """

    def make(folder: Path) -> tuple[str, list[cache.TextModel]]:
        print(f"fetching {handle.address}", flush=True)
        if handle.kind == "registered":
            registered.fetch_into(field, handle.text, folder)
            own = (folder, folder / registered.PREPROCESSOR)
            return "", [examine(field, str(one), handle.text) for one in own]
        try:
            archive_sha256 = download.fetch(handle, folder)
        except BerthError as error:
            raise BerthError(f"{field}: {handle.text!r} does not resolve ({error}). {ADVICE}") from None
        found = saved_model_below(folder)
        if found is None:
            raise BerthError(f"{field}: {handle.text!r} is not a SavedModel: it has no saved_model.pb. {ADVICE}")
        return archive_sha256, [examine(field, str(found), handle.text)]

    name = name_in_cache(handle)
    folder = saved_model_below(cache.obtain(name, handle.text, make))
    if folder is None:
        raise BerthError(
            f"{field}: the cache of {handle.text!r}, {cache.root() / name}, has lost files. Remove that folder."
        )
    return folder


def sha256(folder: str | Path) -> str:
    """Return the SHA-256 of the files of a folder that `resolve` returned: from the cache's record, or computed now."""
    folder = Path(folder)
    if folder.is_relative_to(cache.root()):
        recorded = cache.entry(folder.relative_to(cache.root()).parts[0])
        if recorded is not None:
            return recorded.sha256
    return cache.digest(folder)
