"""Values -> cluster numbers. Axes: ``n`` tracks, ``d`` dimensions."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from genre_vae.records import FeatureSet, InputError, IntArray, known_genres
from genre_vae.scaling import in_geometry

DETERMINISTIC = ("agglomerative", "DBSCAN")  # clusterers without random starts
FIND_THEIR_NUMBER = ("DBSCAN",)  # clusterers that ignore n_clusters
MIN_SAMPLES = 5  # DBSCAN's core points have that many neighbours within eps, themselves included
MAX_CHOSEN = 20  # clusters that `choose_n_clusters` tries at most
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
    algorithm : {"k-means", "agglomerative", "DBSCAN", "spectral"}
        Agglomerative clustering uses Ward's criterion. DBSCAN (Ester et al., 1996) with
        `MIN_SAMPLES` finds the number of clusters by itself, which can be one or none. Spectral
        clustering (von Luxburg, 2007) is k-means on the eigenvectors of the graph of nearest
        neighbours, and follows a cluster of any shape.
    n_clusters
        At least 2 and fewer than n. DBSCAN ignores it.
    seed
        Random seed of k-means' starts, and so of spectral clustering; the others are deterministic.
    eps
        Radius of DBSCAN, in the unit of the values; None takes `knee_eps`.

    Returns
    -------
    (n,) int64
        Cluster numbers from 0, in the order of first appearance; -1 is DBSCAN's noise.

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


def choose_n_clusters(values: npt.NDArray[np.floating], *, seed: int) -> int:
    """The number of k-means clusters, 2 to `MAX_CHOSEN`, with the highest silhouette.

    It serves collections without genres, where nothing else says how many there are.

    Parameters
    ----------
    values : (n, d)
    seed
        Random seed of k-means' starts.

    Raises
    ------
    InputError
        If there are fewer than three rows.

    References
    ----------
    Rousseeuw (1987), "Silhouettes: a graphical aid to the interpretation and validation of cluster
    analysis".
    """
    from sklearn.metrics import silhouette_score

    def silhouette(n_clusters: int) -> float:
        found = cluster(values, algorithm="k-means", n_clusters=n_clusters, seed=seed)
        few = len(np.unique(found)) < 2  # equal rows end up in one cluster
        return -1.0 if few else float(silhouette_score(values, found))

    if len(values) < 3:
        raise InputError(f"{len(values)} tracks: the number of clusters cannot be chosen from them")
    return max(range(2, min(MAX_CHOSEN, len(values) - 1) + 1), key=silhouette)


def resolve_n_clusters(n_clusters: int | None, features: FeatureSet, *, seed: int) -> int:
    """The number of clusters to make.

    Parameters
    ----------
    n_clusters
        The number asked for. None takes one for each known genre, or what `choose_n_clusters`
        finds where fewer than two genres are known.
    features : values (n, d)
        What will be clustered.
    seed
        Random seed of `choose_n_clusters`.

    Raises
    ------
    InputError
        If there are as many genres as tracks, or too few tracks to choose a number from.
    """
    if n_clusters is not None:
        return n_clusters
    if not features.has_labels:
        return choose_n_clusters(in_geometry(features), seed=seed)
    genres = len(known_genres(features.labels))
    if genres >= len(features):
        raise InputError(
            f"{features.name}: {len(features)} tracks in {genres} genres cannot be clustered "
            "by genre: give n_clusters, or more tracks"
        )
    return genres
