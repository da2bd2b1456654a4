"""Tracks that repeat another track of the collection, found by their bytes and by their sound.

Two tracks sound the same where their spectrograms do, moment by moment. Each spectrogram is reduced
to how far it rises above 30 dB below its peak, averaged over 8 frames (0.19 s), so that level,
padding and the effects of lossy coding on the quiet parts do not count. The distance of two tracks
is the Bray-Curtis dissimilarity (0 to 1), and two tracks are the same below `THRESHOLD`, 0.08.

The distance of the farthest copy (among 25 to 100 clips and 20 to 50 songs), and of the closest
pair of other tracks:

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

Therefore not found: another excerpt of a recording (mostly also the same excerpt 50 ms later),
another performance, speed or key, and a copy that is heavily distorted or equalised. Found although
it is not a copy: sound in which nothing happens (two clips of white noise: .03).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from genre_vae.records import FeatureSet, FloatArray, IntArray, StrArray

THRESHOLD = 0.08  # distance below which two tracks are the same: see the table above
DEPTH_DB = 30.0  # below a clip's peak; deeper, codecs and rounding differ more than songs do
POOL = 8  # frames averaged: a copy may begin a little later
SKETCH = 64  # cells summed for a first look: 4 mel bands of a window of 128 frames
BLOCK = 32  # tracks taken at a time


def duplicates(mel: FeatureSet, digests: StrArray) -> pd.DataFrame:
    """Tracks that repeat another track: the same bytes, or the same sound (see the module).

    Parameters
    ----------
    mel : values (n, w, 1, mel, t), in dB below each clip's peak
        Read in blocks; it may be memory-mapped.
    digests : (n,) str
        Hashes of the files' contents, in the order of `mel`.

    Returns
    -------
    DataFrame with the columns track_id, genre, group, same, of
        One row per track to leave out so that each recording stays once, sorted by group and id.
        ``of`` is the track that it repeats, the first of its group by id, which has no row itself;
        ``group`` counts from 0 in the order of ``of``; ``same`` is ``"bytes"`` where the two files
        are equal and ``"sound"`` otherwise. Groups are closed: they hold what repeats a repeat.
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
    that of the tracks: a pair whose sketches are apart needs no closer look. Only the sketches
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
