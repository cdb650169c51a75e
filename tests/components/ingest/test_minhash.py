"""Keys of bands: the same for the same words, whatever is between them and whichever texts are in the batch."""

import re

import numpy as np
import pyarrow as pa

from components.ingest.rows.minhash import band_keys

LONG = "z" * 63
TEXTS = [
    "free entry now ",
    "",
    "...",
    "one ",
    "x",
    " free,entry--now!\n",
    "naïve café 12 ",
    f"{LONG} {LONG}z {LONG}zz end ",
]
ALL = [*TEXTS, "12345678 123456789 1234567812345678 ", "a b a b a b ", "one", "entry now "]


def keys(texts: list[str]) -> dict[int, list[int]]:
    """Return the keys of each text that has some, by its place."""
    batch = pa.RecordBatch.from_pydict({"place": list(range(len(texts))), "text": [f"{text} " for text in texts]})
    (found,) = band_keys([batch.slice(0)], 3, 2)
    return dict(zip(found["place"].to_pylist(), found["keys"].to_pylist(), strict=True))


def test_keys_depend_on_the_words_alone():
    together = keys(ALL)
    assert sorted(together) == [place for place, text in enumerate(ALL) if re.search(r"\w", text)]
    for place, text in enumerate(ALL):
        assert keys([text]).get(0) == together.get(place)
    words = {place: tuple(re.findall(r"\w+", ALL[place])) for place in together}
    for one in together:
        for other in together:
            assert (together[one] == together[other]) == (words[one] == words[other])


def test_a_batch_that_is_a_slice_of_others_has_the_same_keys():
    batch = pa.RecordBatch.from_pydict({"place": list(range(len(ALL))), "text": [f"{text} " for text in ALL]})
    (found,) = band_keys([batch.slice(5, 3)], 3, 2)
    assert found["keys"].to_pylist() == [keys(ALL)[place] for place in (5, 6, 7)]


def test_keys_agree_as_often_as_texts_are_alike():
    """With one permutation a band, a key agrees with the probability of the Jaccard similarity: here 0.8."""
    rng = np.random.default_rng(1)
    words = [[f"w{number}" for number in rng.integers(0, 10**6, 37)] for _ in range(300)]
    pairs = [(" ".join(own), " ".join(own[4:])) for own in words]  # 36 and 32 word pairs, 32 in both
    found = keys([text for pair in pairs for text in pair])
    agreeing = [
        one == other for place in range(300) for one, other in zip(found[2 * place], found[2 * place + 1], strict=True)
    ]
    assert abs(np.mean(agreeing) - (32 / 36) ** 2) < 0.05
