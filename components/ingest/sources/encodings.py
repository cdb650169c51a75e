"""The encoding of a text file: by its byte order mark, by its zero bytes, or by what its letters would be."""

import codecs
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from berth.errors import BerthError
from components.ingest.sources.files import File, byte_lines, opened

if TYPE_CHECKING:
    from charset_normalizer import CharsetMatch

UTF_8 = "utf-8"
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",  # before UTF-16's, which it begins with
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: UTF_8,
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
_WESTERN = "cp1252"
"""Windows-1252, which has Latin-1's letters: the usual one where several are as likely."""
_LEGACY = (
    *(_WESTERN, "cp1250", "cp1251", "cp1253", "cp1254", "cp1255", "cp1256", "cp874", "koi8_r", "mac_roman"),
    *("cp932", "euc_jp", "gb18030", "big5", "cp949"),
)
_HEAD, _SAMPLE = 1 << 16, 1 << 16
"""Bytes of the start of a file, and of its lines that are not ASCII, that the decision is made from."""
_UTF_8_LINES = 0.05
"""With more lines than this that are UTF-8 and not ASCII, per line that is not UTF-8, the others are broken UTF-8."""
_UTF_8_CHARACTERS = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")
_ASCII = bytes(range(128))
_NOT_WESTERN = re.compile(rb"[\x81\x8d\x8f\x90\x9d]")
_RUN, _LONGEST_RUN = re.compile(rb"[\x80-\xff]+"), 1.5
"""Bytes that are not ASCII in a row, and how many they are on average, at most, in Western languages."""
_KIN, _MARGIN, _KIN_MARGIN = ("cp1250", "cp1254"), 0.03, 0.2
"""Encodings with most of Windows-1252's letters, and how much more disorder it may have than these and than others:
without letters of Eastern Europe or Turkey a text is taken as Western."""


def of_head(file: File) -> str:
    """Return the encoding that the start of `file` shows; empty: UTF-8 as far as it goes; `legacy`: none of Unicode's.

    UTF-16 and UTF-32 without a byte order mark are known by where they have zero bytes.
    """
    with opened(file) as stream:
        head = stream.read(_HEAD)
    for mark, encoding in _MARKS.items():
        if head.startswith(mark):
            return encoding
    zeros = [head[place::4].count(0) * 4 / max(len(head), 4) for place in range(4)]
    if min(zeros[2], zeros[3]) > 0.9 > zeros[0]:
        return "utf-32-le"
    if min(zeros[0], zeros[1]) > 0.9 > zeros[3]:
        return "utf-32-be"
    even, odd = zeros[0] + zeros[2], zeros[1] + zeros[3]
    if max(even, odd) > 0.1 and min(even, odd) < 0.25 * max(even, odd):
        return "utf-16-le" if odd > even else "utf-16-be"
    try:
        codecs.getincrementaldecoder(UTF_8)().decode(head)
    except UnicodeDecodeError:
        return "legacy"
    return ""


def of_letters(file: File) -> tuple[str, str]:
    """Return the encoding of `file`, which is not UTF-8 throughout, and a note on it.

    If most of its lines that are not ASCII are UTF-8, so is the file, and the others are broken: there is no note.

    Raises:
        BerthError: several encodings are as likely.
    """
    from charset_normalizer import from_bytes

    sample, is_utf_8 = _sample(byte_lines(file))
    if is_utf_8:
        return UTF_8, ""
    # By rising disorder, the share of odd neighbours among letters; few letters may have any share of it.
    found = list(from_bytes(sample, cp_isolation=list(_LEGACY), threshold=1.0))
    found.sort(key=lambda match: (match.chaos, -match.coherence))
    western = [match for match in found if _name(match) == _WESTERN]
    near = _KIN_MARGIN if found and _name(found[0]) in _KIN else _MARGIN
    runs = _RUN.findall(sample)
    alone = sum(map(len, runs)) <= _LONGEST_RUN * len(runs)
    chosen = western if western and alone and western[0].chaos <= found[0].chaos + near else found[:1]
    tied = [_name(match) for match in found if chosen and _as_likely(match, chosen[0])]
    if not chosen or (chosen != western and len(tied) > 1):
        likely = f" (as likely: {', '.join(tied)})" if tied else ""
        raise BerthError(
            f"{file.uri}: not UTF-8, and no other encoding is certain{likely}. Set 'encoding', or save it as UTF-8."
        )
    name = _name(chosen[0])
    others = " and ".join(other for other in tied if other != name)
    likely = f" ({others} would be as likely)" if others else ""
    return name, f"{file.uri}: not UTF-8; read as {name}{likely}. If letters are wrong, set 'encoding'."


def _name(match: "CharsetMatch") -> str:
    """Return the most usual of the encodings that give the same text."""
    return next(name for name in _LEGACY if name in (match.encoding, *match.could_be_from_charset))


def _as_likely(match: "CharsetMatch", other: "CharsetMatch") -> bool:
    return match.chaos <= other.chaos + _MARGIN and match.coherence >= other.coherence - 0.1


def _sample(lines: Iterable[bytes]) -> tuple[bytes, bool]:
    """Return lines that are not UTF-8, and whether most lines that are not ASCII are, or have characters of UTF-8.

    Lines with bytes that Windows-1252 does not have are left out if they are the fewer: they may be broken.
    """
    right, wrong = 0, 0
    samples = {True: bytearray(), False: bytearray()}
    for line in lines:
        if line.isascii():
            continue
        try:
            line.decode()
            right += 1
        except UnicodeDecodeError:
            wrong += 1
            whole = _UTF_8_CHARACTERS.findall(line)
            right += len(whole) > len(line.translate(None, _ASCII)) - sum(map(len, whole)) - 1
            sample = samples[_NOT_WESTERN.search(line) is None]
            if len(sample) < _SAMPLE:
                sample += line[:_SAMPLE]
    chosen = samples[len(samples[True]) > len(samples[False])]
    return bytes(chosen), not wrong or right > _UTF_8_LINES * wrong
