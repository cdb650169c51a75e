"""Masking for a masked language model, as published with BERT (Devlin et al. 2018, create_pretraining_data.py).

Of an instance's tokens, 15% are predicted: 80% of these become [MASK], 10% a random token, 10% stay as they are.
"""

import numpy as np

_BECOME_MASK, _BECOME_RANDOM = 0.8, 0.1


def mask(
    ids: np.ndarray,
    maskable: np.ndarray,
    rng: np.random.Generator,
    *,
    probability: float,
    mask_id: int,
    vocabulary: int,
    whole_words: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the masked ids, the positions to predict (int32, ascending), and the original ids there (int32).

    The number of positions is `probability` of the instance's length, special tokens included, rounded, and at least
    one. With whole words it is that or less: a word that would exceed it is left out, and another one may fit; it is
    more only where no word fits.

    Args:
        ids: int32 [length], one instance without padding.
        maskable: bool [length]; False for special tokens, which are never masked.
        rng: `draws.generator(draws.MASKS, ...)`.
        probability: The share to predict, 0.15 as published.
        mask_id: The id of [MASK].
        vocabulary: The size of the vocabulary; a random token is any of it, as published.
        whole_words: bool [length], where words start: all pieces of a word are predicted, or none (None: each piece on
            its own).

    Example:
        >>> ids = np.array([101, 2023, 2003, 2307, 102], np.int32)
        >>> rng = np.random.default_rng(0)
        >>> masked, positions, labels = mask(ids, ids > 102, rng, probability=0.15, mask_id=103, vocabulary=30522)
        >>> masked.tolist(), positions.tolist(), labels.tolist()
        ([101, 2023, 2003, 103, 102], [3], [2307])
    """
    candidates = np.flatnonzero(maskable)
    wanted = max(1, round(len(ids) * probability))
    if whole_words is None:
        positions = rng.permutation(candidates)[:wanted]
    else:
        positions = _whole_words(candidates, whole_words, rng, wanted)
    positions = np.sort(positions)
    labels = ids[positions]
    draws = rng.random(len(positions))
    random = rng.integers(0, vocabulary, len(positions))
    kept = np.where(draws < _BECOME_MASK + _BECOME_RANDOM, random, labels)
    masked = ids.copy()
    masked[positions] = np.where(draws < _BECOME_MASK, mask_id, kept)
    return masked, positions.astype(np.int32), labels.astype(np.int32)


def _whole_words(candidates: np.ndarray, starts: np.ndarray, rng: np.random.Generator, wanted: int) -> np.ndarray:
    """Return positions of whole words drawn from `candidates`, `wanted` at most."""
    if not len(candidates):
        return candidates
    # A word also begins after a position that is not a candidate, such as [CLS] or [SEP].
    begins = starts[candidates] | (np.diff(candidates, prepend=candidates[0] - 2) > 1)
    words = np.split(candidates, np.flatnonzero(begins)[1:])
    chosen: list[np.ndarray] = []
    room = wanted
    for place in rng.permutation(len(words)):
        if len(words[place]) <= room:
            chosen.append(words[place])
            room -= len(words[place])
        if not room:
            break
    return np.concatenate(chosen) if chosen else words[int(rng.integers(len(words)))]
