"""The section `source` of a run configuration."""

import re
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from berth.settings import ENVIRONMENT, VARIABLE, Address, Section
from berth.storage.addresses import NO_SECRETS, has_secret

_PASSWORD = re.compile(r"'[^']*\bpassword\s*=[^']*'", re.IGNORECASE)
"""A connection string in a query, as DuckDB's functions for databases take it."""


class Source(Section):
    """The source of the rows: files, one set of files per split, or a query. `source: PATH` means `files`."""

    files: Address = Field(
        "",
        description="A file, a glob or a folder: a path, s3://, gs:// or https://; or `env:NAME`, the variable that "
        "holds it, for a signed address.",
    )
    train: Address = Field("", description="The train split's files, if the data is already split.")
    validation: Address = Field("", description="The validation split's files; empty: a share of train.")
    test: Address = Field("", description="The test split's files; empty: a share of train.")
    sql: str = Field("", description="A query; its columns are the source's.")
    connection: str = Field(
        "",
        description="`env:NAME`: the variable that holds the database's SQLAlchemy URL. Empty: DuckDB runs the query.",
    )
    folder: str = Field(
        "", description="Where a DuckDB query's relative paths start; empty: the configuration's folder."
    )

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        kinds = [bool(self.files), bool(self.train), bool(self.sql)]
        if sum(kinds) != 1:
            raise ValueError("give one of: files, train (with validation and test), sql")
        if (self.validation or self.test) and not self.train:
            raise ValueError("validation and test need train as well")
        if self.connection and not self.sql:
            raise ValueError("connection is for sql, which is not set")
        # Neither message shows the value: it may hold a password.
        if not VARIABLE.fullmatch(self.connection):
            raise ValueError("connection: write env:NAME, and put the database's URL into the variable NAME")
        for files in self.split_files().values():
            if has_secret(files):
                raise ValueError(f"{NO_SECRETS}. Write env:NAME, and put the address into the variable NAME")
            if files.startswith(ENVIRONMENT) and not VARIABLE.fullmatch(files):
                raise ValueError("write env:NAME, and put the address of the files into the variable NAME")
        if has_secret(self.sql) or _PASSWORD.search(self.sql):
            raise ValueError(f"sql: {NO_SECRETS}. Use a connection, or files as env:NAME")
        return self

    def split_files(self) -> dict[str, str]:
        """Return the addresses of the files by split; files that are not split have the empty name.

        Example:
            >>> Source.model_validate({"train": "train.csv", "test": "test.csv"}).split_files()
            {'train': 'train.csv', 'test': 'test.csv'}
            >>> Source.model_validate({"files": "s3://texts/*.csv"}).split_files()
            {'': 's3://texts/*.csv'}
        """
        if self.files:
            return {"": self.files}
        return {name: getattr(self, name) for name in ("train", "validation", "test") if getattr(self, name)}


def as_section(source: object) -> object:
    """Return a source that is a plain text as the section that it means.

    Example:
        >>> as_section("texts.csv")
        {'files': 'texts.csv'}
    """
    return {"files": source} if isinstance(source, str) else source


AnySource = Annotated[Source, BeforeValidator(as_section)]
"""A source as a configuration has it: the section, or a plain text, which means `files`."""
