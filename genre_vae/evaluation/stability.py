"""How far the clusters of two halves of the tracks agree, for many numbers of clusters at once.

Axes: ``n`` tracks, ``d`` dimensions, ``m`` tracks of a half, ``k`` numbers of clusters, from two
up, ``c`` clusters at the highest of them.

Each half is clustered by itself, and the tracks of either are also put into the nearest cluster of
the other. Where both say the same, their adjusted Rand index is 1. That is the idea of prediction
strength (Tibshirani & Walther, 2005, "Cluster validation by prediction strength"), with an index
that is 0 by chance in place of the worst cluster's share of pairs.

The clusters are Ward's: one tree gives every number of them, so that thousands of halves can be
clustered in seconds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from genre_vae.records import IntArray

Floats = npt.NDArray[np.float64]


def squared_distances(values: Floats) -> Floats:
    """Squared Euclidean distances between rows (n, d) -> (n, n)."""
    squares = (values**2).sum(axis=1)
    found: Floats = np.maximum(squares[:, None] + squares - 2 * values @ values.T, 0)
    np.fill_diagonal(found, 0)
    return found


def ward(squared: Floats, most: int) -> tuple[IntArray, IntArray]:
    """Ward's clusters, as many as every number from 2 to `most`.

    Parameters
    ----------
    squared : (m, m)
        Squared distances.

    Returns
    -------
    finest : (m,)
        The cluster of each row, 0 to ``most - 1``, where there are most.
    merged : (k, most)
        The cluster that each of these belongs to where there are fewer: row i has i + 2 of them,
        each with the number of one of its parts.
    """
    from scipy.cluster.hierarchy import linkage
    from scipy.spatial.distance import squareform

    condensed = squareform(squared, checks=False)
    joined = linkage(np.sqrt(condensed), "ward")[:, :2].astype(np.int64)  # two nodes a step
    m = len(squared)
    first = m - most  # steps after which there are `most` clusters
    parent = np.arange(2 * m - 1)
    parent[joined[:first]] = m + np.arange(first)[:, None]
    while (parent != parent[parent]).any():
        parent = parent[parent]
    nodes, finest = np.unique(parent[:m], return_inverse=True)
    number = dict(zip(nodes.tolist(), range(most), strict=True))
    merged = [np.arange(most)]
    for step, (one, other) in enumerate(joined[first : m - 2].tolist(), start=first):
        kept, gone = number[one], number[other]
        merged.append(np.where(merged[-1] == gone, kept, merged[-1]))
        number[m + step] = kept
    return finest.astype(np.int64), np.stack(merged[::-1])


def nearest_clusters(
    across: Floats, within: Floats, finest: IntArray, merged: IntArray
) -> IntArray:
    """The clusters of one half whose means are nearest to the rows of the other.

    The squared distance from a row to a cluster's mean is its mean squared distance to the
    cluster's rows, less half the mean squared distance between these.

    Parameters
    ----------
    across : (m, m)
        Squared distances from the rows that are placed to those that were clustered.
    within : (m, m)
        Squared distances between those that were clustered.
    finest, merged
        From `ward`.

    Returns
    -------
    (k, m)
        A cluster for each number of clusters and each row that is placed.
    """
    most = merged.shape[1]
    to_finest = np.eye(most)[finest]
    to_merged = np.eye(most)[merged]  # (k, finest, cluster)
    sizes = to_finest.sum(axis=0) @ to_merged  # (k, cluster), 0 where a number is not used
    sums = (across @ to_finest) @ to_merged  # (k, m, cluster)
    between = to_finest.T @ within @ to_finest
    inside = ((between @ to_merged) * to_merged).sum(axis=1)  # (k, cluster)
    filled = np.maximum(sizes, 1)
    squared = sums / filled[:, None] - (inside / (2 * filled**2))[:, None]
    found: IntArray = np.where(sizes[:, None] > 0, squared, np.inf).argmin(axis=2)
    return found


def adjusted_rand(one: IntArray, other: IntArray, most: int) -> Floats:
    """The adjusted Rand index (Hubert & Arabie, 1985) of many pairs of clusterings.

    It equals scikit-learn's ``adjusted_rand_score`` of each pair, all at once: resampling needs
    tens of thousands.

    Parameters
    ----------
    one, other : (k, m)
        Cluster numbers, 0 to ``most - 1``.

    Returns
    -------
    (k,)
    """
    count, m = one.shape
    cells = (np.arange(count)[:, None] * most + one) * most + other
    table = np.bincount(cells.ravel(), minlength=count * most**2).reshape(count, most, most)

    def pairs(sizes: IntArray) -> Floats:
        total: Floats = (sizes * (sizes - 1) / 2).reshape(count, -1).sum(axis=1)
        return total

    both, first, second = pairs(table), pairs(table.sum(axis=2)), pairs(table.sum(axis=1))
    expected = first * second / (m * (m - 1) / 2)
    possible = (first + second) / 2 - expected
    alike = possible == 0  # as when both have each row by itself
    return np.where(alike, 1.0, (both - expected) / np.where(alike, 1.0, possible))


def stability(squared: Floats, halves: Sequence[tuple[IntArray, IntArray]], most: int) -> Floats:
    """How far the clusters of two halves agree, for every number of clusters from 2 to `most`.

    Parameters
    ----------
    squared : (n, n)
        Squared distances.
    halves
        Pairs of rows (m,) and (m,), m at least `most`.

    Returns
    -------
    (halves, k)
        Adjusted Rand indices: 1 where the halves say the same, 0 as by chance.
    """
    found = np.empty((len(halves), most - 1))
    for number, (one, other) in enumerate(halves):
        in_one, in_other = squared[np.ix_(one, one)], squared[np.ix_(other, other)]
        across = squared[np.ix_(one, other)]
        of_one, of_other = ward(in_one, most), ward(in_other, most)
        by_other = nearest_clusters(across, in_other, *of_other)
        by_one = nearest_clusters(across.T, in_one, *of_one)
        found[number] = (
            adjusted_rand(by_other, of_one[1][:, of_one[0]], most)
            + adjusted_rand(by_one, of_other[1][:, of_other[0]], most)
        ) / 2
    return found
