"""MLflow stores in a SQLite file: their URIs, and where the artifacts of their runs are."""

from pathlib import Path
from urllib.parse import quote, unquote

_SCHEME = "sqlite:///"


def uri_of(file: Path) -> str:
    """Return the MLflow URI of the store in `file`, an absolute path.

    SQLAlchemy unquotes the path, which ends at a question mark. MLflow makes the parent folder of the path as it is
    written in the URI; where a character has to be quoted, the slashes are too, and that parent is the root.

    Example:
        >>> uri_of(Path("/srv/spam/.berth/mlflow.db"))
        'sqlite:////srv/spam/.berth/mlflow.db'
        >>> uri_of(Path("/srv/spam?/mlflow.db"))
        'sqlite:////srv%2Fspam%3F%2Fmlflow.db'
    """
    path = str(file)
    if "?" in path or "%" in path:
        path = "/" + quote(path.removeprefix("/"), safe="")
    return _SCHEME + path


def file_of(uri: str) -> Path | None:
    """Return the file of an MLflow URI, absolute; None where it does not name a SQLite store.

    Example:
        >>> file_of("sqlite:////srv/spam/mlflow.db"), file_of("https://mlflow.example")
        (PosixPath('/srv/spam/mlflow.db'), None)
    """
    if not uri.startswith(_SCHEME):
        return None
    return Path(unquote(uri.removeprefix(_SCHEME).partition("?")[0])).resolve()


def artifact_location(uri: str) -> str | None:
    """Return a folder next to a SQLite store, whatever folder the step runs in; a server chooses its own (None).

    Example:
        >>> artifact_location("sqlite:////srv/spam/mlflow.db")
        'file:///srv/spam/artifacts'
    """
    file = file_of(uri)
    return (file.parent / "artifacts").as_uri() if file else None
