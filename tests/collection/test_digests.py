from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from genre_vae.collection import digests
from genre_vae.collection.catalog import scan
from genre_vae.collection.digests import content_digests
from tests.collection.folders import plant

NAMES = ("rock/a.wav", "rock/b.wav", "blues/c.wav")


def aged(folder: Path, *names: str, seconds: float = 60.0) -> Path:
    """Planted files that were last changed a while ago."""
    plant(folder, *names)
    for name in names:
        forge(folder / name, time.time_ns() - int(seconds * 1e9))
    return folder


def forge(path: Path, mtime_ns: int) -> None:
    os.utime(path, ns=(mtime_ns, mtime_ns))


def rewrite(path: Path, content: bytes) -> None:
    """Other content behind the same modification time."""
    mtime = path.stat().st_mtime_ns
    path.write_bytes(content)
    forge(path, mtime)


def digest_of(folder: Path, name: str, memory: Path, *, verify: bool = False) -> str:
    tracks = scan(folder, cache=memory.parent, verify=verify).tracks.set_index("track_id")
    return str(tracks.loc[name, "digest"])


def test_the_catalog_is_the_same_with_and_without_what_is_remembered(tmp_path: Path) -> None:
    folder, memory = aged(tmp_path / "music", *NAMES), tmp_path / "cache" / "digests.json"
    expected = scan(folder)
    for _ in range(3):
        found = scan(folder, cache=memory.parent)
        assert found.tracks.equals(expected.tracks)
        assert found.fingerprint == expected.fingerprint
    assert len(json.loads(memory.read_text())) == 3


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    """Shown by content that is changed behind an unchanged size and modification time."""
    folder, memory = aged(tmp_path / "music", *NAMES), tmp_path / "digests.json"
    before = digest_of(folder, "rock/a.wav", memory)
    rewrite(folder / "rock/a.wav", b"x" * len("rock/a.wav"))
    assert digest_of(folder, "rock/a.wav", memory) == before
    verified = digest_of(folder, "rock/a.wav", memory, verify=True)
    assert (
        verified == digest_of(folder, "rock/a.wav", tmp_path / "other" / "digests.json") != before
    )
    assert digest_of(folder, "rock/a.wav", memory) == verified, "what was verified is remembered"


@pytest.mark.parametrize("change", ["size", "later", "earlier"])
def test_an_edit_is_seen(tmp_path: Path, change: str) -> None:
    folder, memory = aged(tmp_path / "music", *NAMES), tmp_path / "digests.json"
    before = digest_of(folder, "rock/a.wav", memory)
    path = folder / "rock/a.wav"
    if change == "size":
        rewrite(path, b"longer than it was")
    else:
        mtime = path.stat().st_mtime_ns
        path.write_bytes(b"x" * path.stat().st_size)
        forge(path, mtime + (1 if change == "later" else -1))
    found = digest_of(folder, "rock/a.wav", memory)
    assert found == str(scan(folder).tracks.set_index("track_id").loc["rock/a.wav", "digest"])
    assert found != before


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path) -> None:
    """The clock of a file system is coarse: a second write can leave the time as it is."""
    folder, memory = aged(tmp_path / "music", *NAMES), tmp_path / "digests.json"
    forge(folder / "rock/a.wav", time.time_ns() - 500_000_000)
    forge(folder / "rock/b.wav", time.time_ns() + 10**12)
    before = [digest_of(folder, name, memory) for name in NAMES]
    assert [Path(name).name for name in json.loads(memory.read_text())] == ["c.wav"]
    for name in NAMES:
        rewrite(folder / name, b"x" * len(name))
    after = [digest_of(folder, name, memory) for name in NAMES]
    assert [one == other for one, other in zip(before, after, strict=True)] == [False, False, True]


def test_what_cannot_be_read_is_not_remembered(tmp_path: Path) -> None:
    gone = tmp_path / "gone.wav"
    (found,) = content_digests([gone], remembered=tmp_path / "digests.json")
    assert found.startswith("unreadable: No such file")
    assert not (tmp_path / "digests.json").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[" * 100_000,
        b"[1, 2]",
        b"null",
        b'"text"',
        b'{"version": 1}',
        b'{"a": [1]}',
        b'{"a": [1, 2, 3]}',
        b'{"a": {"b": 1, "c": 2, "d": 3}}',
    ],
)
def test_broken_or_foreign_content_counts_as_nothing(tmp_path: Path, content: bytes) -> None:
    folder, memory = aged(tmp_path / "music", *NAMES), tmp_path / "digests.json"
    memory.write_bytes(content)
    assert scan(folder, cache=memory.parent).tracks.equals(scan(folder).tracks)
    assert len(json.loads(memory.read_text())) == 3, "and is replaced"


@pytest.mark.parametrize("forged", ["", "x" * 32, "0" * 31, None, 7, ["0" * 32]])
def test_an_entry_that_is_no_digest_is_not_believed(tmp_path: Path, forged: object) -> None:
    folder, memory = aged(tmp_path / "music", *NAMES), tmp_path / "digests.json"
    expected = digest_of(folder, "rock/a.wav", memory)
    entries = json.loads(memory.read_text())
    memory.write_text(json.dumps({name: [*entry[:2], forged] for name, entry in entries.items()}))
    assert digest_of(folder, "rock/a.wav", memory) == expected


def test_entries_of_other_collections_stay_and_the_oldest_are_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = tmp_path / "digests.json"
    one, two = aged(tmp_path / "one", "a.wav", "b.wav"), aged(tmp_path / "two", "a.wav", "b.wav")
    monkeypatch.setattr(digests, "MAX_REMEMBERED", 4)
    scan(one, cache=memory.parent)
    scan(two, cache=memory.parent)
    assert len(json.loads(memory.read_text())) == 4
    aged(two, "c.wav")
    scan(two, cache=memory.parent)
    kept = [str(Path(name).relative_to(tmp_path)) for name in json.loads(memory.read_text())]
    assert kept == ["one/b.wav", "two/a.wav", "two/b.wav", "two/c.wav"]


def test_a_file_that_cannot_be_written_does_no_harm(tmp_path: Path) -> None:
    folder = aged(tmp_path / "music", *NAMES)
    (tmp_path / "file").write_bytes(b"")
    for memory in (tmp_path / "file" / "digests.json", folder):
        assert scan(folder, cache=memory.parent).tracks.equals(scan(folder).tracks)


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    folder, memory = aged(tmp_path / "music", *NAMES), tmp_path / "digests.json"
    scan(folder, cache=memory.parent)
    before = memory.read_bytes()
    aged(folder, "rock/d.wav")
    code = (
        "import json, os, sys\n"
        "from pathlib import Path\n"
        "from genre_vae.collection.catalog import scan\n"
        "write = Path.write_text\n"
        "def killed(path, text, *rest):\n"
        "    write(path, text[: len(text) // 2], *rest)\n"
        "    os.kill(os.getpid(), 9)\n"
        "Path.write_text = killed\n"
        "scan(Path(sys.argv[1]), cache=Path(sys.argv[2]).parent)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(folder), str(memory)])
    assert done.returncode == -9
    assert memory.read_bytes() == before
    scan(folder, cache=memory.parent)
    assert len(json.loads(memory.read_text())) == 4


def test_scans_at_once_lose_nothing(tmp_path: Path) -> None:
    memory = tmp_path / "digests.json"
    folders = [aged(tmp_path / str(n), *(f"{k}.wav" for k in range(20))) for n in range(12)]
    expected = [scan(folder).tracks for folder in folders]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda folder: scan(folder, cache=memory.parent), folders))
    assert all(one.tracks.equals(other) for one, other in zip(found, expected, strict=True))
    assert len(json.loads(memory.read_text())) == 12 * 20


def test_relative_and_absolute_paths_share_their_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, memory = aged(tmp_path / "music", *NAMES), tmp_path / "digests.json"
    paths = sorted(folder.rglob("*.wav"))
    absolute = content_digests(paths, remembered=memory)
    for path in paths:
        rewrite(path, b"x" * path.stat().st_size)
    monkeypatch.chdir(folder)
    relative = [path.relative_to(folder) for path in paths]
    assert content_digests(relative, remembered=memory) == absolute
