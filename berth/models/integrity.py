"""Integrity of a model's folder: the very files that were exported, and nothing that runs code of its own.

MLflow ships this file with the model, so it imports nothing of the project but the errors and the check of graphs.
"""

import hashlib
import pickletools
from pathlib import Path

from berth.errors import BerthError
from berth.models import graph

SUMS = "SHA256SUMS"
"""The model's manifest, in the format of `sha256sum -c SHA256SUMS`."""

ENCODER_FACTS = "encoder.json"
"""In the folder of a pre-trained encoder: what it was made of."""
_FILES = ("saved_model.pb", "keras_metadata.pb", "fingerprint.pb", ENCODER_FACTS)
_FOLDERS = ("variables", "assets")
_NESTED = "preprocessor"
"""A pre-trained encoder's folder has that of its preprocessor in it, another SavedModel."""
_SUFFIXES = (".pkl", ".pickle", ".joblib", ".dill", ".py", ".pyc", ".so")
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_CALLS = {"GLOBAL", "STACK_GLOBAL", "INST"}
"""What a pickle needs to name anything that it could run: all else works on what these have put on its stack."""
_TEXTS = ("assets/labels.txt", "assets/classifier.json")
"""Berth's own assets, only ever read as text: labels such as "No." are a pickle of the printable protocols as well."""


def seal(folder: str | Path) -> None:
    """Write SHA256SUMS over every file of the model in `folder`.

    Raises:
        BerthError: the folder holds what a SavedModel does not consist of.
    """
    folder = Path(folder)
    check_no_code(folder)
    lines = [f"{sha256_of(path)}  {path.relative_to(folder).as_posix()}\n" for path in _files(folder)]
    (folder / SUMS).write_text("".join(lines), encoding="utf-8")


def verify(folder: str | Path) -> str:
    """Compare the files of the model in `folder` with its SHA256SUMS and return the digest of that file.

    Raises:
        BerthError: a file is missing, new or not as it was, or the folder holds code.

    Example:
        >>> digest = verify("serving/sms-spam/3")  # 64 hexadecimal digits
    """
    folder = Path(folder)
    try:
        text = (folder / SUMS).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise BerthError(f"{folder}: has no {SUMS}, so its files cannot be verified. Export the model again.") from None
    lines = (line.partition("  ") for line in text.splitlines())
    expected = {name: digest for digest, _, name in lines}
    found = {path.relative_to(folder).as_posix(): path for path in _files(folder)}
    for name in sorted(expected.keys() | found.keys()):
        if name not in found or name not in expected:
            state = "is missing" if name not in found else "is not one of the model's"
            raise BerthError(
                f"{folder}: {name} {state}: it is not the model that was exported. Fetch or push it again."
            )
        if sha256_of(found[name]) != expected[name]:
            raise BerthError(f"{folder}: {name} is not as it was exported (SHA-256). Fetch or push the model again.")
    check_no_code(folder)
    return hashlib.sha256(text.encode()).hexdigest()


def check_no_code(folder: str | Path) -> None:
    """Raise BerthError where a model's folder holds pickled code, a Lambda layer, or a file that it has no use for."""
    folder = Path(folder)
    for path in _files(folder):
        name = path.relative_to(folder)
        own = name.relative_to(_NESTED) if name.parts[0] == _NESTED and len(name.parts) > 1 else name
        if str(own) not in _FILES and own.parts[0] not in _FOLDERS:
            raise BerthError(f"{folder}: {name} is not part of a SavedModel. Remove it, or export the model again.")
        # A shard of variables is never unpickled, and its first numbers may look like anything.
        is_shard = own.parts[0] == "variables" and own.name.startswith("variables.data-")
        if path.suffix.lower() in _SUFFIXES or (not is_shard and _is_pickle(path, name.as_posix() in _TEXTS)):
            raise BerthError(f"{folder}: {name} is code or pickled objects, which a model must not bring.")
    for part in (folder, folder / _NESTED):
        try:
            graph.check(part)
            graph.check_layers(part)
        except BerthError as reason:
            advice = "Build it from other ops, or fetch or push the model again."
            raise BerthError(f"{folder}: {reason}. {advice}") from None


def _is_pickle(path: Path, is_text: bool) -> bool:
    """Return whether `path` is pickled objects: by its first bytes, or by opcodes that name something and then end.

    Opcodes are not looked for in a file that `is_text`.
    """
    calls = False
    with path.open("rb") as stream:
        if stream.read(2) in _PICKLES:
            return True
        if is_text:
            return False
        stream.seek(0)
        try:
            for opcode, argument, _ in pickletools.genops(stream):
                # In a list of words "c" and "i" are opcodes, but of a module without a name, which cannot be imported.
                nameless = isinstance(argument, str) and argument.startswith(" ")
                calls = calls or (opcode.name in _CALLS and not nameless)
        except Exception:  # pickletools may raise anything on bytes that are not a pickle
            return False
    return calls


def _files(folder: Path) -> list[Path]:
    """Return every file below `folder` but its manifest; raise BerthError for a link, a pipe or the like."""
    found = []
    for path in sorted(folder.rglob("*")):
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise BerthError(
                f"{folder}: {path.relative_to(folder)} is a link, or not a plain file. A model has files of its own."
            )
        if path.is_file() and path != folder / SUMS:
            found.append(path)
    return found


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of the file's bytes, 64 hexadecimal digits.

    Example:
        >>> sha256_of(Path("/dev/null"))  # of no bytes
        'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
