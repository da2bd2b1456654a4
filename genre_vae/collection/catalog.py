"""A folder of audio files -> a table with one row per track.

What is in the folder is listed by `genre_vae.collection.listing`, and where the genres of tracks
come from is decided by `genre_vae.collection.genres`. Nothing is decoded here: what a decoder finds
wrong is found in the one pass over the audio that `genre_vae.features.spectral` makes.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from genre_vae.collection import genres as where_from
from genre_vae.collection.digests import content_digests, recall, remember
from genre_vae.collection.genre_tables import GenreTable
from genre_vae.collection.genres import AUTO, FOLDERS, SHOWN, Genres, base_of
from genre_vae.collection.listing import LeftOut, Listing, listing, readable
from genre_vae.collection.tags import Tags
from genre_vae.collection.tags import read as read_tags
from genre_vae.records import InputError, Loudness

FACTS = ("artist", "album", "title")  # what else is known of a track
COLUMNS = ("track_id", "path", "genre", *FACTS, "digest")
MIN_TRACKS = 2


@dataclass(frozen=True, eq=False)
class Catalog:
    """The tracks of one folder.

    Parameters
    ----------
    folder
        The folder that track ids are relative to.
    tracks
        One row per audio file in the order of ``track_id``, with the columns ``track_id`` (path
        below `folder`, with ``/``), ``path``, ``genre``, ``artist``, ``album``, ``title`` (``""``
        where unknown) and ``digest`` (a hash of the file's content).
    left_out
        Every other file below the folder that may have been meant as a track, with its reason.
    lines
        What there is to say of all this, a line each, under a heading.
    loudness
        How loud a track is when its features are measured.
    scanned
        When the files were looked at, in ns since the epoch.
    """

    folder: Path
    tracks: pd.DataFrame
    left_out: tuple[LeftOut, ...] = ()
    lines: tuple[tuple[str, str], ...] = ()
    loudness: Loudness = Loudness.NORMALISED
    scanned: int = 0

    @cached_property
    def fingerprint(self) -> str:
        """A hash of ids, genres, artists, contents and loudness, and of what is left out: equal
        collections have equal ones, wherever they lie and in whatever order they are listed."""
        hasher = hashlib.blake2b(self.loudness.encode(), digest_size=8)
        columns = [self.tracks[name] for name in COLUMNS if name != "path"]
        for row in [*zip(*columns, strict=True), *sorted(self.left_out)]:
            hasher.update("\0".join(row).encode("utf-8", "surrogateescape") + b"\n")
        return hasher.hexdigest()

    @property
    def name(self) -> str:
        return self.folder.name


def scan(
    folder: Path,
    *,
    genres: str = AUTO,
    table: GenreTable | None = None,
    parents: Mapping[str, str] | None = None,
    loudness: Loudness = Loudness.NORMALISED,
    cache: Path | None = None,
    verify: bool = False,
) -> Catalog:
    """List the audio files of a folder.

    Parameters
    ----------
    folder
        A folder of music, in any layout.
    genres
        Where genres come from, one of `genres.CHOICES`; a table is taken whatever it is.
    table
        A table of genres that was named; ``auto`` finds that of the Free Music Archive by itself.
    parents
        As for `genre_vae.collection.genres.choose`.
    loudness
        As for `Catalog`.
    cache
        A folder in which digests and tags are remembered: files whose size and modification time
        are as remembered are not read again. None reads all.
    verify
        Whether to read all files even so.

    Returns
    -------
    Catalog
        The same with and without a cache, unless a file was changed and its size and modification
        time were put back.

    Raises
    ------
    InputError
        If the folder is missing or cannot be read, or holds fewer than two audio files.
    """
    scanned = time.time_ns()
    try:
        if not folder.is_dir():
            what = "a file, not a folder" if folder.is_file() else "no folder"
            raise InputError(f"{what} at {folder}")
        found = listing(folder)
    except OSError as error:
        raise InputError(f"{error.filename}: cannot be read: {error.strerror}") from error
    paths = {path.relative_to(folder).as_posix(): path for path in found.tracks}
    left_out = list(found.left_out)
    base = base_of(list(paths)) if genres in (AUTO, FOLDERS) and table is None else ""
    for track_id in [track_id for track_id in paths if not track_id.startswith(base)]:
        del paths[track_id]
        left_out.append(LeftOut(track_id, f"outside {base}, whose folders are the genres"))
    if len(paths) < MIN_TRACKS:
        raise InputError(f"{folder}: {_too_few(list(paths), left_out)}")

    files = list(paths.values())
    digests = content_digests(files, remembered=_file(cache, "digests"), verify=verify)
    tags = _tags(files, digests, _file(cache, "tags"))
    tracks = pd.DataFrame(
        {
            "track_id": list(paths),
            "path": [str(path) for path in files],
            "genre": "",
            **{fact: [getattr(one, fact) for one in tags] for fact in FACTS},
            "digest": digests,
        }
    )
    if table is None and genres == AUTO:
        table = GenreTable.beside(folder, list(paths))
    chosen, lines = _genres(tracks, tags, genres, table, parents)
    counts = [_listed(paths, found, left_out), *_left_out(left_out)]
    return Catalog(
        folder,
        tracks.assign(genre=chosen.labels),
        tuple(left_out),
        (*(("data", line) for line in counts), *(("genres", line) for line in lines)),
        loudness,
        scanned,
    )


def _genres(
    tracks: pd.DataFrame,
    tags: Sequence[Tags],
    given: str,
    table: GenreTable | None,
    parents: Mapping[str, str] | None,
) -> tuple[Genres, list[str]]:
    """The genres, and the sentences about them; what else a table knows is added to `tracks`."""
    ids = tracks["track_id"].tolist()
    if table is None:
        chosen = where_from.choose(ids, tags, given=given, parents=parents)
        return chosen, list(chosen.lines)
    matched = table.of(ids)
    for fact in FACTS:
        tracks[fact] = matched[fact].where(matched[fact] != "", tracks[fact])
    own = table.name, matched["genre"].tolist()
    chosen = where_from.choose(ids, tags, given=AUTO, table=own, parents=parents)
    return chosen, list(chosen.lines)


def _tags(files: Sequence[Path], digests: Sequence[str], remembered: Path | None) -> list[Tags]:
    """The tags of files, remembered by content: those of a moved file are not read again."""
    known = recall(remembered, _as_tags)
    fresh: dict[str, Tags] = {}
    for path, digest in zip(files, digests, strict=True):
        if digest not in known and digest not in fresh:
            fresh[digest] = read_tags(path)
    remember(remembered, fresh, _as_tags)
    return [known.get(digest) or fresh[digest] for digest in digests]


def _as_tags(entry: Any) -> Tags:
    genres, *facts = entry
    if not all(isinstance(text, str) for text in (*genres, *facts)):
        raise TypeError("tags are text")
    return Tags(tuple(genres), *facts)


def _file(cache: Path | None, name: str) -> Path | None:
    return None if cache is None else cache / f"{name}.json"


def _listed(ids: Mapping[str, Path], found: Listing, left_out: Sequence[LeftOut]) -> str:
    """How many files there are of each kind."""
    parts = [f"{len(ids)} audio files"]
    linked = len(set(found.linked) & set(ids.values()))
    if linked:
        parts[0] += f" ({linked} of them linked)"
    companions = found.companions
    if companions:
        kinds = ", ".join(f"{count} {kind}" for kind, count in companions.most_common(SHOWN))
        more = "" if len(companions) <= SHOWN else ", ..."
        parts.append(f"{companions.total()} beside them that are none ({kinds}{more})")
    other = len(left_out) - len(found.others)
    if other:
        parts.append(f"{other} other{'s' * (other > 1)} left out")
    if found.others:
        which = "links and" if len(found.others) > 1 else "link or"
        parts.append(f"{len(found.others)} {which} the like left out")
    return ", ".join(parts)


def _left_out(left_out: Sequence[LeftOut]) -> list[str]:
    """What is left out, by its reason."""
    reasons: dict[str, list[str]] = {}
    for name, reason in left_out:
        reasons.setdefault(reason, []).append(readable(name))
    return [f"left out: {where_from.named(found)}: {reason}" for reason, found in reasons.items()]


def _too_few(ids: Sequence[str], left_out: Sequence[LeftOut]) -> str:
    found = f"only {readable(ids[0])}" if ids else "none"
    others = f"; {_left_out(left_out)[0]}" if left_out else ""
    return f"expected a folder with audio files in it or in its folders, found {found}{others}"
