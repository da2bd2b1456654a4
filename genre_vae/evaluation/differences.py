"""By how much does the AMI of two clusterings differ, and how sure is that?

Axes: ``n`` tracks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genre_vae.evaluation.metrics import adjusted_mutual_info, contingency
from genre_vae.records import Assignment, StrArray

GROUPS = 20  # groups of tracks that the jackknife leaves out in turn
ALPHA = 0.05  # chance that any of the intervals of one call misses its difference

BoolArray = npt.NDArray[np.bool_]


class Difference(NamedTuple):
    """By how much the AMI of `method` is above that of `other`.

    Parameters
    ----------
    method, other
        Names of the two assignments.
    difference
        The mean over seeds; positive where `method` is better.
    low, high
        Ends of its interval, which holds for all comparisons of one table together.
    n_samples
        Number of tracks that both have and whose genre is known.
    seeds
        Number of pairs of members that were compared.
    """

    method: str
    other: str
    difference: float
    low: float
    high: float
    n_samples: int
    seeds: int

    @property
    def within_noise(self) -> bool:
        """Whether the interval contains zero."""
        return self.low <= 0 <= self.high


def differences(assignments: Sequence[Assignment]) -> list[Difference]:
    """Compare the AMI of the first assignment with that of each other one.

    Two things could have come out otherwise: the seeds, and which tracks were in the collection.
    The variance of a difference is the sum of two parts. The part of the seeds is the variance of
    the mean of paired differences (seed by seed). The part of the tracks is that of the
    delete-a-group jackknife (Kott, 2001): each of `GROUPS` groups of tracks, formed by the hash of
    the id, is left out in turn of both clusterings, and the clusters stay as they are. (A bootstrap
    draws tracks twice, and a track always agrees with itself, which makes its intervals too
    narrow.) The interval is Student's t with Welch & Satterthwaite's degrees of freedom at `ALPHA`
    over the number of comparisons (Bonferroni).

    Parameters
    ----------
    assignments
        Tracks in clusters, the method to compare first. Two are compared on the tracks that both
        have and whose genre the first one knows.

    Returns
    -------
    list of Difference
        In the order of the others. A pair with fewer than two genres in common is left out.
    """
    first, *others = assignments
    pairs = [_difference(first, other, comparisons=len(others)) for other in others]
    return [pair for pair in pairs if pair is not None]


def ami_without(assignment: Assignment, ids: Sequence[str]) -> float:
    """Mean AMI over seeds without some tracks, the clusters as they are.

    Parameters
    ----------
    assignment
        Tracks in clusters.
    ids
        Track ids to leave out; those that the assignment lacks change nothing.

    Returns
    -------
    float
        nan where fewer than two genres are left.
    """
    kept = ~np.isin(assignment.ids, list(ids)) & (assignment.labels != "")
    labels = assignment.labels[kept]
    if len(np.unique(labels)) < 2:
        return float("nan")
    amis = [adjusted_mutual_info(contingency(labels, one[kept])) for one in assignment.clusters]
    return float(np.mean(amis))


def _difference(one: Assignment, other: Assignment, *, comparisons: int) -> Difference | None:
    labels = dict(zip(one.ids.tolist(), one.labels.tolist(), strict=True))
    ids = sorted(i for i in set(one.ids.tolist()) & set(other.ids.tolist()) if labels[i])
    genres = np.array([labels[track_id] for track_id in ids], dtype=str)
    if len(np.unique(genres)) < 2:
        return None
    hashes = [hashlib.blake2b(track_id.encode()).digest() for track_id in ids]
    n_groups = min(GROUPS, len(ids))
    group = np.empty(len(ids), dtype=np.int64)
    group[sorted(range(len(ids)), key=hashes.__getitem__)] = np.arange(len(ids)) % n_groups
    subsets = [np.ones(len(ids), dtype=bool), *(group != left_out for left_out in range(n_groups))]
    # (1 + groups, seeds) of each method; the first row is of all tracks
    scores, other_scores = (_amis(each, ids, genres, subsets) for each in (one, other))
    # A deterministic result is the same for every seed of the other.
    counts = scores.shape[1], other_scores.shape[1]
    seeds = max(counts) if 1 in counts else min(counts)
    paired = scores[:, :seeds] - other_scores[:, :seeds]
    mean, half = float(paired[0].mean()), _half_width(paired, comparisons=comparisons)
    return Difference(one.name, other.name, mean, mean - half, mean + half, len(ids), seeds)


def _half_width(paired: npt.NDArray[np.float64], *, comparisons: int) -> float:
    """Half the interval of a mean of paired differences (1 + groups, seeds)."""
    from scipy.special import stdtrit

    groups, seeds = len(paired) - 1, paired.shape[1]
    parts = [((groups - 1) * paired[1:].mean(axis=1).var(), groups - 1)]
    if seeds > 1:
        parts.append((paired[0].var(ddof=1) / seeds, seeds - 1))
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return 0.0
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    return float(stdtrit(freedom, 1 - ALPHA / 2 / comparisons) * np.sqrt(variance))


def _amis(
    assignment: Assignment, ids: list[str], genres: StrArray, subsets: Sequence[BoolArray]
) -> npt.NDArray[np.float64]:
    """AMI (subsets, seeds) of an assignment on subsets of the tracks `ids`."""
    row_of = {track_id: row for row, track_id in enumerate(assignment.ids.tolist())}
    clusters = assignment.clusters[:, [row_of[track_id] for track_id in ids]]
    return np.array(
        [
            [adjusted_mutual_info(contingency(genres[rows], one[rows])) for one in clusters]
            for rows in subsets
        ]
    )
