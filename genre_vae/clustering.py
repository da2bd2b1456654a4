"""Values -> cluster numbers. Axes: ``n`` tracks, ``d`` dimensions."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from genre_vae.records import InputError, IntArray

ALGORITHMS = ("k-means",)
MAX_CHOSEN = 20
N_INIT = 10  # restarts of k-means, the best of which is kept


def cluster(
    values: npt.NDArray[np.floating], *, algorithm: str, n_clusters: int, seed: int
) -> IntArray:
    """Put rows into clusters.

    Parameters
    ----------
    values : (n, d)
    algorithm
        One of `ALGORITHMS`.
    n_clusters
        At most n.
    seed
        Of the random starts.

    Returns
    -------
    (n,) int64
        Cluster numbers from 0, in the order of first appearance.

    Raises
    ------
    InputError
        For more clusters than rows, fewer than two clusters, or an unknown algorithm.
    """
    from sklearn.cluster import KMeans

    if algorithm not in ALGORITHMS:
        raise InputError(f"no clusterer {algorithm!r}, only {', '.join(ALGORITHMS)}")
    if not 2 <= n_clusters <= len(values):
        raise InputError(f"n_clusters={n_clusters} with {len(values)} tracks: needs 2 to that many")
    values = np.asarray(values, dtype=np.float64)
    found = KMeans(n_clusters, n_init=N_INIT, random_state=seed).fit_predict(values)
    return renumbered(found)


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
