"""`python -m berth.encoders.__main__ add HANDLE [LABEL] | verify NAME...`: `berth encoders` where it loads.

Runs in the environment of the train image. `verify` prints a JSON object for each name as it goes.
"""

import json
import sys

from berth.encoders import resolve as encoders
from berth.encoders.builtin import convert
from berth.encoders.describe import examine
from berth.encoders.fetch import cache
from berth.encoders.fetch.handle import parse
from berth.encoders.vocabulary import ROUNDED_UP
from berth.errors import BerthError


def add(text: str, label: str = "") -> None:
    """Fetch or convert what the handle `text` leads to into the cache; `label` names a converted folder there."""
    handle = parse("HANDLE", text)
    if handle.kind == "folder":
        convert.handles(text, text, label)
    else:
        encoders.obtain("HANDLE", handle)


def verify(*names: str) -> None:
    """Load the entries `names` of the cache and print what is wrong with each, and what it is, as JSON."""
    everything = cache.entries()
    for name in names:
        record = next(entry for entry in everything if entry.name == name)
        answer: dict[str, object] = {"name": name, "problem": "", "words": []}
        try:
            answer["words"] = [line for model in _examined(record) for line in _words(model, everything)]
        except BerthError as error:
            answer["problem"] = str(error)
        print(json.dumps(answer), flush=True)


def _examined(record: cache.Entry) -> list[cache.TextModel]:
    """Return a description of each SavedModel of an entry; raise BerthError where its files have changed."""
    folder = cache.root() / record.name
    if cache.digest(folder) != record.sha256:
        raise BerthError("its files are not as they were fetched (SHA-256)")
    found = sorted(path.parent for path in folder.rglob("saved_model.pb"))
    return [examine("encoder", str(one), record.handle) for one in found]


def _words(model: cache.TextModel, everything: list[cache.Entry]) -> list[str]:
    """Return the words of a model; for an encoder, also which cached preprocessors fit its vocabulary size."""
    if model.kind != "encoder" or model.tokens is None:
        return model.words
    fitting = [
        entry.name
        for entry in everything
        for own in entry.models
        if own.kind == "preprocessor" and own.tokens and 0 <= model.tokens - own.tokens < ROUNDED_UP
    ]
    return [*model.words, f"fits the vocabulary of {', '.join(fitting) or 'no preprocessor in the cache'}"]


if __name__ == "__main__":
    if sys.argv[1] == "add":
        add(*sys.argv[2:])
    else:
        verify(*sys.argv[2:])
