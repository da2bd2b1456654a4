from __future__ import annotations

import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from genre_vae.collection import unpacking
from genre_vae.records import InputError
from tests.collection.publisher import tarred, zipped

SONGS = {"top/genres/rock/a.wav": b"a" * 70_000, "top/genres/jazz/b.wav": b"b", "top/about": b"c"}


def tree(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def unpack(
    tmp_path: Path,
    kind: str,
    content: bytes,
    *,
    below: str = "",
    only: str = "*",
    most: int = 10**6,
) -> int:
    path = tmp_path / f"songs.{kind}"
    path.write_bytes(content)
    folder = tmp_path / "outer" / "out"
    return unpacking.unpack(path, folder, below=below, only=[only], most=most)


@pytest.mark.parametrize(("kind", "pack"), [("tar.gz", tarred), ("zip", zipped)])
def test_what_was_packed_is_unpacked(tmp_path: Path, kind: str, pack: type) -> None:
    assert unpack(tmp_path, kind, pack(SONGS)) == 70_002
    assert tree(tmp_path / "outer" / "out") == SONGS
    assert unpack(tmp_path / "outer", kind, pack(SONGS), below="top", only="genres/*") == 70_001
    assert tree(tmp_path / "outer" / "outer" / "out").keys() == {
        "genres/rock/a.wav",
        "genres/jazz/b.wav",
    }


@pytest.mark.parametrize(("kind", "pack"), [("tar.gz", tarred), ("zip", zipped)])
@pytest.mark.parametrize(
    "name",
    ["../escaped", "/tmp/escaped", "a/../../escaped", "..", "a\\..\\..\\escaped", "C:escaped"],
)
def test_names_that_lead_out_are_refused(tmp_path: Path, kind: str, pack: type, name: str) -> None:
    with pytest.raises(InputError, match=r"songs.* holds .* which would lie outside the folder"):
        unpack(tmp_path, kind, pack({"good": b"", name: b"bad"}))
    found = {path.name for path in tmp_path.rglob("*")} | {p.name for p in Path("/tmp").iterdir()}
    assert "escaped" not in found


@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE]
)
@pytest.mark.parametrize("to", ["/etc", "../..", "good"])
def test_links_and_devices_in_a_tar_are_refused(tmp_path: Path, kind: bytes, to: str) -> None:
    link = tarfile.TarInfo("link")
    link.type, link.linkname = kind, to
    with pytest.raises(InputError, match="'link', which is neither a file nor a folder"):
        unpack(tmp_path, "tar.gz", tarred({"good": b"1"}, link))
    assert not (tmp_path / "outer" / "out" / "link").is_symlink()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_links_and_devices_in_a_zip_are_refused(tmp_path: Path, kind: int) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (kind | 0o777) << 16
    with pytest.raises(InputError, match="'link', which is neither a file nor a folder"):
        unpack(tmp_path, "zip", zipped({link: b"/etc/passwd"}))


def test_modes_are_not_taken(tmp_path: Path) -> None:
    info = tarfile.TarInfo("run")
    info.mode = 0o6777
    unpack(tmp_path, "tar.gz", tarred({"a": b"1"}, info))
    assert not (tmp_path / "outer/out/run").stat().st_mode & 0o6111


@pytest.mark.parametrize(("kind", "pack"), [("tar.gz", tarred), ("zip", zipped)])
def test_a_bomb_is_stopped_at_the_bound(
    tmp_path: Path, kind: str, pack: type, monkeypatch: pytest.MonkeyPatch
) -> None:
    bomb = pack({"a": bytes(3_000_000), "b": bytes(50_000_000)})
    assert len(bomb) < 60_000
    with pytest.raises(InputError, match="unpacks to more than 4,000,000 bytes"):
        unpack(tmp_path, kind, bomb, most=4_000_000)
    assert sum(len(data) for data in tree(tmp_path / "outer").values()) <= 4_000_000
    monkeypatch.setattr(unpacking, "MOST_MEMBERS", 10)
    with pytest.raises(InputError, match="holds more than 10 files and folders"):
        unpack(tmp_path / "outer", kind, pack({f"{n}": b"" for n in range(11)}))


@pytest.mark.parametrize(("kind", "pack"), [("tar.gz", tarred), ("zip", zipped)])
def test_damage_is_said_in_a_line(tmp_path: Path, kind: str, pack: type) -> None:
    whole: bytes = pack({"a": bytes(range(256)) * 1000})
    damaged = {
        "half": whole[: len(whole) // 2],
        "empty": b"",
        "a page": b"<html>sign in</html>" * 100,
        "twice": pack({"a": b"1", "./a": b"2"}),
        "a file and a folder": pack({"a": b"1", "a/b": b"2"}),
    }
    for number, (what, content) in enumerate(damaged.items()):
        (tmp_path / str(number)).mkdir()
        with pytest.raises(InputError, match=r"songs\..*: cannot be unpacked: ") as refused:
            unpack(tmp_path / str(number), kind, content)
        assert len(str(refused.value)) < 300, what
    with pytest.raises(InputError, match="holds nothing of what was expected"):
        unpack(tmp_path, kind, whole, below="elsewhere")


def test_a_zip_with_a_password_is_refused(tmp_path: Path) -> None:
    locked = bytearray(zipped({"a": b"1"}))
    locked[6] |= 1  # the flags of the member, and of its entry in the directory
    locked[locked.index(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(InputError, match=r"cannot be unpacked: .*encrypted"):
        unpack(tmp_path, "zip", bytes(locked))
