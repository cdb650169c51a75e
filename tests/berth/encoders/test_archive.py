"""Untrusted archives: what is extracted from them, and what is refused."""

import gzip
import io
import random
import tarfile

import pytest

from berth.encoders.fetch import archive
from berth.encoders.fetch.archive import extract, saved_model_below
from berth.errors import BerthError


def packed(path, *members: tarfile.TarInfo, content: bytes = b"text"):
    """Write a .tar.gz of `members`; plain files hold `content`."""
    with tarfile.open(path, "w:gz") as tar:
        for member in members:
            if member.isreg():
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content) if member.isreg() else None)
    return path


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, link
    return info


def take_out(path, folder):
    folder.mkdir(parents=True)
    with path.open("rb") as stream:
        extract(stream, folder)


def test_files_and_folders_are_taken_out(tmp_path):
    made = packed(tmp_path / "a.tar.gz", member("./variables", tarfile.DIRTYPE), member("./variables/a"), member("b"))
    take_out(made, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").rglob("*")} == {"variables", "a", "b"}


@pytest.mark.parametrize(
    ("evil", "reason"),
    [
        (member("/tmp/evil"), "an absolute path, '/tmp/evil'"),
        (member("../evil"), "leaves the folder, '../evil'"),
        (member("assets/../../evil"), r"leaves the folder, 'assets/\.\./\.\./evil'"),
        (member("assets", tarfile.SYMTYPE, "../.."), r"a link, 'assets' to '\.\./\.\.'"),
        (member("vocab.txt", tarfile.SYMTYPE, "/etc/passwd"), "a link, 'vocab.txt' to '/etc/passwd'"),
        (member("vocab.txt", tarfile.LNKTYPE, "../../secret"), "a link, 'vocab.txt'"),
        (member("pipe", tarfile.FIFOTYPE), "neither a file nor a folder, 'pipe'"),
        (member("disk", tarfile.BLKTYPE), "neither a file nor a folder, 'disk'"),
        (member("hole", tarfile.GNUTYPE_SPARSE), "neither a file nor a folder, 'hole'"),
    ],
)
def test_unsafe_archive_member_is_refused_and_named(tmp_path, evil, reason):
    """Such a member writes outside the folder or is not a regular file."""
    made = packed(tmp_path / "a.tar.gz", member("saved_model.pb"), evil, member("assets/evil"))
    with pytest.raises(BerthError, match=reason):
        take_out(made, tmp_path / "deep" / "out")
    assert not [path for path in tmp_path.rglob("evil")]


def test_what_is_no_archive_or_is_cut_short_is_refused(tmp_path):
    (tmp_path / "page.tar.gz").write_text("<html>sign in</html>")
    noise = random.Random(0).randbytes(100_000)
    whole = packed(tmp_path / "a.tar.gz", member("weights"), content=noise).read_bytes()
    (tmp_path / "cut.tar.gz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "turned.tar.gz").write_bytes(whole[:5000] + bytes(100) + whole[5100:])
    for name in ("page", "cut", "turned"):
        with pytest.raises(BerthError, match="it is not a tar archive, or is damaged"):
            take_out(tmp_path / f"{name}.tar.gz", tmp_path / name)


def test_archive_bomb_is_refused_before_it_is_written(tmp_path, monkeypatch):
    """An archive that unpacks to far more than its size is not written."""
    bomb = member("variables/zeros")
    bomb.size = 2 << 30
    (tmp_path / "bomb.tar.gz").write_bytes(gzip.compress(bomb.tobuf() + bytes(100_000)))
    with pytest.raises(BerthError, match="unpacks to more than a model can be"):
        take_out(tmp_path / "bomb.tar.gz", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())
    monkeypatch.setattr(archive, "_MOST_MEMBERS", 3)
    many = packed(tmp_path / "many.tar.gz", *(member(f"{number}") for number in range(4)))
    with pytest.raises(BerthError, match="more than a model can be"):
        take_out(many, tmp_path / "many")


def test_a_saved_model_is_found_in_the_folders_around_it(tmp_path):
    (tmp_path / "download" / "bert").mkdir(parents=True)
    assert saved_model_below(tmp_path) is None
    (tmp_path / "download" / "bert" / "saved_model.pb").touch()
    assert saved_model_below(tmp_path) == tmp_path / "download" / "bert"
    (tmp_path / "download" / "other").mkdir()
    assert saved_model_below(tmp_path) is None
