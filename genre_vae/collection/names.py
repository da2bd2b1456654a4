"""The one matcher of names to tracks: what a file made elsewhere calls a track, joined to its id.

Lyrics files and files of vectors name tracks as their makers like: by the track's id, by its path
within the genres' folder, by a longer path from another machine, or by the bare file name; with or
without an audio suffix, and in any case. Rows are never joined by their place in a file.

A *key* is what such a file calls one of its rows. How precisely a key names a track is its rank:

====  =======================================================================================
0     the track's id, to the letter
1     the id, as `normalise_name` writes it
2     the path within the genres' folder
3, 4  a longer path, with ``/`` or ``\\``, that ends in the id (3) or in the path of rank 2 (4)
5     the file name alone
====  =======================================================================================
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from genre_vae.collection.listing import AUDIO_SUFFIXES

# Suffixes that files of the same songs have elsewhere, whether or not they are read here.
_SUFFIXES = AUDIO_SUFFIXES | {
    *(
        ".m4a",
        ".m4b",
        ".mp4",
        ".aac",
        ".opus",
        ".wma",
        ".asf",
        ".wv",
        ".ape",
        ".mpc",
        ".tta",
        ".mp2",
    ),
    *(".aifc", ".caf", ".w64", ".rf64", ".mka", ".mkv", ".webm", ".snd", ".dsf", ".dff", ".alac"),
}

NO_KEY = "no row in the file"
SEVERAL_KEYS = "several rows fit"
KEY_SHARED = "its row fits several tracks"
NO_TRACK = "no such track"
SEVERAL_TRACKS = "fits several tracks"
OTHER_KEY = "another row fits its track"
_LONGER_PATHS, _FILE_NAME = (3, 4), 5  # ranks


class LeftOut(NamedTuple):
    """A track or a key that was not joined: its `name`, the `side` it is on (``"track"`` or
    ``"file"``) and the `reason`, one of this module's constants."""

    name: str
    side: str
    reason: str


class Joined(NamedTuple):
    """Keys joined to tracks: ``key_of`` is the number of the key of each track that has one, in
    the order of tracks; ``left_out`` is everything else on either side; ``tied`` are the numbers of
    the keys that fit a track equally well, for each track that several do."""

    key_of: dict[int, int]
    left_out: list[LeftOut]
    tied: dict[int, list[int]]


def normalise_name(name: str) -> str:
    """A file's name in the one spelling that is compared: without its audio suffix, case-folded
    and with composed accents (NFC)."""
    stem, dot, suffix = name.rpartition(".")
    is_audio = f"{dot}{suffix}".lower() in _SUFFIXES
    return unicodedata.normalize("NFC", stem if is_audio else name).casefold()


def letters_of(name: str) -> str:
    """A name's letters and digits, case-folded (NFKC), unless it has none: what people mean to be
    the same title, artist or genre, however it is punctuated."""
    folded = unicodedata.normalize("NFKC", name).casefold()
    return "".join(filter(str.isalnum, folded)) or folded.strip()


def name_variants(track_id: str) -> tuple[str, str, str]:
    """What a file made elsewhere may call a track, each normalised, the most precise first: its
    id, its path within the genres' folder, and its file's name."""
    path = normalise_name(track_id)
    return path, re.sub("^(.*/)?genres(_original)?/", "", path), path.rpartition("/")[2]


def join(keys: Sequence[str], ids: Sequence[str], *, shared: bool = False) -> Joined:
    """Give every track the key that names it most precisely.

    Parameters
    ----------
    keys
        What a file calls its rows.
    ids
        Track ids. Neither their order nor that of `keys` changes what is joined.
    shared
        Whether one key may serve several tracks, as a song's words may. A track then prefers keys
        that are one of its names as they stand to keys that only end in one or need their slashes
        mended. Otherwise a key belongs to the track that it names most precisely, and to none where
        that is not a single one.

    Returns
    -------
    Joined
        A track gets a key only where a single one fits it best; a tie gives it none.
    """
    names = _Names(ids)
    claims: list[list[tuple[int, int]]] = [[] for _ in ids]  # (rank, key) of what names the track
    contested: set[int] = set()  # tracks of a key that names several tracks equally precisely
    left_out: list[LeftOut] = []
    for number, key in enumerate(keys):
        matches = list(names.matches(key))
        if not shared:
            matches = matches[:1]
        if not matches:
            left_out.append(LeftOut(key, "file", NO_TRACK))
        elif not shared and len(matches[0][1]) > 1:
            contested.update(matches[0][1])
            left_out.append(LeftOut(key, "file", SEVERAL_TRACKS))
        else:
            for rank, tracks in matches:
                behind = _FILE_NAME + 1 if shared and _is_mended(key, rank) else 0
                for track in tracks:
                    claims[track].append((behind + rank, number))

    key_of: dict[int, int] = {}
    tied: dict[int, list[int]] = {}
    for track, claim in enumerate(claims):
        most_precise = min((rank for rank, _ in claim), default=0)
        best = [number for rank, number in claim if rank == most_precise]
        if len(best) == 1:
            key_of[track] = best[0]
        else:
            if best:
                tied[track] = best
            without = KEY_SHARED if track in contested else NO_KEY
            left_out.append(LeftOut(ids[track], "track", SEVERAL_KEYS if best else without))
    claimed = {number for claim in claims for _, number in claim}
    unused = sorted(claimed - set(key_of.values()))
    left_out += [LeftOut(keys[number], "file", OTHER_KEY) for number in unused]
    return Joined(key_of, left_out, tied)


class _Names:
    """Track numbers by what each track may be called."""

    def __init__(self, ids: Sequence[str]) -> None:
        self._ids: dict[str, list[int]] = {}
        self._paths: dict[str, list[int]] = {}
        self._within_genres: dict[str, list[int]] = {}
        self._files: dict[str, list[int]] = {}
        for track, track_id in enumerate(ids):
            path, within, file = name_variants(_with_slashes(track_id))
            self._ids.setdefault(track_id, []).append(track)
            self._paths.setdefault(path, []).append(track)
            self._within_genres.setdefault(within, []).append(track)
            self._files.setdefault(file, []).append(track)

    def matches(self, key: str) -> Iterator[tuple[int, list[int]]]:
        """The ranks at which a key names tracks, the most precise first, with those tracks."""
        if key in self._ids:
            yield 0, self._ids[key]
        name = normalise_name(_with_slashes(key))
        parts = name.split("/")
        for start in range(len(parts)):  # the longest ending first, and no shorter one after it
            ending = "/".join(parts[start:])
            longer = 2 if start else 0
            if ending in self._paths:
                yield 1 + longer, self._paths[ending]
            if ending in self._within_genres:
                yield 2 + longer, self._within_genres[ending]
            if ending in self._paths or ending in self._within_genres:
                break
        if name in self._files:
            yield _FILE_NAME, self._files[name]


def _is_mended(key: str, rank: int) -> bool:
    """Whether a key names a track only at its end, or only after its slashes are mended."""
    return rank in _LONGER_PATHS or (rank > 0 and key != _with_slashes(key))


def _with_slashes(path: str) -> str:
    """A path as the catalog writes it, whatever system it is from."""
    parts = path.strip().replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", "."))
