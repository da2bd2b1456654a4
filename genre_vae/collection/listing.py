"""Every regular file below a folder: a track, a companion of tracks, or left out with its reason.

What a file is goes by its suffix. One without a suffix that says what it is, is opened, and its
first bytes decide (`genre_vae.collection.sniff`). Nothing is decoded here: what a decoder finds
wrong is found in the one pass over the audio.

Links are followed once: a linked folder that was read under another name, or that leads back to a
folder around it, is listed and not entered, and so is a link to a file that is a track already.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from genre_vae.collection.sniff import READ, not_audio, sniff

AUDIO_SUFFIXES = frozenset(
    {".wav", ".wave", ".w64", ".rf64", ".au", ".snd", ".aif", ".aiff", ".aifc", ".caf", ".flac"}
    | {".ogg", ".oga", ".opus", ".spx", ".mp3", ".mp2", ".m4a", ".m4b", ".m4p", ".mp4", ".aac"}
    | {".alac", ".3gp", ".wma", ".asf", ".wv", ".ape", ".tta", ".tak", ".mpc", ".ac3", ".eac3"}
    | {".dts", ".mka", ".mkv", ".webm", ".mov", ".dsf", ".dff", ".amr", ".ra", ".rm", ".voc"}
    | {".flv", ".avi"}
)
# What lies beside music and is none: pictures, cue sheets, words, playlists, logs, tables, and what
# systems and players leave behind.
COMPANION_SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".png", ".gif", ".bmp", ".tif", ".tiff", ".webp", ".heic", ".svg", ".psd"}
    | {".cue", ".toc", ".ccd", ".txt", ".lrc", ".srt", ".nfo", ".diz", ".md", ".rst", ".rtf"}
    | {".pdf", ".doc", ".docx", ".html", ".htm", ".url", ".webloc", ".lnk", ".xml", ".opf"}
    | {".m3u", ".m3u8", ".pls", ".xspf", ".wpl", ".asx", ".log", ".accurip", ".ini", ".db"}
    | {".sfv", ".md5", ".sha1", ".sha256", ".ffp", ".st5", ".par2", ".torrent", ".bak"}
    | {".csv", ".tsv", ".json", ".jsonl", ".ndjson", ".yaml", ".yml", ".parquet", ".npy", ".npz"}
    | {".xls", ".xlsx", ".ods", ".ipynb", ".py", ".sqlite", ".sqlite3"}
)
_COMPANION_NAMES = frozenset(
    {"thumbs.db", "desktop.ini", ".ds_store", "icon\r", "readme", "license"}
)
_NO_SOUND = {
    **dict.fromkeys((".mid", ".midi", ".kar", ".rmi"), "notes and no sound (MIDI)"),
    **dict.fromkeys((".part", ".crdownload", ".partial", ".tmp"), "an unfinished download"),
    **dict.fromkeys((".zip", ".rar", ".7z", ".tar", ".gz", ".tgz", ".xz"), "an archive: unpack it"),
}


class LeftOut(NamedTuple):
    """A file or folder that is not read: its `name` below the folder, and the `reason`."""

    name: str
    reason: str


@dataclass(frozen=True)
class Listing:
    """What lies below a folder.

    Parameters
    ----------
    tracks
        Audio files, sorted by their path below the folder.
    companions
        How many files there are beside them, by suffix (or name).
    files
        Regular files that are left out. With tracks and companions they are every regular file of
        the folders that could be read.
    others
        Links, folders, pipes and devices that are left out.
    linked
        The tracks among `tracks` that are reached by a link: they are no regular files of the
        folder itself, nor are companions in linked folders.
    """

    tracks: list[Path] = field(default_factory=list)
    companions: Counter[str] = field(default_factory=Counter)
    files: list[LeftOut] = field(default_factory=list)
    others: list[LeftOut] = field(default_factory=list)
    linked: list[Path] = field(default_factory=list)

    @property
    def left_out(self) -> list[LeftOut]:
        """All that is left out, files first."""
        return self.files + self.others


def listing(folder: Path) -> Listing:
    """List a folder and all folders below it.

    Parameters
    ----------
    folder
        A folder. Its own name may be hidden, those below it are not read if theirs are.

    Raises
    ------
    OSError
        If the folder itself cannot be read.
    """
    found = Listing()
    entered: dict[tuple[int, int], Path] = {}
    links: list[Path] = []
    _enter(folder, folder, found, entered, links)
    taken = {_identity(path): path for path in found.tracks} if links else {}
    while links:  # after everything else: a file's own path is a better name than a link to it
        batch, links = sorted(links), []
        for link in batch:
            _follow(link, folder, found, entered, taken, links)
    found.tracks.sort(key=lambda path: path.relative_to(folder).as_posix())
    found.files.sort()
    found.others.sort()
    return found


def readable(name: str) -> str:
    """A name as it can be printed on one line, whatever bytes it is made of."""
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in text
    )


def _enter(
    place: Path,
    folder: Path,
    found: Listing,
    entered: dict[tuple[int, int], Path],
    links: list[Path],
    hidden: str = "",
) -> None:
    """Add what lies in the folder `place` and below, links but for the list of them."""
    folders = [(place, hidden)]
    while folders:
        place, hidden = folders.pop()
        try:
            identity = _identity(place)
            if identity in entered:  # below a link that leads to it by another way
                reason = f"the same folder as {_below(entered[identity], folder)}"
                found.others.append(LeftOut(_below(place, folder), reason))
                continue
            entered[identity] = place
            with os.scandir(place) as scanned:
                entries = list(scanned)
        except OSError as error:
            if place == folder:
                raise
            reason = f"the folder cannot be read: {error.strerror}"
            found.others.append(LeftOut(_below(place, folder), reason))
            continue
        for entry in entries:
            path = place / entry.name
            if entry.is_symlink():
                links.append(path)
            elif entry.is_dir(follow_symlinks=False):
                is_hidden = entry.name.startswith(".")
                folders.append((path, hidden or ("in a hidden folder" if is_hidden else "")))
            elif entry.is_file(follow_symlinks=False):
                _add(path, folder, found, hidden)
            else:  # a pipe or a device would never end
                found.others.append(LeftOut(_below(path, folder), "a pipe or a device, not a file"))


def _follow(
    link: Path,
    folder: Path,
    found: Listing,
    entered: dict[tuple[int, int], Path],
    taken: dict[tuple[int, int], Path],
    links: list[Path],
) -> None:
    name = _below(link, folder)
    try:
        mode = link.stat().st_mode
        identity = _identity(link)
    except OSError as error:
        loops = "it leads in a circle" if error.errno == errno.ELOOP else "it leads nowhere"
        found.others.append(LeftOut(name, f"a broken link: {loops}"))
        return
    if link.name.startswith("."):
        found.others.append(LeftOut(name, "hidden"))
    elif stat.S_ISDIR(mode) and folder.resolve().is_relative_to(link.resolve()):
        found.others.append(LeftOut(name, "a link to a folder that this one lies in"))
    elif stat.S_ISDIR(mode) and identity in entered:
        other = _below(entered[identity], folder)
        found.others.append(LeftOut(name, f"a link to {other}, which is read already"))
    elif stat.S_ISDIR(mode):
        before = len(found.tracks)
        _enter(link, folder, found, entered, links)
        found.linked.extend(found.tracks[before:])
        taken.update((_identity(path), path) for path in found.tracks[before:])
    elif not stat.S_ISREG(mode):
        found.others.append(LeftOut(name, "a link to a pipe or a device"))
    elif identity in taken:
        other = _below(taken[identity], folder)
        found.others.append(LeftOut(name, f"a link to {other}, which is read already"))
    else:
        linked = Listing()
        _add(link, folder, linked, "")
        found.tracks.extend(linked.tracks)
        found.linked.extend(linked.tracks)
        found.others.extend(linked.files)  # a link is no regular file of this folder
        taken.update((identity, path) for path in linked.tracks)


def _add(path: Path, folder: Path, found: Listing, hidden: str) -> None:
    """Add a regular file."""
    name, suffix = path.name, path.suffix.lower()
    if name.startswith("._") or name.lower() in _COMPANION_NAMES:
        found.companions["._*" if name.startswith("._") else name.lower()] += 1
    elif reason := hidden or _refusal(path, folder):
        found.files.append(LeftOut(_below(path, folder), reason))
    elif suffix in AUDIO_SUFFIXES:
        found.tracks.append(path)
    elif suffix in COMPANION_SUFFIXES:
        found.companions[suffix] += 1
    else:
        what = _inside(path)
        if what:
            found.files.append(LeftOut(_below(path, folder), what))
        else:
            found.tracks.append(path)


def _refusal(path: Path, folder: Path) -> str:
    """Why a file is left out, whatever is in it; "" for no reason."""
    if not _is_utf8(str(path.relative_to(folder))):
        return "its name is not UTF-8: rename it"
    if path.name.startswith("."):
        return "hidden"
    return _NO_SOUND.get(path.suffix.lower(), "")


def _inside(path: Path) -> str:
    """What a file is whose suffix does not tell; "" for audio."""
    try:
        with path.open("rb") as file:
            beginning = file.read(READ)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    if not beginning:
        return "not known as audio, and empty"
    kind = sniff(beginning)
    if not kind:
        return "not known as audio"
    what = not_audio(kind)
    return f"{what}, not audio" if what else ""


def _identity(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_dev, status.st_ino


def _below(path: Path, folder: Path) -> str:
    """The name of a path below the folder."""
    return path.relative_to(folder).as_posix() if path != folder else "."


def _is_utf8(name: str) -> bool:
    try:
        name.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
