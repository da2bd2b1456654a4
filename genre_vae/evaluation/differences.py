"""By how much does the AMI of two clusterings differ, and how sure is that?

Axes: ``n`` tracks, ``h`` random halves of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from genre_vae.evaluation.intervals import LEFT_OUT, half_width, of_seeds, of_tracks
from genre_vae.evaluation.metrics import adjusted_mutual_info, contingency
from genre_vae.records import Assignment, IntArray, StrArray

BoolArray = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]


class Resampled(NamedTuple):
    """Tracks in clusters, and what other tracks and seeds could have made of them.

    Parameters
    ----------
    assignment
    halves : (h, draws, n)
        The clusters that halves of the tracks make, `LEFT_OUT` where a track is in the other half.
    """

    assignment: Assignment
    halves: IntArray


class Difference(NamedTuple):
    """By how much the AMI of `method` is above that of `other`.

    Parameters
    ----------
    method, other
        Names of the two assignments.
    difference
        The mean over seeds; positive where `method` is better.
    low, high
        Ends of its interval, which holds together with those of the same call.
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


def differences(clusterings: Sequence[Resampled], *, planned: bool = False) -> list[Difference]:
    """Compare the AMI of the first clustering with that of each other one.

    The variance of a difference has the two parts that `genre_vae.evaluation.intervals` describes,
    seeds (paired) and tracks (the same halves in both).

    Parameters
    ----------
    clusterings
        The method to compare first. Two are compared on the tracks that both have and whose genre
        the first one knows.
    planned
        Whether the first was named before anyone saw the scores. The intervals then hold for all
        these comparisons together (Bonferroni). Else it is taken to be the best of them, chosen by
        the same scores, and the intervals hold for the differences of all pairs together. (The
        studentised range would be narrower, but each pair has a variance of its own here, and then
        it errs too often: 6 to 7 in 100 for a nominal 5, ten equal methods.)

    Returns
    -------
    list of Difference
        In the order of the others. A pair is left out if it has fewer than two genres in common, or
        too few tracks for halves.
    """
    first, *others = clusterings
    comparisons = len(others) if planned else math.comb(len(clusterings), 2)
    pairs = [_difference(first, other, comparisons=comparisons) for other in others]
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


def _difference(one: Resampled, other: Resampled, *, comparisons: int) -> Difference | None:
    labels = dict(zip(one.assignment.ids.tolist(), one.assignment.labels.tolist(), strict=True))
    ids = sorted(i for i in other.assignment.ids.tolist() if labels.get(i))
    genres = np.array([labels[track_id] for track_id in ids], dtype=str)
    if len(np.unique(genres)) < 2 or not (len(one.halves) and len(other.halves)):
        return None
    (clusters, halves), (other_clusters, other_halves) = (_of(each, ids) for each in (one, other))
    everyone = np.ones(len(ids), dtype=bool)
    paired = _paired(_amis(genres, clusters, everyone), _amis(genres, other_clusters, everyone))
    in_both = (halves[:, 0] != LEFT_OUT) & (other_halves[:, 0] != LEFT_OUT)
    of_halves = np.array(
        [
            _paired(_amis(genres, half, inside), _amis(genres, other_half, inside))
            for half, other_half, inside in zip(halves, other_halves, in_both, strict=True)
        ]
    )
    mean = float(paired.mean())
    parts = [of_seeds(paired), of_tracks(of_halves, share=min(float(in_both.mean()), 0.5))]
    half = half_width(parts, comparisons=comparisons)
    names = one.assignment.name, other.assignment.name
    return Difference(*names, mean, mean - half, mean + half, len(ids), len(paired))


def _paired(scores: Floats, others: Floats) -> Floats:
    """Differences seed by seed; a deterministic result is the same for every seed of the other."""
    seeds = min(len(scores), len(others))
    return scores - others if seeds == 1 else scores[:seeds] - others[:seeds]


def _of(clustering: Resampled, ids: list[str]) -> tuple[IntArray, IntArray]:
    """The clusters and those of halves, of the tracks `ids` alone and in that order."""
    row_of = {track_id: row for row, track_id in enumerate(clustering.assignment.ids.tolist())}
    rows = [row_of[track_id] for track_id in ids]
    return clustering.assignment.clusters[:, rows], clustering.halves[:, :, rows]


def _amis(genres: StrArray, clusters: IntArray, inside: BoolArray) -> Floats:
    """AMI (k,) of clusters (k, n) on the tracks that are `inside`."""
    labels = genres[inside]
    return np.array([adjusted_mutual_info(contingency(labels, one[inside])) for one in clusters])
