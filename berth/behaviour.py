"""The behaviour file: cases that a model has to get right whatever its accuracy, reviewed as code is."""

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from berth.errors import BerthError

Change = Literal["typos", "case", "names", "numbers"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MustBe(_Part):
    """A text and the label that it has to get."""

    text: str
    label: str


class MustNotChange(_Part):
    """Two texts that have to get the same label; or a change of test texts that may change the label of few.

    Example:
        >>> MustNotChange(change="typos").texts, MustNotChange(pair=("Won 5 GBP", "Won 9 GBP")).change
        (100, None)
    """

    pair: tuple[str, str] | None = None
    change: Change | None = None
    texts: int = Field(100, ge=1)
    """How many test texts to change, at most: the first ones that the change is possible for."""
    at_least: float = Field(0.95, ge=0, le=1)
    """The share of them that keeps its label."""

    @model_validator(mode="after")
    def _is_one_kind(self) -> Self:
        if (self.pair is None) == (self.change is None):
            raise ValueError("give either a pair of texts or a change: typos, case, names, numbers")
        return self


class MustDiffer(_Part):
    """Two texts that must not get the same label, such as a sentence and its opposite."""

    pair: tuple[str, str]


class Behaviour(_Part):
    """All cases of a behaviour file.

    Example:
        >>> must_be = [{"text": "You have won!", "label": "spam"}]
        >>> Behaviour.parse({"must_be": must_be}, "behaviour.yaml").must_be[0].label
        'spam'
    """

    seed: int = 0
    """Seeds the changes."""
    must_be: tuple[MustBe, ...] = ()
    must_not_change: tuple[MustNotChange, ...] = ()
    must_differ: tuple[MustDiffer, ...] = ()

    @classmethod
    def parse(cls, values: object, name: str) -> Self:
        """Return the cases of a behaviour file's `values`.

        Raises:
            BerthError: the values are not those of one, or it has no case; the message begins with `name`.
        """
        try:
            found = cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise BerthError(f"{name}: {place}: {first['msg'].removeprefix('Value error, ')}.") from None
        if not (found.must_be or found.must_not_change or found.must_differ):
            raise BerthError(f"{name}: has no cases. Write must_be, must_not_change or must_differ.")
        return found
