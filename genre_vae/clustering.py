"""Values -> cluster numbers. Axes: ``n`` tracks, ``d`` dimensions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from genre_vae.records import FeatureSet, InputError, IntArray, known_genres

DETERMINISTIC = ("agglomerative", "DBSCAN", "HDBSCAN")  # clusterers without random starts
FIND_THEIR_NUMBER = ("DBSCAN", "HDBSCAN")  # clusterers that ignore n_clusters
MIN_SAMPLES = 5  # DBSCAN's core points have that many neighbours within eps, themselves included
MIN_CLUSTER = 5  # tracks in a cluster of HDBSCAN, at least
MIN_SHARE = 20  # and at least that part of the tracks: so many clusters at most
N_INIT = 10  # restarts of k-means, the best of which is kept
N_NEIGHBORS = 10  # edges of a row in the spectral graph, itself included: scikit-learn's default

Floats = npt.NDArray[np.float64]


def _k_means(values: Floats, n_clusters: int, seed: int, eps: float | None) -> Any:
    from sklearn.cluster import KMeans

    # tol=0 runs until no row moves, so that a track's cluster is the one with the nearest mean
    return KMeans(n_clusters, n_init=N_INIT, tol=0, random_state=seed)


def _agglomerative(values: Floats, n_clusters: int, seed: int, eps: float | None) -> Any:
    from sklearn.cluster import AgglomerativeClustering

    return AgglomerativeClustering(n_clusters, linkage="ward")


def _dbscan(values: Floats, n_clusters: int, seed: int, eps: float | None) -> Any:
    from sklearn.cluster import DBSCAN

    return DBSCAN(eps=knee_eps(values) if eps is None else eps, min_samples=MIN_SAMPLES)


def _hdbscan(values: Floats, n_clusters: int, seed: int, eps: float | None) -> Any:
    from sklearn.cluster import HDBSCAN

    # min_samples=1 leaves distances as they are. To stretch them by the distance to the fifth
    # neighbour, as min_samples=5 does, takes half of a cluster's tracks where it has ten.
    size = max(MIN_CLUSTER, len(values) // MIN_SHARE)
    return HDBSCAN(min_cluster_size=size, min_samples=1, algorithm="brute", copy=True)


def _spectral(values: Floats, n_clusters: int, seed: int, eps: float | None) -> Any:
    from sklearn.cluster import SpectralClustering

    return SpectralClustering(
        n_clusters,
        affinity="nearest_neighbors",
        n_neighbors=min(N_NEIGHBORS, len(values)),
        random_state=seed,
    )


# The clusterers by name, as scikit-learn's estimators. To add one, write such a function and name
# it here; Medium runs them all.
CLUSTERERS: Mapping[str, Callable[[Floats, int, int, float | None], Any]] = {
    "k-means": _k_means,
    "agglomerative": _agglomerative,
    "DBSCAN": _dbscan,
    "HDBSCAN": _hdbscan,
    "spectral": _spectral,
}
ALGORITHMS = tuple(CLUSTERERS)


def cluster(
    values: npt.NDArray[np.floating],
    *,
    algorithm: str,
    n_clusters: int,
    seed: int,
    eps: float | None = None,
) -> IntArray:
    """Put rows into clusters.

    Parameters
    ----------
    values : (n, d)
        One row for each track.
    algorithm : {"k-means", "agglomerative", "DBSCAN", "HDBSCAN", "spectral"}
        Agglomerative clustering uses Ward's criterion. DBSCAN (Ester et al., 1996) with
        `MIN_SAMPLES` finds the number of clusters by itself, which can be one or none. HDBSCAN
        (Campello, Moulavi & Sander, 2013) does so over all radii at once: of the tree of single
        linkage it takes the clusters that last longest, each of `MIN_CLUSTER` tracks at least and
        of one in `MIN_SHARE`, which can be none. Spectral clustering (von Luxburg, 2007) is k-means
        on the eigenvectors of the graph of nearest neighbours, and follows a cluster of any shape.
    n_clusters
        At least 2 and fewer than n. `FIND_THEIR_NUMBER` ignore it.
    seed
        Random seed of k-means' starts, and so of spectral clustering; the others are deterministic.
    eps
        Radius of DBSCAN, in the unit of the values; None takes `knee_eps`.

    Returns
    -------
    (n,) int64
        Cluster numbers from 0, in the order of first appearance; -1 is DBSCAN's and HDBSCAN's
        noise.

    Raises
    ------
    InputError
        If there would be as many clusters as rows or fewer than two, or the algorithm is unknown.
    """
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    if algorithm not in CLUSTERERS:
        raise InputError(f"no clusterer {algorithm!r}, only {', '.join(ALGORITHMS)}")
    if algorithm not in FIND_THEIR_NUMBER and not 2 <= n_clusters < len(values):
        raise InputError(
            f"n_clusters={n_clusters} with {len(values)} tracks: needs 2 to {len(values) - 1}"
        )
    exact = np.asarray(values, dtype=np.float64)
    clusterer = CLUSTERERS[algorithm](exact, n_clusters, seed, eps)
    with threadpool_limits(1), warnings.catch_warnings():  # bit-identical, and faster when small
        # Equal rows can leave fewer clusters than were asked for; the scores report their number.
        warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
        # The parts of a graph in pieces become clusters, which is as it should be.
        warnings.filterwarnings("ignore", "Graph is not fully connected", UserWarning)
        # Spectral clustering of as many rows as dimensions: they could be a matrix of affinities.
        warnings.filterwarnings("ignore", "The spectral clustering API has changed", UserWarning)
        return renumbered(clusterer.fit_predict(exact))


def centroids(values: npt.NDArray[np.floating], clusters: IntArray) -> npt.NDArray[np.float64]:
    """The mean of each cluster.

    Parameters
    ----------
    values : (n, d)
    clusters : (n,)
        Numbers from 0 to c - 1 without gaps; rows with -1, noise, are left out.

    Returns
    -------
    (c, d)
    """
    means = [
        values[clusters == c].mean(axis=0, dtype=np.float64) for c in range(clusters.max() + 1)
    ]
    return np.stack(means)


def nearest(
    values: npt.NDArray[np.floating], points: npt.NDArray[np.floating]
) -> tuple[IntArray, npt.NDArray[np.float64]]:
    """The point nearest to each row, and its Euclidean distance.

    Parameters
    ----------
    values : (n, d)
    points : (c, d)

    Returns
    -------
    index : (n,) int64
        Rows of `points`.
    distance : (n,)
    """
    from scipy.spatial.distance import cdist

    distances = cdist(np.asarray(values, np.float64), np.asarray(points, np.float64))
    found = distances.argmin(axis=1)
    return found.astype(np.int64), distances[np.arange(len(found)), found]


def knee_eps(values: npt.NDArray[np.floating]) -> float:
    """DBSCAN's radius from the data: the knee of the sorted k-distance curve.

    The distance of each row to its `MIN_SAMPLES`-th neighbour (itself the first), sorted, rises
    slowly inside clusters and steeply outside. The knee is the point furthest below the straight
    line between the curve's ends (Satopaa et al., 2011).

    Parameters
    ----------
    values : (n, d)

    Returns
    -------
    float
        Positive, in the unit of the values.
    """
    from sklearn.neighbors import NearestNeighbors

    k = min(MIN_SAMPLES, len(values))
    distances, _ = NearestNeighbors(n_neighbors=k).fit(values).kneighbors(values)
    curve = np.sort(distances[:, -1])
    line = np.linspace(curve[0], curve[-1], len(curve))
    eps = float(curve[int(np.argmax(line - curve))])
    return eps if eps > 0 else float(np.finfo(np.float64).eps)


def renumbered(clusters: npt.NDArray[np.integer]) -> IntArray:
    """Clusters numbered 0, 1, ... in the order of first appearance; -1 (noise) stays."""
    numbers: dict[int, int] = {-1: -1}
    for number in clusters.tolist():
        numbers.setdefault(number, len(numbers) - 1)
    return np.array([numbers[number] for number in clusters.tolist()], dtype=np.int64)


def resolve_n_clusters(n_clusters: int | None, features: FeatureSet) -> int:
    """The number of clusters to make.

    Parameters
    ----------
    n_clusters
        The number asked for. None takes one for each known genre.
    features
        What will be clustered.

    Raises
    ------
    InputError
        If fewer than two genres are known, or as many as there are tracks.
    """
    if n_clusters is not None:
        return n_clusters
    genres = len(known_genres(features.labels))
    if not 2 <= genres < len(features):
        raise InputError(
            f"{features.name}: {len(features)} tracks in {genres} genres cannot be clustered "
            "by genre: give n_clusters, or more tracks"
        )
    return genres
