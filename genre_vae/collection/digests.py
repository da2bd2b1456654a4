"""Hashes of files' contents, remembered from one command to the next.

To hash a collection is to read all of it, 1.3 GB for GTZAN. A file whose size and modification time
are those it had when it was last read is therefore taken to be unchanged, as make and git take it.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from filelock import FileLock

from genre_vae.files import write_json

MAX_REMEMBERED = 200_000  # files of all collections together: some 30 MB of JSON
SETTLED_NS = 2_000_000_000  # 2 s, the coarsest step of file systems' clocks (FAT)
LOCK_SECONDS = 10.0
_DIGEST = re.compile("[0-9a-f]{32}")

T = TypeVar("T")


class _Seen(NamedTuple):
    """A file as it was when it was read: its size, its modification time in ns, and the digest."""

    size: int
    mtime: int
    digest: str


def content_digests(
    paths: Sequence[Path], *, remembered: Path | None = None, verify: bool = False
) -> list[str]:
    """A hash of each file's content.

    Parameters
    ----------
    paths
        The files.
    remembered
        A JSON file of digests by path, size and modification time (ns), which is made where it is
        missing. Content of any other form counts as none. Digests of other files stay in it, up to
        `MAX_REMEMBERED` in all, of which the oldest are dropped. Where it cannot be written, the
        files are read again the next time. None remembers nothing.
    verify
        Whether to read every file, even those that are as remembered.

    Returns
    -------
    list of str
        BLAKE2b, 16 bytes in hexadecimal; ``unreadable: <reason>`` for a file that cannot be read.
    """
    known = recall(remembered, _as_seen)
    began = time.time_ns()

    def look(path: Path) -> tuple[str, _Seen | None]:
        """The digest, and what to remember of a file that had to be read."""
        try:
            status = path.stat()  # before the content: what is written meanwhile changes it
            seen = known.get(str(path.absolute()))
            if not verify and seen and seen[:2] == (status.st_size, status.st_mtime_ns):
                return seen.digest, None
            digest = _digest(path)
        except OSError as error:  # the features pass will list the file with its reason
            return f"unreadable: {error.strerror}", None
        # A later write within one step of the clock would leave the modification time as it is.
        settled = status.st_mtime_ns < began - SETTLED_NS
        return digest, _Seen(status.st_size, status.st_mtime_ns, digest) if settled else None

    with ThreadPoolExecutor() as pool:  # hashing releases the GIL
        found = list(pool.map(look, paths))
    fresh = {
        str(path.absolute()): entry
        for path, (_, entry) in zip(paths, found, strict=True)
        if entry is not None
    }
    remember(remembered, fresh, _as_seen)
    return [digest for digest, _ in found]


def digest_since(path: Path, digest: str, *, since: int) -> str:
    """The digest of a file whose digest was `digest` at the time `since` (ns). Only a file that was
    written since, or shortly before, or that could not be read then, is read."""
    try:
        untouched = path.stat().st_ctime_ns < since - SETTLED_NS
        return digest if untouched and _DIGEST.fullmatch(digest) else _digest(path)
    except OSError as error:
        return f"unreadable: {error.strerror}"


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def recall(path: Path | None, as_entry: Callable[[Any], T]) -> dict[str, T]:
    """What was remembered in a file, by its keys, the oldest first.

    Parameters
    ----------
    path
        A JSON file; nothing is remembered in one that is missing or foreign, nor without a file.
    as_entry
        Makes an entry of its JSON, or raises ValueError or TypeError where it is none.
    """
    if path is None:
        return {}
    try:
        entries = json.loads(path.read_text("utf-8"))
        return {name: as_entry(entry) for name, entry in entries.items()}
    except (OSError, ValueError, RecursionError, TypeError, AttributeError):
        return {}


def remember(path: Path | None, fresh: Mapping[str, T], as_entry: Callable[[Any], T]) -> None:
    """Add entries to a file that `recall` reads: up to `MAX_REMEMBERED`, without the oldest.

    Scans at the same time take turns, so that none loses entries. Where nothing can be written,
    nothing is remembered: an aid that fails must not fail the scan.
    """
    if path is None or not fresh:
        return
    with suppress(OSError, UnicodeEncodeError):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{path}.lock", timeout=LOCK_SECONDS):
            known = recall(path, as_entry)
            kept = {name: one for name, one in known.items() if name not in fresh}
            write_json(path, dict([*kept.items(), *fresh.items()][-MAX_REMEMBERED:]))


def _as_seen(entry: Any) -> _Seen:
    size, mtime, digest = entry
    if not (type(size) is type(mtime) is int and _DIGEST.fullmatch(digest)):
        raise ValueError("not a file that was read")
    return _Seen(size, mtime, digest)
