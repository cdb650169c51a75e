"""The script that a text is written in."""

import functools
import unicodedata
from collections import Counter


@functools.lru_cache(maxsize=65_536)
def script_of(letter: str) -> str:
    """Return a letter's script by the first word of its Unicode name: Latin, Cyrillic, Arabic, Cjk.

    Example:
        >>> script_of("z"), script_of("ж")
        ('Latin', 'Cyrillic')
    """
    return unicodedata.name(letter, "unnamed").split()[0].split("-")[0].capitalize()


def most_frequent_script(text: str) -> str:
    """Return the script that most letters of `text` have; "none" without letters.

    Example:
        >>> most_frequent_script("A шар"), most_frequent_script("42")
        ('Cyrillic', 'none')
    """
    scripts: Counter[str] = Counter()
    for character, number in Counter(text).items():
        if character.isalpha():
            scripts[script_of(character)] += number
    return scripts.most_common(1)[0][0] if scripts else "none"
