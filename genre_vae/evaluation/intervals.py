"""How far could a score have come out otherwise?

Two things could have been otherwise: the seeds, and which tracks were in the collection. The
variance of a score's mean over seeds is the sum of two parts:

- seeds: the variance of the mean of the scores that the seeds gave, the tracks as they are;
- tracks: random halves of the tracks are clustered again, with the same seeds, and scored (half
  samples, McCarthy, 1969; a delete-half jackknife, Shao & Wu, 1989). A half is to the collection
  what the collection is to all music like it. With half the tracks its score has twice the
  variance, and halves of one collection have half of that in common, so the variance over halves
  is the one that is wanted. A large collection has smaller parts than halves, of `MOST` tracks, and
  their variance is scaled to it.

To leave out a few tracks and keep the clusters (a jackknife) costs less, but does not see that
other tracks would have made other clusters: two genres that merge in one collection do not in
another. A bootstrap draws tracks twice, and a track always agrees with itself.

The interval is Student's t with Welch & Satterthwaite's degrees of freedom. What the clusterer's
random starts do is in both parts, so where they are most of it the interval errs to the wide side.
What no half can tell is not in it: a model is not trained again on each half, and tracks of one
artist are taken for independent.

Axes: ``n`` tracks, ``h`` halves.

References
----------
McCarthy (1969), "Pseudo-replication: half samples". Shao & Wu (1989), "A general theory for
jackknife variance estimation". Satterthwaite (1946), "An approximate distribution of estimates of
variance components".
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genre_vae.records import StrArray

HALVES = 16  # random halves of the tracks
MOST = 1000  # tracks of a half, at most: clustering it again should take seconds
DRAWS = 5  # seeds with which a half is clustered, at most
MIN_SEEDS = 3  # values behind an interval: of two, Student's t says hardly more than the range
LEFT_OUT = -2  # stands for the cluster of a track that is not in a half; -1 is noise
ALPHA = 0.05  # chance that an interval, or any of several made together, misses

BoolArray = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class Part(NamedTuple):
    """A part of a variance, nan where it is undefined, and the degrees of freedom behind it."""

    variance: float
    freedom: float


class Interval(NamedTuple):
    """The 95 % interval of a mean over seeds. What is undefined is nan.

    Parameters
    ----------
    low, high
        Ends of the interval over seeds and tracks together, within the metric's range.
    seeds, tracks
        Half the interval over seeds alone, and over tracks alone.
    """

    low: float
    high: float
    seeds: float
    tracks: float


def halves_of(ids: Sequence[str] | StrArray) -> BoolArray:
    """Random halves of some tracks, by the hashes of their ids.

    Parameters
    ----------
    ids : (n,)
        Track ids, unique. Their order does not matter to which tracks are in a half, and of most
        of these tracks the halves are nearly the same.

    Returns
    -------
    (h, n) bool
        Each with ``n // 2`` tracks, or `MOST`.
    """
    width = 8 * HALVES
    digests = [hashlib.shake_128(str(track_id).encode()).digest(width) for track_id in ids]
    numbers = np.frombuffer(b"".join(digests), dtype="<u8").reshape(len(digests), HALVES)
    ranks = numbers.argsort(axis=0).argsort(axis=0)
    return np.asarray((ranks < min(len(digests) // 2, MOST)).T)


def of_seeds(scores: npt.ArrayLike) -> Part:
    """The variance of a mean over seeds, by the seeds.

    Parameters
    ----------
    scores : (seeds,)
        One for each seed. A single one has no variance: whatever gave it is deterministic.
    """
    values = np.asarray(scores, dtype=np.float64)
    if len(values) == 1:
        return Part(0.0, 1)
    return Part(float(values.var(ddof=1) / len(values)), len(values) - 1)


def of_tracks(halves: Floats, *, share: float = 0.5) -> Part:
    """The variance of a mean over seeds, by which tracks there are.

    Parameters
    ----------
    halves : (h, draws)
        Scores of halves of the tracks, each clustered with as many seeds as there are draws. Where
        there are none the variance is nan.
    share
        The part of the tracks that is in each, up to a half.
    """
    if not len(halves):
        return Part(float("nan"), 1)
    variance = share / (1 - share) * halves.mean(axis=1).var(ddof=1)
    return Part(float(variance), len(halves) - 1)


def half_width(parts: Sequence[Part], *, comparisons: int = 1) -> float:
    """Half an interval (Student's t) from the parts of a variance.

    Parameters
    ----------
    parts
        Their sum is the variance.
    comparisons
        How many intervals hold together (Bonferroni).

    Returns
    -------
    float
        0 where nothing varies; nan where a part is undefined.
    """
    from scipy.special import stdtrit

    variance = sum(part.variance for part in parts)
    if np.isnan(variance) or variance == 0:
        return float(variance)
    freedom = variance**2 / sum(part.variance**2 / part.freedom for part in parts)
    return float(stdtrit(freedom, 1 - ALPHA / 2 / comparisons) * np.sqrt(variance))


def interval(
    scores: npt.ArrayLike,
    halves: Floats,
    *,
    share: float = 0.5,
    random: bool,
    limits: tuple[float, float],
) -> Interval:
    """The interval of a score's mean over seeds.

    Parameters
    ----------
    scores : (seeds,)
        One for each seed.
    halves : (h, draws)
        Scores of halves of the tracks; empty where none could be made.
    share
        As for `of_tracks`.
    random
        Whether other seeds would have given other scores. A random method with fewer than
        `MIN_SEEDS` seeds has no interval.
    limits
        The score's lowest and highest possible value.
    """
    values = np.asarray(scores, dtype=np.float64)
    mean = float(values.mean())
    few = random and len(values) < MIN_SEEDS
    seeds = Part(float("nan"), 1) if few else of_seeds(values)
    tracks = of_tracks(halves, share=share)
    half = half_width([seeds, tracks])
    low, high = np.clip([mean - half, mean + half], *limits).tolist()
    return Interval(low, high, half_width([seeds]), half_width([tracks]))
