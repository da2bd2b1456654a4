"""Tracks to leave out or to know of: GTZAN's faulty clips by name, and repeated tracks by sound.

GTZAN is told by its names alone: its ten genres, ``<genre>/<genre>.000NN``, and the two formats it
is handed out in, ``.au`` (the original) and ``.wav`` (the later copies). The format is what tells
it from the demo corpus, whose names are the same and whose files are ``.flac``; nothing else is
looked at, so a part of either is known as well as the whole. A converted GTZAN is not recognised.

What repeats
------------
Two tracks sound the same where their spectrograms do, moment by moment. Each is reduced to how far
it rises above 30 dB below its peak, averaged over 8 frames (0.19 s), so that level, padding and
what lossy coding does to the quiet parts do not count. The distance of two is what differs as a
share of what is there (Bray-Curtis, 0 to 1), and they are the same below `THRESHOLD`, 0.08.

The farthest copy (of 25 to 100 clips and 20 to 50 songs) and the closest pair of other tracks:

==================================================================  ==========  ==========
.                                                                   GTZAN-mini  demo songs
==================================================================  ==========  ==========
copies: flac, stereo, 6 or 30 dB lower, at 44.1 kHz                 .002        .001
at 40 dB above white noise, or in 8 bits                            .006        .004
mp3, ogg (soundfile's defaults)                                     .034        .030
ogg at its lowest quality                                           .046        .045
beginning 12 ms (256 samples) later                                 .071        .071
beginning 23 ms (one hop) later                                     .075        .086
mp3 at 24 kbit/s                                                    .19         .17
beginning 50 ms later                                               .17         .15
6 dB louder and clipped                                             .15         .045
**different** tracks, 30 s                                          .30         .14
different songs, 3 s of each                                        .18         .085
3 s of the same song from another place                             .13         .065
==================================================================  ==========  ==========

Not found, therefore: another excerpt of a recording (mostly also the same one 50 ms
off), another performance, speed or key, a copy that is heavily distorted or equalised. Found
although it is not a copy: sound in which nothing happens (white noise twice: .03). MFCC statistics
will not do: those of an mp3 can lie farther from its original's than 36 of the 99 other clips'.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from genre_vae.collection.catalog import Catalog
from genre_vae.records import FeatureSet, FloatArray, InputError, IntArray, StrArray

GTZAN_FAULTS = Path(__file__).with_name("gtzan_faults.txt")
GTZAN_GENRES = frozenset(
    {"blues", "classical", "country", "disco", "hiphop"}
    | {"jazz", "metal", "pop", "reggae", "rock"}
)
_GTZAN_FILE = re.compile(r"(?:.*/)?(([a-z]+)/\2\.000[0-9]{2})\.(?i:au|wav)")

THRESHOLD = 0.08  # distance below which two tracks are the same: see the table above
DEPTH_DB = 30.0  # below a clip's peak; deeper, codecs and rounding differ more than songs do
POOL = 8  # frames averaged: a copy may begin a little later
SKETCH = 64  # cells summed for a first look: 4 mel bands of a window of 128 frames
BLOCK = 32  # tracks taken at a time


@cache
def gtzan_names() -> frozenset[str]:
    """The clips of GTZAN that the fault-filtered lists leave out, as ``blues/blues.00000``."""
    lines = GTZAN_FAULTS.read_text("utf-8").splitlines()
    return frozenset(line for line in lines if line and not line.startswith("#"))


def _gtzan_name(track_id: str, genre: str) -> str | None:
    found = _GTZAN_FILE.fullmatch(track_id)
    return found[1] if found and found[2] == genre and genre in GTZAN_GENRES else None


def _gtzan_row_names(catalog: Catalog) -> list[str | None]:
    tracks = catalog.tracks
    return [_gtzan_name(*row) for row in zip(tracks["track_id"], tracks["genre"], strict=True)]


def is_gtzan(catalog: Catalog) -> bool:
    """Whether every track of a catalog is named as a clip of GTZAN is; a part of it will do."""
    return None not in _gtzan_row_names(catalog)


def listed(catalog: Catalog) -> npt.NDArray[np.bool_]:
    """(n,) True where GTZAN's list names the track; all False where this is not GTZAN."""
    names = _gtzan_row_names(catalog)
    if None in names:
        return np.zeros(len(names), dtype=bool)
    return np.array([name in gtzan_names() for name in names], dtype=bool)


def without_listed(catalog: Catalog) -> Catalog:
    """The catalog without the clips that GTZAN's list names.

    Raises
    ------
    InputError
        If this is not GTZAN: its list says nothing about other music.
    """
    names = _gtzan_row_names(catalog)
    if None in names:
        other = catalog.tracks["track_id"].iloc[names.index(None)]
        raise InputError(
            f"{catalog.folder}: not GTZAN, the only collection with a list of faulty clips: "
            f"{other} is not named <genre>/<genre>.000NN.wav (or .au) in one of its ten genres"
        )
    return replace(catalog, tracks=catalog.tracks[~listed(catalog)].reset_index(drop=True))


def table(catalog: Catalog, mel: FeatureSet) -> pd.DataFrame:
    """Everything that is known against tracks: GTZAN's list, and what `duplicates` finds.

    Parameters
    ----------
    catalog
        The collection.
    mel : values (n, w, 1, mel, t)
        Of its usable tracks.

    Returns
    -------
    DataFrame with the columns track_id, genre, fault
        A track may be in it twice, once for either reason.
    """
    tracks = catalog.tracks.assign(listed=listed(catalog)).set_index("track_id")
    tracks = tracks.loc[mel.ids.tolist()]
    found = duplicates(mel, tracks["digest"].to_numpy(dtype=str))
    named = tracks[tracks["listed"]].reset_index()[["track_id", "genre"]]
    repeats = found[["track_id", "genre"]].assign(
        fault="the same " + found["same"] + " as " + found["of"]
    )
    parts = [named.assign(fault="in GTZAN's list of faulty clips"), repeats]
    both: pd.DataFrame = pd.concat(parts, ignore_index=True)
    return both.astype(str)


def duplicates(mel: FeatureSet, digests: StrArray) -> pd.DataFrame:
    """Tracks that repeat another one: the same bytes, or the same sound (see the module).

    Parameters
    ----------
    mel : values (n, w, 1, mel, t), in dB below each clip's peak
        Read in blocks; it may be memory-mapped.
    digests : (n,) str
        Of the files' contents, in the order of `mel`.

    Returns
    -------
    DataFrame with the columns track_id, genre, group, same, of
        One row per track to leave out so that each recording stays once, by group and id.
        ``of`` is the track it repeats, the first of its group by id, which has no row itself;
        ``group`` counts from 0 in the order of ``of``; ``same`` is ``"bytes"`` where the two files
        are equal and ``"sound"`` otherwise. Groups are closed: what repeats a repeat is in them.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    if len(digests) != len(mel):
        raise ValueError(f"{len(digests)} digests for {len(mel)} tracks")
    n = len(mel)
    left, right = np.concatenate([_equal(digests), _alike(mel.values)]).T
    graph = coo_array((np.ones(len(left)), (left, right)), shape=(n, n))
    _, component = connected_components(graph, directed=False)

    order = np.argsort(mel.ids)  # so that the order of rows changes nothing
    _, first, inverse = np.unique(component[order], return_index=True, return_inverse=True)
    of = first[inverse]
    repeats = np.flatnonzero(of != np.arange(n))
    repeats = repeats[np.argsort(of[repeats], kind="stable")]
    row, of = order[repeats], of[repeats]
    return pd.DataFrame(
        {
            "track_id": mel.ids[row],
            "genre": mel.labels[row],
            "group": np.unique(of, return_inverse=True)[1],
            "same": np.where(digests[row] == digests[order[of]], "bytes", "sound"),
            "of": mel.ids[order[of]],
        }
    )


def _equal(digests: StrArray) -> IntArray:
    """(pairs, 2) rows of equal content: each with the first of its kind."""
    _, first, kind = np.unique(digests, return_index=True, return_inverse=True)
    pairs = np.stack([first[kind], np.arange(len(digests))], axis=1)
    repeats: IntArray = pairs[pairs[:, 0] != pairs[:, 1]]
    return repeats


def _alike(mel: npt.NDArray[np.floating]) -> IntArray:
    """(pairs, 2) rows of equal sound.

    Sums of cells differ by no more than the cells do, so the distance of two sketches is at most
    that of the tracks: a pair that the sketches tell apart needs no closer look. Only the sketches
    stay in memory.
    """
    starts = range(0, len(mel), BLOCK)
    sketches = np.concatenate([_sketch(_heights(mel[start : start + BLOCK])) for start in starts])
    pairs = [np.empty((0, 2), dtype=np.int64)]
    for rows, others in _candidates(sketches):
        heights = _heights(mel[rows])
        for start in range(0, len(others), BLOCK):
            block = slice(start, start + BLOCK)
            close = _is_close(heights, _heights(mel[others[block]]))
            row, other = np.nonzero(close)
            pairs.append(np.stack([rows[row], others[block][other]], axis=1))
    return np.concatenate(pairs)


def _heights(mel: npt.NDArray[np.floating]) -> FloatArray:
    """(n, w, 1, mel, t) -> (n, w * mel * t / 8) in dB above the depth that counts, 0 or more."""
    above = np.maximum(mel, np.float32(-DEPTH_DB), dtype=np.float32)
    mean = np.full(POOL, 1 / POOL, dtype=np.float32)  # a product is faster than mean(axis=-1)
    pooled: FloatArray = above.reshape(-1, POOL) @ mean + np.float32(DEPTH_DB)
    return pooled.reshape(len(mel), -1)


def _sketch(heights: FloatArray) -> FloatArray:
    """(n, cells) -> (n, cells / 64): sums over 4 mel bands of a window."""
    sums: FloatArray = heights.reshape(len(heights), -1, SKETCH).sum(axis=2)
    return sums


def _is_close(a: FloatArray, b: FloatArray) -> npt.NDArray[np.bool_]:
    """(n, d), (m, d) -> (n, m) whether the distance is below the threshold.

    It is not where both are empty: nothing that counts can be compared.
    """
    from scipy.spatial.distance import cdist

    totals = a.sum(axis=1, dtype=np.float64)[:, None] + b.sum(axis=1, dtype=np.float64)
    close: npt.NDArray[np.bool_] = cdist(a, b, "cityblock") < THRESHOLD * totals
    return close


def _candidates(sketches: FloatArray) -> Iterator[tuple[IntArray, IntArray]]:
    """Blocks of rows and the rows to compare them with: all pairs of close sketches, and others."""
    totals = sketches.sum(axis=1, dtype=np.float64)
    order = np.argsort(totals)
    # Totals are the coarsest sketch of all: close tracks are near each other in their order.
    farthest = totals[order] * (1 + THRESHOLD) / (1 - THRESHOLD)
    ends = np.searchsorted(totals[order], farthest, side="right")
    for start in range(0, len(order), BLOCK):
        rows = order[start : start + BLOCK]
        others = order[start : ends[start + len(rows) - 1]]
        close = np.triu(_is_close(sketches[rows], sketches[others]), k=1)
        if close.any():
            yield rows[close.any(axis=1)], others[close.any(axis=0)]
