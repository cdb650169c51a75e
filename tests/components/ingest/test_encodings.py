"""Text files in every encoding and compression that people have, whatever their names say."""

import gzip
import json
import re

import pyarrow as pa
import pytest

from components.ingest.settings import IngestSettings
from components.ingest.sources.source import fingerprint
from tests.components.ingest.conftest import ROWS, everything, write

FRENCH = [
    (f"l\u2019élève n° {number} préfère le café \u2013 déjà vu à 5 €", "bien" if number % 3 else "ému")
    for number in range(200)
]
WORDS = {
    "cp1250": "Zażółć gęślą jaźń proszę bardzo",
    "cp1251": "Привет как дела? Сегодня хорошая погода",
    "koi8_r": "Привет как дела? Сегодня хорошая погода",
    "cp932": "今日は天気がとても良いので公園を散歩しました",
    "gb18030": "今天天气很好我们去公园散步吧",
}


UNICODE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig")


def encoded(path, rows, encoding, kind="csv"):
    """Write `rows` in `encoding`; the kinds are csv, tsv and jsonl."""
    plain = write(path.with_name(f"utf8.{kind}"), rows)
    text = plain.read_text(encoding="utf-8")
    if kind == "jsonl":
        text = "".join(json.dumps({"text": a, "label": b}, ensure_ascii=False) + "\n" for a, b in rows)
    plain.unlink()
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252"])
def test_western_files_are_read_whole_and_it_is_said(ingest, tmp_path, kind, encoding):
    rows = FRENCH
    if encoding == "latin-1":
        rows = [(re.sub("[\u2019\u2013\u20ac]", "'", text), label) for text, label in FRENCH]
    path = encoded(tmp_path / f"a.{kind}", rows, encoding, kind)
    manifest, splits, _ = ingest(path)
    assert everything(splits) == set(rows)
    (note,) = manifest.notes
    assert note.startswith(f"{path}: not UTF-8; read as cp1252")
    assert note.endswith("If letters are wrong, set 'encoding'.")


@pytest.mark.parametrize("encoding", WORDS)
def test_other_alphabets_are_told_by_their_letters(ingest, tmp_path, encoding):
    rows = [(f"{WORDS[encoding]} {number}", "ab"[number % 2]) for number in range(200)]
    manifest, splits, _ = ingest(encoded(tmp_path / "a.csv", rows, encoding))
    assert everything(splits) == set(rows)
    assert f"read as {encoding}" in manifest.notes[0]


def test_letters_far_down_in_a_file_are_converted_too(ingest, tmp_path):
    """Its start is ASCII, which is UTF-8 as well."""
    rows = [(f"{text} and so {'on ' * 200}on", label) for text, label in ROWS] + FRENCH
    manifest, splits, _ = ingest(encoded(tmp_path / "a.csv", rows, "cp1252"))
    assert everything(splits) == set(rows)
    assert len(manifest.notes) == 1


def test_one_broken_byte_does_not_change_a_files_encoding(ingest, tmp_path):
    """The byte 0x81 is none of Windows-1252."""
    path = encoded(tmp_path / "a.csv", FRENCH, "cp1252")
    path.write_bytes(path.read_bytes() + b"a\x81b,bien\n")
    manifest, splits, rejected = ingest(path)
    assert everything(splits) == set(FRENCH)
    assert [(row["row"], row["reason"]) for row in rejected] == [(201, "undecodable bytes")]
    assert "read as cp1252" in manifest.notes[0]


def test_the_encoding_may_be_set(ingest, tmp_path):
    path = encoded(tmp_path / "a.csv", FRENCH, "mac_roman")
    manifest, splits, _ = ingest(path, encoding="mac_roman")
    assert (everything(splits), manifest.notes) == (set(FRENCH), [])
    path = encoded(tmp_path / "b.csv", FRENCH + ROWS, "cp1252")
    manifest, splits, _ = ingest(path, encoding="utf-8", name="wrong")
    assert (everything(splits), manifest.rejected) == (set(ROWS), {"undecodable bytes": 200})


def test_broken_bytes_in_a_utf8_file_reject_their_rows_only(ingest, tmp_path):
    path = write(tmp_path / "a.tsv", FRENCH)
    path.write_bytes(path.read_bytes() + b"caf\xe9\tbien\n")
    manifest, splits, rejected = ingest(path)
    assert [(row["row"], row["reason"]) for row in rejected] == [(201, "undecodable bytes")]
    assert (everything(splits), manifest.notes) == (set(FRENCH), [])


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize(
    "encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be", "utf-8-sig"]
)
@pytest.mark.parametrize("packed", [False, True])
def test_unicode_is_known_with_and_without_a_mark(ingest, tmp_path, kind, encoding, packed):
    """Also inside .gz, and for texts outside of Latin."""
    rows = [(f"{WORDS['cp932']} {number} \U0001f600", "ab"[number % 2]) for number in range(100)]
    path = encoded(tmp_path / f"a.{kind}", rows, encoding, kind)
    if packed:
        data, path = path.read_bytes(), tmp_path / f"a.{kind}.gz"
        path.write_bytes(gzip.compress(data))
    manifest, splits, _ = ingest(path)
    assert (everything(splits), manifest.notes) == (set(rows), [])


def test_a_broken_unit_of_utf16_rejects_its_row_only(ingest, tmp_path):
    data = "text,label\n".encode("utf-16") + "".join(f"{a},{b}\n" for a, b in ROWS).encode("utf-16-le")
    (tmp_path / "a.csv").write_bytes(data + b"x\x00\x00\xd8y\x00" + ",ham\nlast,ham\n".encode("utf-16-le"))
    _, splits, rejected = ingest(tmp_path / "a.csv")
    assert [(row["row"], row["reason"], row["text"]) for row in rejected] == [(201, "undecodable bytes", "x\ufffdy")]
    assert everything(splits) == {("last", "ham"), *ROWS}


def test_half_a_character_in_json_rejects_its_row_only(ingest, tmp_path):
    rows = [json.dumps({"text": text, "label": label}) for text, label in ROWS]
    rows += [r'{"text": "half \ud83d", "label": "ham"}', r'{"text": "\udc00", "label": "ham"}']
    rows += [r'{"text": "whole \ud83d\ude00", "label": "ham"}', r'{"text": "no escape \\ud83d", "label": "ham"}']
    (tmp_path / "a.jsonl").write_text("\n".join(rows))
    _, splits, rejected = ingest(tmp_path / "a.jsonl")
    assert [(row["row"], row["reason"]) for row in rejected] == [(201, "undecodable bytes"), (202, "undecodable bytes")]
    assert everything(splits) == {("whole \U0001f600", "ham"), ("no escape \\ud83d", "ham"), *ROWS}


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("name", ["a.{}.gz", "a.{}.zst", "a.{}"])
@pytest.mark.parametrize("packed", ["", "gzip", "zstd"])
def test_compression_is_known_by_content(ingest, tmp_path, kind, name, packed):
    """Web servers unpack what they send, and tools pack without renaming."""
    data = write(tmp_path / f"plain.{kind}").read_bytes()
    path = tmp_path / name.format(kind)
    path.write_bytes(pa.compress(data, packed, asbytes=True) if packed else data)
    fingerprint(IngestSettings.of(source={"files": str(path)}))
    assert everything(ingest(path)[1]) == set(ROWS)


def test_an_unknown_encoding_is_a_wrong_setting():
    from pipeline.config.run_config import RunConfig

    with pytest.raises(ValueError, match="knows no text encoding 'cp9999'"):
        RunConfig.model_validate({"name": "a", "source": "a.csv", "encoding": "cp9999"})
