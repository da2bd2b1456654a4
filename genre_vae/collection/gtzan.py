"""GTZAN's faulty clips, by name.

GTZAN is recognised by its names alone: its ten genres, ``<genre>/<genre>.000NN``, and the two
formats in which it is distributed, ``.au`` (the original) and ``.wav`` (the later copies). Nothing
else is looked at, so a part of it is recognised as well as the whole. The format is what sets it
apart from the demo corpus, whose names are the same and whose files are ``.flac``; a GTZAN that was
converted to another format is therefore not recognised.
"""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from genre_vae.collection.catalog import Catalog
from genre_vae.records import InputError

FAULTS_FILE = "gtzan_faults.txt"  # beside this module
GENRES = frozenset(
    {"blues", "classical", "country", "disco", "hiphop"}
    | {"jazz", "metal", "pop", "reggae", "rock"}
)
_CLIP = re.compile(r"(?:.*/)?(([a-z]+)/\2\.000[0-9]{2})\.(?i:au|wav)")


@cache
def faulty_names() -> frozenset[str]:
    """The clips of GTZAN that the fault-filtered lists leave out, as ``blues/blues.00000``."""
    lines = Path(__file__).with_name(FAULTS_FILE).read_text("utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def _clip_name(track_id: str, genre: str) -> str | None:
    found = _CLIP.fullmatch(track_id)
    return found[1] if found and found[2] == genre and genre in GENRES else None


def _clip_names(catalog: Catalog) -> list[str | None]:
    """The name of each track as a clip of GTZAN; None for a track that cannot be one."""
    tracks = catalog.tracks
    return [_clip_name(*row) for row in zip(tracks["track_id"], tracks["genre"], strict=True)]


def listed(catalog: Catalog) -> npt.NDArray[np.bool_]:
    """(n,) True where GTZAN's list names the track; all False where this is not GTZAN."""
    names = _clip_names(catalog)
    if None in names:
        return np.zeros(len(names), dtype=bool)
    return np.array([name in faulty_names() for name in names], dtype=bool)


def without_listed(catalog: Catalog) -> Catalog:
    """The catalog without the clips that GTZAN's list names.

    Raises
    ------
    InputError
        If this is not GTZAN: its list says nothing about other music.
    """
    names = _clip_names(catalog)
    if None in names:
        other = catalog.tracks["track_id"].iloc[names.index(None)]
        raise InputError(
            f"{catalog.folder}: not GTZAN, the only collection with a list of faulty clips: "
            f"{other} is not named <genre>/<genre>.000NN.wav (or .au) in one of its ten genres"
        )
    return replace(catalog, tracks=catalog.tracks[~listed(catalog)].reset_index(drop=True))
