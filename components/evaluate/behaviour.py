"""The behaviour gate: a model's labels of the texts of a behaviour file, and whether they are as they must be."""

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from berth.behaviour import Behaviour, Change
from berth.errors import BerthError

_NAMES = ("Mary", "John", "Anna", "David", "Fatima", "Omar", "Wei", "Priya", "Carlos", "Maria", "Peter", "Olga")
_NAME = re.compile(rf"\b({'|'.join(_NAMES)})\b")
_WORD = re.compile(r"[^\W\d_]{4,}")


@dataclass(frozen=True)
class Case:
    """A requirement: the places of its texts, by twos where they are pairs, and the share that has to meet it."""

    name: str
    texts: tuple[int, ...]
    at_least: float
    label: str = ""
    """Of must_be."""
    differ: bool = False


@dataclass(frozen=True)
class CaseResult:
    """How large a share of a case a model meets, and the champion, if there is one."""

    case: Case
    share: float
    champion: float | None = None

    @property
    def holds(self) -> bool:
        return self.share >= self.case.at_least

    def __str__(self) -> str:
        champion = "" if self.champion is None else f" (champion {self.champion:.2f})"
        return f"{self.case.name}: {self.share:.2f} {'>=' if self.holds else '<'} {self.case.at_least:g}{champion}"


def plan(behaviour: Behaviour, test: Sequence[str], labels: Sequence[str]) -> tuple[list[str], list[Case]]:
    """Return the texts to ask a model of `labels` about, and the cases that they are of; `test` are test texts.

    Raises:
        BerthError: a label of must_be is not one of `labels`, or no test text can be changed as a case asks.
    """
    texts: list[str] = []
    cases: list[Case] = []

    def add(name: str, own: Sequence[str], at_least: float = 1.0, label: str = "", differ: bool = False) -> None:
        cases.append(Case(name, tuple(range(len(texts), len(texts) + len(own))), at_least, label, differ))
        texts.extend(own)

    for must in behaviour.must_be:
        if must.label not in labels:
            raise BerthError(f"behaviour: must_be: {must.label!r} is not a label of the data: {', '.join(labels)}.")
        add(f"{_shown(must.text)} must be {must.label}", [must.text], label=must.label)
    for same in behaviour.must_not_change:
        if same.pair:
            add(f"{_shown(same.pair[0])} and {_shown(same.pair[1])} must be the same", same.pair)
        elif same.change:
            pairs = changed(same.change, test, same.texts, behaviour.seed)
            if not pairs:
                raise BerthError(f"behaviour: must_not_change: {same.change} changes no test text. Remove the case.")
            add(f"{same.change} in {len(pairs)} texts", [text for pair in pairs for text in pair], same.at_least)
    for other in behaviour.must_differ:
        add(f"{_shown(other.pair[0])} and {_shown(other.pair[1])} must differ", other.pair, differ=True)
    return texts, cases


def judge(cases: Sequence[Case], labels: Sequence[str], champion: Sequence[str] | None) -> list[CaseResult]:
    """Return the results of a model that gave the texts `labels`, next to those of the champion."""
    return [CaseResult(case, _share(case, labels), _share(case, champion) if champion else None) for case in cases]


def changed(change: Change, test: Sequence[str], most: int, seed: int) -> list[tuple[str, str]]:
    """Return up to `most` of the texts `test` with their changed forms, the same ones for the same `seed`."""
    made, rng = [], random.Random(seed)
    for text in test:
        other = _CHANGES[change](text, rng)
        if other != text:
            made.append((text, other))
        if len(made) == most:
            break
    return made


def _share(case: Case, labels: Sequence[str]) -> float:
    own = [labels[place] for place in case.texts]
    if case.label:
        return float(own[0] == case.label)
    same = [first == second for first, second in zip(own[::2], own[1::2], strict=True)]
    met = sum(same)
    return (len(same) - met if case.differ else met) / len(same)


def _typos(text: str, rng: random.Random) -> str:
    """Swap two neighbouring letters inside a word."""
    words = [found for found in _WORD.finditer(text)]
    if not words:
        return text
    word = rng.choice(words)
    place = rng.randrange(word.start() + 1, word.end() - 1)
    return text[:place] + text[place + 1] + text[place] + text[place + 2 :]


def _case(text: str, rng: random.Random) -> str:
    forms = [form for form in (text.upper(), text.lower()) if form != text]
    return rng.choice(forms) if forms else text


def _names(text: str, rng: random.Random) -> str:
    return _NAME.sub(lambda found: rng.choice([name for name in _NAMES if name != found[0]]), text)


def _numbers(text: str, rng: random.Random) -> str:
    return re.sub(r"[0-9]", lambda _: rng.choice("0123456789"), text)


_CHANGES: dict[Change, Callable[[str, random.Random], str]] = {
    "typos": _typos,
    "case": _case,
    "names": _names,
    "numbers": _numbers,
}


def _shown(text: str) -> str:
    return repr(text if len(text) <= 40 else f"{text[:37]}...")
