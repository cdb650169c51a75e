"""Resolve an encoder and its preprocessor, `minilm` or any handles, and load them.

A checkpoint of Hugging Face is converted. Anything that is not a local folder is fetched into the user's cache
(berth.encoders.fetch.cache), and again when the server has other files.
"""

import shutil
import tempfile
from pathlib import Path

from berth.encoders import registered
from berth.encoders.adapter import LoadedModel, takes_texts
from berth.encoders.builtin import convert, minilm
from berth.encoders.builtin.checkpoint import is_checkpoint
from berth.encoders.builtin.weights import BUILT_IN
from berth.encoders.describe import examine
from berth.encoders.fetch import cache, download
from berth.encoders.fetch.archive import saved_model_below
from berth.encoders.fetch.handle import ADVICE, NONE, Handle, parse
from berth.encoders.loading import check_graph, load
from berth.encoders.present import name_in_cache
from berth.encoders.text_to_vector import Bytes
from berth.errors import BerthError


def resolve(encoder: str, preprocessor: str) -> tuple[str, str]:
    """Return the local folders of the encoder and the preprocessor, fetched and converted into the cache if need be.

    A module that takes texts has no preprocessor: the second is empty.

    Args:
        encoder: `minilm`, a TF-Hub or Kaggle URL, an https .tar.gz, gs://, s3://, a folder or models:/NAME@ALIAS.
        preprocessor: Likewise; empty: the one that comes with the encoder.

    Raises:
        BerthError: a handle does not lead to a SavedModel or a checkpoint of BERT; the message names the field and what
            to change.

    Example:
        >>> encoder, preprocessor = resolve("minilm", "")
    """
    if encoder == BUILT_IN:
        found, own = minilm.handles()
    else:
        found = _resolve("encoder", encoder)
        own = own_preprocessor(found)
    if preprocessor and preprocessor != NONE:
        return found, _resolve("preprocessor", preprocessor)
    if not own and takes_texts(load("encoder", found, encoder)):
        return found, ""
    if not own or preprocessor:
        raise BerthError("preprocessor: name the TF-Hub preprocessor that the encoder's page gives as its match.")
    return found, own


def load_preprocessor(folder: str, handle: str) -> LoadedModel:
    """Return the loaded preprocessor of `folder`; `handle` is the user's name for it.

    Of an empty folder, which is what `resolve` gives for a module that takes texts, it is what stands in for one.

    Raises:
        BerthError: it cannot be loaded.
    """
    return load("preprocessor", folder, handle) if folder else Bytes()


def own_preprocessor(encoder: str) -> str:
    """Return the folder of the preprocessor that comes with the encoder in the folder `encoder`; empty: none.

    An encoder that was pre-trained has it inside; one that was converted has it next to it, in the cache.
    """
    inside, beyond = Path(encoder) / registered.PREPROCESSOR, Path(encoder).parent / convert.PARTS[1]
    if (inside / "saved_model.pb").is_file():
        return str(inside)
    is_converted = Path(encoder).name == convert.PARTS[0] and beyond.is_relative_to(cache.root())
    return str(beyond) if is_converted and (beyond / "saved_model.pb").is_file() else ""


def _resolve(field: str, text: str) -> str:
    handle = parse(field, text)
    if handle.kind != "folder":
        fetched = str(obtain(field, handle))
        check_graph(field, fetched, text)  # it may have been fetched before graphs were checked
        return own_preprocessor(fetched) or fetched if field == "preprocessor" else fetched
    folder = Path(text)
    if not folder.is_dir():
        raise BerthError(f"{field}: no folder {text!r}. {ADVICE}")
    if is_checkpoint(folder):
        return convert.handles(folder, text)[convert.PARTS.index(field)]
    if not (folder / "saved_model.pb").is_file():
        raise BerthError(f"{field}: {text!r} is not a SavedModel: it has no saved_model.pb. {ADVICE}")
    check_graph(field, text, text)
    return text


def obtain(field: str, handle: Handle) -> Path:
    """Return the folder in the cache of the SavedModel that `handle` leads to, fetched now if no earlier run did so.

    If other files are there than were fetched before, they are fetched too. A checkpoint is converted: the folder is
    its encoder's.

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
        if (checkpoint := _checkpoint_below(folder)) is not None:
            return archive_sha256, _converted(checkpoint, handle, folder)
        found = saved_model_below(folder)
        if found is None:
            raise BerthError(f"{field}: {handle.text!r} is not a SavedModel: it has no saved_model.pb. {ADVICE}")
        return archive_sha256, [examine(field, str(found), handle.text)]

    name = name_in_cache(handle)
    whole = cache.obtain(name, handle.text, make)
    converted = whole / convert.PARTS[0]
    folder = converted if (converted / "saved_model.pb").is_file() else saved_model_below(whole)
    if folder is None:
        raise BerthError(
            f"{field}: the cache of {handle.text!r}, {cache.root() / name}, has lost files. Remove that folder."
        )
    return folder


def _checkpoint_below(folder: Path) -> Path | None:
    """Return the checkpoint that was fetched: `folder`, or the only folder in it; None: it is something else."""
    inside = list(folder.iterdir())
    only = inside[0] if len(inside) == 1 and inside[0].is_dir() else folder
    return next((own for own in (folder, only) if is_checkpoint(own)), None)


def _converted(checkpoint: Path, handle: Handle, folder: Path) -> list[cache.TextModel]:
    """Put the conversion of the fetched `checkpoint` into `folder`, in place of all that was fetched."""
    fetched = [*folder.iterdir()]
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        _, models = convert.convert(checkpoint, handle.text, Path(scratch))
        for path in fetched:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for part in convert.PARTS:
            (Path(scratch) / part).rename(folder / part)
    return models


def sha256(folder: str | Path) -> str:
    """Return the SHA-256 of the files of a folder that `resolve` returned: from the cache's record, or computed now."""
    if not folder:  # of a module that takes texts
        return ""
    folder = Path(folder)
    if folder.is_relative_to(cache.root()):
        recorded = cache.entry(folder.relative_to(cache.root()).parts[0])
        if recorded is not None:
            return recorded.sha256
    return cache.digest(folder)
