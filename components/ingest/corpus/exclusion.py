"""Texts that models are judged on: documents that hold one are left out of a corpus."""

import hashlib
from pathlib import Path

import duckdb
import pyarrow as pa

from berth.data.dataset import Manifest
from berth.errors import BerthError
from berth.models.integrity import sha256_of
from berth.registry import versions
from berth.storage.object_store import OBJECT_STORES, explained, scheme_of, store_of
from berth.tracking import run_tree, tags
from components.ingest.corpus import near_test_texts
from components.ingest.corpus.parts import in_parts
from components.ingest.corpus.sentences import sentences
from components.ingest.rows.sql import literal
from components.ingest.settings import CorpusSettings
from components.ingest.splits import test_texts

REASON = "text of a test split: "
"""What a document is left out for, with the name in `exclude` behind it."""
_WORDS = 5
"""A part of a document is compared if it has as many words: "Thank you." may be a test text and is in many others."""


def exclude(
    connection: duckdb.DuckDBPyConnection, settings: CorpusSettings, scratch: Path
) -> tuple[dict[str, int], dict[str, int], list[str]]:
    """Give a reason to the documents of the table `rows` that are, or hold, a test text or a near-duplicate of one.

    Return how many of either there are, by name: REASON and near_test_texts.REASON; and what could not be done.

    A document is compared as a whole, and each of its paragraphs, lines and sentences of five words or more is; case,
    white space and Unicode form do not count. The runs of a registered model keep hashes of its test texts alone:
    near-duplicates are found where the datasets that ingest wrote in these runs can still be read.

    Raises:
        BerthError: a name in `exclude` is neither a dataset nor a model, or it is not known what a model was tested on.
    """
    connection.execute("CREATE TABLE tested (key UBIGINT, name VARCHAR)")
    for number, name in enumerate(settings.exclude):
        _add_keys(connection, name, scratch / f"exclude{number}")
    if not settings.exclude:
        return {}, {}, []
    parts = f"string_split_regex(text, '\\n\\s*\\n') || string_split(text, chr(10)) || {sentences('text')}"
    long = f"list_filter({parts}, lambda part: len(string_split(trim(part), ' ')) >= {_WORDS})"
    keys = f"list_transform([text] || {long}, lambda part: {test_texts.key('part')})"
    work = f"""
        SELECT rid, min(name) FROM (SELECT rid, unnest({keys}) AS key FROM part) JOIN tested USING (key) GROUP BY rid
    """
    holding = list(in_parts(connection, "SELECT rowid AS rid, text FROM rows WHERE reason IS NULL", work))
    rids, names = ([row[place] for row in holding] for place in (0, 1))
    connection.register("holding", pa.table({"rid": pa.array(rids, pa.int64()), "name": pa.array(names, pa.string())}))
    connection.execute(f"UPDATE rows SET reason = {literal(REASON)} || name FROM holding WHERE rows.rowid = rid")
    connection.unregister("holding")
    found = connection.execute("SELECT reason, count(*) FROM rows WHERE starts_with(reason, ?) GROUP BY 1", [REASON])
    counts = {reason.removeprefix(REASON): number for reason, number in found.fetchall()}
    same = {name: counts.get(name, 0) for name in settings.exclude}
    if not settings.cleaning.near_duplicates:
        return same, {}, []
    folders: dict[str, list[Path]] = {}
    notes: list[str] = []
    for number, name in enumerate(settings.exclude):
        if folder := _dataset(name):
            folders[name] = [folder]
        else:
            folders[name], unread = _datasets_of_model(name, scratch / f"tested{number}")
            notes += [unread] if unread else []
    if not any(folders.values()):
        return same, {}, notes
    threshold = settings.cleaning.near_duplicates
    return same, near_test_texts.exclude(connection, folders, f"[text] || {long}", threshold), notes


def fingerprint(names: list[str]) -> str:
    """Return a digest that changes when the test texts that `names` stand for may have; empty without names.

    A model has other test texts with each version.

    Raises:
        BerthError: a name is neither a dataset nor a model.
    """
    digest = hashlib.sha256()
    for name in names:
        if folder := _dataset(name):
            known = [sha256_of(file) for file in sorted((folder / "test").glob("*.parquet"))]
        else:
            known = [f"{one.number} {one.tags.get(tags.PIPELINE_RUN, '')}" for one in _versions(name)]
        digest.update(f"{name}\0{known}\n".encode())
    return digest.hexdigest() if names else ""


def _add_keys(connection: duckdb.DuckDBPyConnection, name: str, scratch: Path) -> None:
    if folder := _dataset(name):
        queries = [test_texts.keys_of(connection, folder / "test")]
    else:
        queries = [f"SELECT key FROM read_parquet({literal(str(file))})" for file in _of_model(name, scratch)]
    for query in queries:
        connection.execute(f"INSERT INTO tested SELECT DISTINCT key, {literal(name)} FROM ({query})")


def _dataset(name: str) -> Path | None:
    """Return the folder of the dataset `name`; None: it is a model's name."""
    path = Path(name.removesuffix("/manifest.json") or "/")
    if "/" not in name and not path.is_dir():
        return None
    if not path.is_dir():
        raise BerthError(f"exclude: no folder {name!r}. Name a dataset's folder, or a registered model.")
    if not any((path / "test").glob("*.parquet")):
        raise BerthError(f"exclude: {name} holds no dataset: it has no test/*.parquet. Name a folder of ingest's.")
    return path


def _versions(name: str) -> list[versions.Version]:
    try:
        versions.check_known(name)
    except BerthError as error:
        raise BerthError(f"exclude: {error}") from None
    if versions.kind_of(name) == tags.ENCODER:
        raise BerthError(f"exclude: {name} is an encoder, which has no test texts. Name a classifier, or a dataset.")
    return versions.versions(name)


def _of_model(name: str, scratch: Path) -> list[Path]:
    """Return the files of keys that the runs of the versions of the model `name` have logged.

    Raises:
        BerthError: there is no such model, or the run of its champion (its newest version, without one) has no file.
    """
    known = _versions(name)
    needed = versions.aliases(name).get(tags.CHAMPION) or max((version.number for version in known), default=0)
    found = []
    for version in known:
        run_id = version.tags.get(tags.PIPELINE_RUN, "")
        target = scratch / str(version.number)
        file = run_tree.step_artifacts(run_id, "ingest", test_texts.FILE, target) if run_id else None
        if file is not None:
            found.append(file)
        elif version.number == needed:
            raise BerthError(
                f"exclude: the run of {name} version {version.number} has not kept which texts it was tested on. Name "
                "the folder of its dataset instead, or train the model again."
            )
    return found


def _datasets_of_model(name: str, scratch: Path) -> tuple[list[Path], str]:
    """Return the folders of the datasets of the model's versions, and a note on those that cannot be read, or nothing.

    A folder counts only if it still holds the dataset that the version was tested on.
    """
    known: dict[str, list[versions.Version]] = {}
    for version in _versions(name):
        known.setdefault(version.tags.get(tags.FINGERPRINT, ""), []).append(version)
    found, lost = [], []
    for number, (fingerprint, own) in enumerate(known.items()):
        for version in own:
            if folder := _dataset_of_run(version.tags.get(tags.PIPELINE_RUN, ""), fingerprint, scratch / str(number)):
                found.append(folder)
                break
        else:
            lost += sorted(version.number for version in own)
    if not lost:
        return found, ""
    which = f"version{'s' if len(lost) > 1 else ''} {', '.join(map(str, sorted(lost)))}"
    return found, (
        f"exclude: near-duplicates of the test texts of {name} {which} were not looked for, since the dataset cannot "
        "be read any more; the texts themselves are left out. Name a dataset's folder in its place to find both."
    )


def _dataset_of_run(run_id: str, fingerprint: str, scratch: Path) -> Path | None:
    """Return a folder with the manifest and the test split that ingest wrote in the pipeline run; None: not there."""
    import mlflow
    from mlflow.exceptions import MlflowException

    try:
        run = run_tree.made_by(mlflow.MlflowClient(), run_id, "ingest") if run_id else None
        address = run.data.tags.get(tags.DATASET, "") if run else ""
        folder = Path(address) if address else None
        if scheme_of(address) in OBJECT_STORES:
            folder = scratch
            with explained("exclude", address, "read"):
                store_of(address).get(f"{address}/manifest.json", f"{folder}/manifest.json")
                store_of(address).get(f"{address}/test/", f"{folder}/test/", recursive=True)
        is_it = folder is not None and Manifest.read(folder).fingerprint == fingerprint
        return folder if is_it and folder and any((folder / "test").glob("*.parquet")) else None
    except (BerthError, MlflowException, OSError, ValueError):
        return None
