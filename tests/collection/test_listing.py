from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genre_vae.collection.listing import AUDIO_SUFFIXES, COMPANION_SUFFIXES, listing, readable
from tests.collection.folders import plant


def regular_files(folder: Path) -> int:
    """How many regular files there are, links not followed, as find counts them."""
    command = ["find", str(folder), "-type", "f", "-print0"]
    return subprocess.run(command, capture_output=True, check=True).stdout.count(b"\0")


def reasons(folder: Path) -> dict[str, str]:
    return dict(listing(folder).left_out)


def messy(folder: Path) -> Path:
    """A tree with what people's folders have in them."""
    plant(folder, "rock/a.wav", "rock/A.WAV", "rock/deep/er/b.flac", "jazz/c.opus", "jazz/d.M4A")
    plant(folder, "rock/cover.jpg", "rock/Folder.PNG", "rock/x.cue", "rock/x.lrc", "list.m3u8")
    plant(folder, "rock/._a.wav", "rock/.DS_Store", "Thumbs.db", "desktop.ini", "jazz/notes.txt")
    plant(folder, "rock/.secret.mp3", ".Trash/old.mp3", ".Trash/deep/older.mp3")
    plant(folder, "jazz/tune.mid", "jazz/half.mp3.part", "jazz/album.zip", "jazz/thing.xyz")
    plant(folder, "jazz/new\nline.mp3", f"jazz/{'n' * 251}.mp3", "jazz/no suffix")
    (folder / "jazz/page").write_bytes(b"<!DOCTYPE html><html><body>not found</body></html>")
    (folder / "jazz/sound").write_bytes(b"RIFF\0\0\0\0WAVEfmt ")
    (folder / "jazz/empty.xyz").write_bytes(b"")
    Path(os.fsdecode(os.fsencode(folder) + b"/jazz/caf\xe9.mp3")).write_bytes(b"x")
    plant(folder / "elsewhere", "e.mp3", "f.mp3")
    (folder / "elsewhere").rename(folder.parent / "elsewhere")
    (folder / "blues").symlink_to(folder.parent / "elsewhere")
    (folder / "blues again").symlink_to(folder.parent / "elsewhere")
    (folder / "rock/loop").symlink_to(folder / "rock")
    (folder / "up").symlink_to(folder.parent)
    (folder / "self").symlink_to(folder / "self")
    (folder / "rock/twice.wav").symlink_to(folder / "rock/a.wav")
    (folder / "rock/linked.mp3").symlink_to(folder.parent / "outside.mp3")
    (folder / "rock/linked2.mp3").symlink_to(folder.parent / "outside.mp3")
    (folder.parent / "outside.mp3").write_bytes(b"x")
    (folder / "rock/gone.wav").symlink_to(folder / "nowhere.wav")
    os.mkfifo(folder / "rock/pipe.wav")
    return folder


def test_every_regular_file_is_a_track_a_companion_or_listed(tmp_path: Path) -> None:
    folder = messy(tmp_path / "music")
    found = listing(folder)
    own = [path for path in found.tracks if not path.is_symlink() and "blues" not in str(path)]
    assert len(own) + found.companions.total() + len(found.files) == regular_files(folder)
    names = [path.relative_to(folder).as_posix() for path in found.tracks]
    expected = [
        *("blues/e.mp3", "blues/f.mp3", "jazz/c.opus", "jazz/d.M4A", "jazz/new\nline.mp3"),
        *(f"jazz/{'n' * 251}.mp3", "jazz/sound", "rock/A.WAV", "rock/a.wav", "rock/linked.mp3"),
        "rock/deep/er/b.flac",
    ]
    assert names == sorted(expected)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("rock/.secret.mp3", "hidden"),
        (".Trash/old.mp3", "in a hidden folder"),
        (".Trash/deep/older.mp3", "in a hidden folder"),
        ("jazz/tune.mid", "notes and no sound (MIDI)"),
        ("jazz/half.mp3.part", "an unfinished download"),
        ("jazz/album.zip", "an archive: unpack it"),
        ("jazz/thing.xyz", "text, not audio"),
        ("jazz/page", "a web page, not audio"),
        ("jazz/empty.xyz", "not known as audio, and empty"),
        ("blues again", "a link to blues, which is read already"),
        ("rock/loop", "a link to rock, which is read already"),
        ("up", "a link to a folder that this one lies in"),
        ("self", "a broken link: it leads in a circle"),
        ("rock/twice.wav", "a link to rock/a.wav, which is read already"),
        ("rock/linked2.mp3", "a link to rock/linked.mp3, which is read already"),
        ("rock/gone.wav", "a broken link: it leads nowhere"),
        ("rock/pipe.wav", "a pipe or a device, not a file"),
    ],
)
def test_what_is_left_out_has_its_reason(tmp_path: Path, name: str, reason: str) -> None:
    assert reasons(messy(tmp_path / "music"))[name] == reason


def test_a_name_that_is_no_utf8_is_listed_alone(tmp_path: Path) -> None:
    found = reasons(messy(tmp_path / "music"))
    (name,) = [name for name, reason in found.items() if "UTF-8" in reason]
    assert readable(name) == "jazz/caf\\xe9.mp3"
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/music/\xff\xfe"))
    plant(folder, "a.mp3", "b.mp3")
    assert sum("UTF-8" in reason for reason in reasons(tmp_path / "music").values()) == 3


def test_loops_of_links_between_folders_end(tmp_path: Path) -> None:
    plant(tmp_path, "music/a/x.wav", "other/b/y.wav")
    (tmp_path / "music/a/to other").symlink_to(tmp_path / "other")
    (tmp_path / "other/b/back").symlink_to(tmp_path / "music/a")
    (tmp_path / "other/b/around").symlink_to(tmp_path)
    found = listing(tmp_path / "music")
    names = [path.relative_to(tmp_path / "music").as_posix() for path in found.tracks]
    assert names == ["a/to other/b/y.wav", "a/x.wav"]
    assert len(found.others) == 2


def test_an_unreadable_folder_is_listed_and_the_others_are_read(tmp_path: Path) -> None:
    folder = plant(tmp_path / "music", "rock/a.wav", "shut/b.wav")
    (folder / "shut").chmod(0)
    tmp_path.chmod(0o755)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from genre_vae.collection.listing import listing\n"
        "os.setgroups([]) if os.getuid() == 0 else None\n"
        "os.setuid(65534) if os.getuid() == 0 else None\n"
        "found = listing(Path(sys.argv[1]))\n"
        "print(len(found.tracks), found.left_out)\n"
    )
    place = tmp_path
    while place != place.parent:  # so that another user gets there
        place.chmod(place.stat().st_mode | 0o011) if place.owner() == folder.owner() else None
        place = place.parent
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
        )
    finally:
        (folder / "shut").chmod(0o755)
    assert done.stdout.startswith("1 ")
    assert "name='shut', reason='the folder cannot be read: Permission denied'" in done.stdout


def test_the_order_of_the_directory_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = messy(tmp_path / "music")
    before = listing(folder)
    scandir = os.scandir

    class Reversed:
        def __init__(self, place: Path) -> None:
            with scandir(place) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> list[os.DirEntry[str]]:
            return self.entries

        def __exit__(self, *exc: object) -> None: ...

    monkeypatch.setattr(os, "scandir", Reversed)
    assert listing(folder) == before


def test_suffixes_are_of_one_kind() -> None:
    assert not AUDIO_SUFFIXES & COMPANION_SUFFIXES


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a b.wav", "a b.wav"),
        ("Flé 日本.wav", "Flé 日本.wav"),
        ("a\nb\t.wav", "a\\nb\\t.wav"),
        (os.fsdecode(b"\xff.wav"), "\\xff.wav"),
        ("\x1b[31mred", "\\x1b[31mred"),
    ],
)
def test_names_are_shown_on_one_line(name: str, shown: str) -> None:
    assert readable(name) == shown
