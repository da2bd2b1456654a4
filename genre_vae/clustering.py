"""Values -> cluster numbers. Axes: ``n`` tracks, ``d`` dimensions."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from genre_vae.records import InputError, IntArray

ALGORITHMS = ("k-means", "agglomerative", "DBSCAN", "spectral")
MIN_SAMPLES = 5  # of DBSCAN: neighbours, itself included, that make a core point
MAX_CHOSEN = 20
N_INIT = 10  # restarts of k-means, the best of which is kept
N_NEIGHBORS = 10  # of a row, itself included, that the spectral graph joins it to: as scikit-learn


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
    algorithm
        ``k-means``; ``agglomerative`` with Ward's criterion; ``DBSCAN`` (Ester et al., 1996) with
        `MIN_SAMPLES`, which finds the number of clusters by itself, maybe one or none; or
        ``spectral`` (von Luxburg, 2007): k-means on the eigenvectors of the graph of nearest
        neighbours, which follows a cluster of any shape.
    n_clusters
        Fewer than n; DBSCAN does not look at it.
    seed
        Of k-means' random starts, in the spectral one as well: the others have none.
    eps
        DBSCAN's radius; None takes `knee_eps`.

    Returns
    -------
    (n,) int64
        Cluster numbers from 0, in the order of first appearance; -1 is DBSCAN's noise.

    Raises
    ------
    InputError
        For as many clusters as rows, fewer than two clusters, or an unknown algorithm.
    """
    from sklearn.cluster import DBSCAN, AgglomerativeClustering, KMeans, SpectralClustering
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    if algorithm not in ALGORITHMS:
        raise InputError(f"no clusterer {algorithm!r}, only {', '.join(ALGORITHMS)}")
    if algorithm != "DBSCAN" and not 2 <= n_clusters < len(values):
        raise InputError(
            f"n_clusters={n_clusters} with {len(values)} tracks: needs 2 to {len(values) - 1}"
        )
    values = np.asarray(values, dtype=np.float64)
    if algorithm == "k-means":
        # tol=0: until nobody moves, so that a track's cluster is the one with the nearest mean
        clusterer = KMeans(n_clusters, n_init=N_INIT, tol=0, random_state=seed)
    elif algorithm == "agglomerative":
        clusterer = AgglomerativeClustering(n_clusters, linkage="ward")
    elif algorithm == "spectral":
        clusterer = SpectralClustering(
            n_clusters,
            affinity="nearest_neighbors",
            n_neighbors=min(N_NEIGHBORS, len(values)),
            random_state=seed,
        )
    else:
        clusterer = DBSCAN(eps=knee_eps(values) if eps is None else eps, min_samples=MIN_SAMPLES)
    with threadpool_limits(1), warnings.catch_warnings():  # bit-identical, and faster when small
        # Equal rows can leave fewer clusters than were asked for; their number is told with them.
        warnings.filterwarnings("ignore", "Number of distinct clusters", ConvergenceWarning)
        # Then its parts are clusters, which is as it should be.
        warnings.filterwarnings("ignore", "Graph is not fully connected", UserWarning)
        return renumbered(clusterer.fit_predict(values))


def centroids(values: npt.NDArray[np.floating], clusters: IntArray) -> npt.NDArray[np.float64]:
    """The mean of each cluster: (n, d), (n,) from 0 without gaps -> (c, d)."""
    means = [
        values[clusters == c].mean(axis=0, dtype=np.float64) for c in range(clusters.max() + 1)
    ]
    return np.stack(means)


def nearest(
    values: npt.NDArray[np.floating], points: npt.NDArray[np.floating]
) -> tuple[IntArray, npt.NDArray[np.float64]]:
    """The nearest of some points to each row, and how far it is: (n, d), (c, d) -> (n,), (n,)."""
    from scipy.spatial.distance import cdist

    distances = cdist(np.asarray(values, np.float64), np.asarray(points, np.float64))
    found = distances.argmin(axis=1)
    return found.astype(np.int64), distances[np.arange(len(found)), found]


def knee_eps(values: npt.NDArray[np.floating]) -> float:
    """DBSCAN's radius from the data: the knee of the sorted k-distance curve.

    The distance of each row to its `MIN_SAMPLES`-th neighbour (itself the first), sorted, rises
    slowly inside clusters and steeply outside. The knee is the point furthest below the straight
    line between the curve's ends (Satopaa et al., 2011). (n, d) -> a positive number.
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
    """The number of k-means clusters, 2 to 20, with the highest silhouette (Rousseeuw, 1987).

    For collections without genres, where nothing else says how many. (n, d) -> int.
    """
    from sklearn.metrics import silhouette_score

    def silhouette(n_clusters: int) -> float:
        found = cluster(values, algorithm="k-means", n_clusters=n_clusters, seed=seed)
        few = len(np.unique(found)) < 2  # equal rows end up in one cluster
        return -1.0 if few else float(silhouette_score(values, found))

    if len(values) < 3:
        raise InputError(f"{len(values)} tracks: the number of clusters cannot be chosen from them")
    return max(range(2, min(MAX_CHOSEN, len(values) - 1) + 1), key=silhouette)
