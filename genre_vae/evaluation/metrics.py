"""How good is a clustering? Pure functions of arrays.

Conventions
-----------
``n`` tracks with values (n, d), clusters (n,) int and labels (n,) str. A cluster number of -1 is
noise: label metrics count noise as one more cluster, internal metrics leave its tracks out.
Undefined metrics are ``nan``: internal ones with fewer than two clusters or as many clusters as
tracks, label metrics with fewer than two genres. Tracks whose label is unknown (``""``) count for
internal metrics only.

Metrics
-------
========================  =========  ====================================================
silhouette                [-1, 1]    Rousseeuw (1987); compares clusterings of one space only
calinski_harabasz         [0, inf)   Calinski & Harabasz (1974); likewise
davies_bouldin            [0, inf)   Davies & Bouldin (1979), lower is better; likewise
nmi                       [0, 1]     normalised mutual information, arithmetic mean
ami, ari                  (-1, 1]    adjusted for chance: 0 for an independent clustering
purity                    (0, 1]     share of tracks in their cluster's majority genre
accuracy                  [0, 1]     best one-to-one assignment of clusters to genres
========================  =========  ====================================================

NMI, purity and accuracy are not 0 by chance, and the more clusters or the fewer tracks the
further from it: ``nmi_chance``, ``purity_chance`` and ``accuracy_chance`` are their expectations
when the clusters are permuted at random among the tracks (the permutation model of Vinh, Epps &
Bailey, 2010).

scipy and scikit-learn are imported where they are used: a run that only finds finished work again
needs neither.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from genre_vae.records import IntArray, StrArray

CHANCE_DRAWS = 200  # permutations behind a chance level: standard error under .003 for n >= 100
INTERNAL = ("silhouette", "calinski_harabasz", "davies_bouldin")
LABEL = ("nmi", "ami", "ari", "purity", "accuracy")
GROUPS = ("artist", "album", "source")  # what tracks may share beside the genre
CHANCE = ("nmi_chance", "purity_chance", "accuracy_chance")  # of metrics that are not 0 by chance
RANGES = {  # lowest and highest value
    "silhouette": (-1.0, 1.0),
    "calinski_harabasz": (0.0, np.inf),
    "davies_bouldin": (0.0, np.inf),
    "nmi": (0.0, 1.0),
    "ami": (-1.0, 1.0),
    "ari": (-1.0, 1.0),
    "purity": (0.0, 1.0),
    "accuracy": (0.0, 1.0),
}


def contingency(labels: StrArray, clusters: IntArray) -> IntArray:
    """(genres, clusters) counts, both in sorted order."""
    genres, rows = np.unique(labels, return_inverse=True)
    numbers, columns = np.unique(clusters, return_inverse=True)
    table = np.zeros((len(genres), len(numbers)), dtype=np.int64)
    np.add.at(table, (rows, columns), 1)
    return table


def purity(labels: StrArray, clusters: IntArray) -> float:
    """Share of tracks whose genre is the majority genre of their cluster."""
    return float(contingency(labels, clusters).max(axis=0).sum() / len(labels))


def accuracy(labels: StrArray, clusters: IntArray) -> float:
    """Share of tracks on the best one-to-one assignment of clusters to genres (Kuhn, 1955)."""
    from scipy.optimize import linear_sum_assignment

    table = contingency(labels, clusters)
    return float(table[linear_sum_assignment(table, maximize=True)].sum() / len(labels))


def davies_bouldin(values: npt.NDArray[np.float64], clusters: IntArray) -> float:
    """The index of Davies & Bouldin (1979) of clusters without noise, as scikit-learn has it."""
    from scipy.spatial.distance import cdist

    numbers, rows, counts = np.unique(clusters, return_inverse=True, return_counts=True)
    members = np.eye(len(numbers))[rows].T / counts[:, None]  # (clusters, n), rows sum to 1
    centres = members @ values
    within = members @ np.linalg.norm(values - centres[rows], axis=1)
    apart = cdist(centres, centres)
    if np.allclose(within, 0) or np.allclose(apart, 0):
        return 0.0
    apart[apart == 0] = np.inf
    return float(((within[:, None] + within) / apart).max(axis=1).mean())


def adjusted_rand(table: IntArray) -> float:
    """ARI (Hubert & Arabie, 1985) of a contingency table of two genres or more."""

    def pairs(counts: IntArray) -> float:
        return float((counts * (counts - 1) // 2).sum())

    both, genres, clusters = (pairs(table), pairs(table.sum(axis=1)), pairs(table.sum(axis=0)))
    by_chance = genres * clusters / pairs(table.sum(keepdims=True))
    most = (genres + clusters) / 2
    return (both - by_chance) / (most - by_chance) if most > by_chance else 1.0


def normalized_mutual_info(table: IntArray) -> float:
    """NMI, normalised by the arithmetic mean, of a contingency table of two genres or more."""
    mutual, of_genres, of_clusters = _information(table)
    return float(np.clip(mutual / ((of_genres + of_clusters) / 2), 0, 1))


def _information(table: IntArray) -> tuple[float, float, float]:
    """Mutual information, and the entropies of genres and clusters (nats)."""
    from scipy.special import xlogy

    n = table.sum()
    of_genres, of_clusters = (
        -float(xlogy(shares, shares).sum())
        for shares in (table.sum(axis=1) / n, table.sum(axis=0) / n)
    )
    mutual = float(xlogy(table / n, table / n).sum()) + of_genres + of_clusters
    return mutual, of_genres, of_clusters


def adjusted_mutual_info(table: IntArray) -> float:
    """AMI (Vinh, Epps & Bailey, 2010) of a contingency table.

    It equals scikit-learn's ``adjusted_mutual_info_score`` in a tenth of its time: resampling calls
    it thousands of times.

    Parameters
    ----------
    table : (genres, clusters)
        Counts. Empty rows and columns are left out.

    Returns
    -------
    float
        As scikit-learn has it, 0 for a single cluster of several genres or several clusters of a
        single genre, and 1 for a single one of either.
    """
    from sklearn.metrics.cluster import expected_mutual_information

    table = table[table.any(axis=1)][:, table.any(axis=0)]
    if min(table.shape) < 2:
        return float(max(table.shape) < 2)
    mutual, of_genres, of_clusters = _information(table)
    expected = expected_mutual_information(table, int(table.sum()))
    return float((mutual - expected) / ((of_genres + of_clusters) / 2 - expected))


def nmi_chance(labels: StrArray, clusters: IntArray) -> float:
    """Expected NMI when the clusters are permuted at random among the tracks (exact)."""
    from scipy.special import xlogy
    from sklearn.metrics.cluster import expected_mutual_information

    table = contingency(labels, clusters)
    n = len(labels)
    entropies = [-xlogy(p, p).sum() for p in (table.sum(axis=1) / n, table.sum(axis=0) / n)]
    if sum(entropies) == 0:
        return float("nan")  # one genre in one cluster: NMI itself is 1 by convention only
    return float(expected_mutual_information(table, n) / np.mean(entropies))


def purity_chance(labels: StrArray, clusters: IntArray) -> float:
    """Expected purity when the clusters are permuted at random among the tracks.

    It is the mean over `CHANCE_DRAWS` permutations with a fixed seed.
    """
    purities = [float(table.max(axis=0).sum()) for table in _permuted_tables(labels, clusters)]
    return float(np.mean([purity / len(labels) for purity in purities]))


def accuracy_chance(labels: StrArray, clusters: IntArray) -> float:
    """Expected accuracy when the clusters are permuted at random, as for `purity_chance`."""
    from scipy.optimize import linear_sum_assignment

    matched = [
        table[linear_sum_assignment(table, maximize=True)].sum()
        for table in _permuted_tables(labels, clusters)
    ]
    return float(np.mean(matched) / len(labels))


def _permuted_tables(labels: StrArray, clusters: IntArray) -> Iterator[IntArray]:
    """(genres, clusters) counts of `CHANCE_DRAWS` random permutations, the same at every call."""
    rng = np.random.default_rng(0)
    genres, rows = np.unique(labels, return_inverse=True)  # once: sorting is what takes the time
    numbers, columns = np.unique(clusters, return_inverse=True)
    shape = len(genres), len(numbers)
    for _ in range(CHANCE_DRAWS):
        cells = rows * shape[1] + rng.permutation(columns)
        yield np.bincount(cells, minlength=shape[0] * shape[1]).reshape(shape)


def score(
    values: npt.NDArray[np.floating], clusters: IntArray, labels: StrArray
) -> dict[str, float]:
    """Every metric of this module for one clustering.

    Parameters
    ----------
    values : (n, d)
        What was clustered.
    clusters : (n,)
        -1 is noise.
    labels : (n,)
        ``""`` where unknown.

    Returns
    -------
    dict
        The metrics of the table above, the chance levels `CHANCE`, ``n_clusters`` (noise not
        counted) and ``noise`` (share of tracks that are noise).
    """
    from sklearn import metrics

    clustered = clusters >= 0
    n_clusters = len(np.unique(clusters[clustered]))
    scores = dict.fromkeys((*INTERNAL, *LABEL, *CHANCE), float("nan"))
    if 2 <= n_clusters < clustered.sum():
        inside = np.asarray(values[clustered], dtype=np.float64), clusters[clustered]
        scores["silhouette"] = float(metrics.silhouette_score(*inside))
        scores["calinski_harabasz"] = float(metrics.calinski_harabasz_score(*inside))
        scores["davies_bouldin"] = float(metrics.davies_bouldin_score(*inside))
    known = labels != ""
    labels, clusters = labels[known], clusters[known]
    if len(np.unique(labels)) > 1:
        scores["nmi"] = float(metrics.normalized_mutual_info_score(labels, clusters))
        scores["ami"] = float(metrics.adjusted_mutual_info_score(labels, clusters))
        scores["ari"] = float(metrics.adjusted_rand_score(labels, clusters))
        scores["purity"] = purity(labels, clusters)
        scores["accuracy"] = accuracy(labels, clusters)
        scores["nmi_chance"] = nmi_chance(labels, clusters)
        scores["purity_chance"] = purity_chance(labels, clusters)
        scores["accuracy_chance"] = accuracy_chance(labels, clusters)
    return scores | {"n_clusters": float(n_clusters), "noise": float(1 - clustered.mean())}


def of_group(clusters: IntArray, which: StrArray, name: str) -> dict[str, float]:
    """How far clusters follow something else than the genre, such as the artist.

    Parameters
    ----------
    clusters : (n,)
        -1 is noise.
    which : (n,)
        ``""`` where unknown: such tracks are left out.
    name
        What it is.

    Returns
    -------
    dict
        ``ami_<name>``, ``nmi_<name>`` and ``nmi_<name>_chance``; nan with fewer than two known.
    """
    known = which != ""
    table = contingency(which[known], clusters[known])
    found = [float("nan")] * 3
    if len(table) > 1:
        chance = nmi_chance(which[known], clusters[known])
        found = [adjusted_mutual_info(table), normalized_mutual_info(table), chance]
    return dict(zip((f"ami_{name}", f"nmi_{name}", f"nmi_{name}_chance"), found, strict=True))


def measures(
    values: npt.NDArray[np.floating], clusters: IntArray, labels: StrArray
) -> dict[str, float]:
    """The metrics of the table above for one clustering; parameters as for `score`.

    They equal those of `score` within rounding, in a fifth of the time: resampling asks for them
    hundreds of times.
    """
    from sklearn import metrics

    found = dict.fromkeys(RANGES, float("nan"))
    clustered = clusters >= 0
    if 2 <= len(np.unique(clusters[clustered])) < clustered.sum():
        inside = np.asarray(values[clustered], dtype=np.float64), clusters[clustered]
        found["silhouette"] = float(metrics.silhouette_score(*inside))
        found["calinski_harabasz"] = float(metrics.calinski_harabasz_score(*inside))
        found["davies_bouldin"] = davies_bouldin(*inside)
    known = labels != ""
    labels, clusters = labels[known], clusters[known]
    if len(np.unique(labels)) > 1:
        table = contingency(labels, clusters)
        found["nmi"], found["ami"] = normalized_mutual_info(table), adjusted_mutual_info(table)
        found["ari"] = adjusted_rand(table)
        found["purity"], found["accuracy"] = purity(labels, clusters), accuracy(labels, clusters)
    return found
