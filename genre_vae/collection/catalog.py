"""A folder of audio files -> a table with one row per track.

Layouts read, the first that fits: ``<folder>/genres_original/<genre>/*``,
``<folder>/genres/<genre>/*``, ``<folder>/<genre>/*``, and audio files directly in the folder
(genres unknown). Nothing is decoded here: what a decoder finds wrong is found in the one pass
over the audio that `genre_vae.features.spectral` makes.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from genre_vae.collection.digests import content_digests
from genre_vae.records import InputError

AUDIO_SUFFIXES = frozenset({".wav", ".au", ".flac", ".ogg", ".oga", ".mp3", ".aif", ".aiff"})


@dataclass(frozen=True, eq=False)
class Catalog:
    """The tracks of one folder.

    Parameters
    ----------
    folder
        The folder that track ids are relative to.
    tracks
        One row per audio file in the order of ``track_id``, with the columns ``track_id`` (path
        below `folder`, with ``/``), ``path``, ``genre`` (``""`` where unknown) and ``digest`` (a
        hash of the file's content).
    """

    folder: Path
    tracks: pd.DataFrame

    @cached_property
    def fingerprint(self) -> str:
        """A hash of ids, genres and contents: equal collections have equal fingerprints,
        wherever they lie and in whatever order the file system lists them."""
        hasher = hashlib.blake2b(digest_size=8)
        rows = zip(
            self.tracks["track_id"], self.tracks["genre"], self.tracks["digest"], strict=True
        )
        for row in rows:
            hasher.update("\0".join(row).encode() + b"\n")
        return hasher.hexdigest()

    @property
    def name(self) -> str:
        return self.folder.name


def scan(folder: Path, *, digests: Path | None = None, verify: bool = False) -> Catalog:
    """List the audio files of a folder.

    Parameters
    ----------
    folder
        A folder in one of the layouts of this module's docstring. Files without an audio suffix and
        hidden files are not tracks.
    digests
        A file of remembered digests, as for `genre_vae.collection.digests.content_digests`: files
        whose size and modification time are as remembered are not read again. None reads all.
    verify
        Whether to read all files even so.

    Returns
    -------
    Catalog
        The same with and without remembered digests, unless a file was changed and its size and
        modification time were put back.

    Raises
    ------
    InputError
        If the folder is missing or holds fewer than two audio files.
    """
    try:
        if not folder.is_dir():
            what = "a file, not a folder" if folder.is_file() else "no folder"
            raise InputError(f"{what} at {folder}")
        base = next(
            (folder / name for name in ("genres_original", "genres") if (folder / name).is_dir()),
            folder,
        )
        files = audio_files(base)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error
    paths = sorted(files, key=lambda path: path.relative_to(folder).as_posix())
    for path in paths:
        if not path.as_posix().isprintable() and not _is_utf8(path):
            raise InputError(f"{folder}: {os.fsencode(path.name)!r} is not UTF-8; rename that file")
    if len(paths) < 2:
        found = f"only {paths[0].name}" if paths else "none"
        raise InputError(
            f"{folder}: expected audio files as <genre>/<file>, or directly in the folder; "
            f"found {found} ({', '.join(sorted(AUDIO_SUFFIXES))})"
        )
    return Catalog(
        folder,
        pd.DataFrame(
            {
                "track_id": [path.relative_to(folder).as_posix() for path in paths],
                "path": [str(path) for path in paths],
                "genre": ["" if path.parent == base else _genre(path, base) for path in paths],
                "digest": content_digests(paths, remembered=digests, verify=verify),
            }
        ),
    )


def audio_files(base: Path) -> list[Path]:
    """The audio files below a folder, sorted by path, without hidden ones.

    Raises
    ------
    OSError
        If a folder cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise error  # os.walk would silently leave an unreadable folder out

    found = []
    for directory, folders, names in os.walk(base, onerror=refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = Path(directory, name)
            audio = not name.startswith(".") and path.suffix.lower() in AUDIO_SUFFIXES
            # a broken link is listed as unreadable; a pipe or a device would never end
            if audio and (path.is_file() or path.is_symlink()):
                found.append(path)
    return sorted(found)


def _is_utf8(path: Path) -> bool:
    try:
        path.as_posix().encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True


def _genre(path: Path, base: Path) -> str:
    # The folder right below the base names the genre; folders below it (artist, album) do not.
    return path.relative_to(base).parts[0]
