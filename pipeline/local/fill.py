"""The likeliest words for masked places, by an encoder, in the environment of the train image."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from berth import images
from berth.errors import BerthError
from berth.registry.fetch import fetch
from berth.tracking import tags
from pipeline import mlflow_store
from pipeline.local.environment_process import ask, module_process

MASK = "[MASK]"
Words = list[list[tuple[str, float]]]
"""For each masked place, words and their probabilities, the likeliest first."""


def fill(encoder: str, texts: Iterable[str], count: int) -> Iterator[tuple[str, Words]]:
    """Yield each of `texts` with the `count` likeliest words for each of its masked places.

    Raises:
        BerthError: there is no such encoder, or a text has nothing to fill in.
    """
    texts = list(texts)
    for text in texts:
        if MASK not in text:
            raise BerthError(f"{text[:80]!r} has no {MASK}. Write {MASK} where a word is asked for.")
    folder = encoder_dir(encoder)
    with module_process(images.TRAIN, "berth.pretraining", str(folder), str(count), what=encoder) as process:
        for text in texts:
            answer = ask(process, text)
            if answer is None:
                break
            yield text, [[(word, share) for word, share in place] for place in answer]


def encoder_dir(encoder: str) -> Path:
    """Return the folder of the encoder that `encoder` names: a folder, or what `berth.registry.fetch.fetch` takes."""
    if Path(encoder).is_dir():
        return Path(encoder)
    mlflow_store.use_tracking_uri()
    found = fetch(encoder)
    if found.version.tags.get(tags.KIND) != tags.ENCODER:
        raise BerthError(f"{encoder}: a classifier, which fills in no words. Name an encoder of 'berth pretrain'.")
    return found.folder
