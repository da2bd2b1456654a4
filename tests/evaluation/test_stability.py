from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics import adjusted_rand_score

from genre_vae.clustering import centroids, nearest
from genre_vae.evaluation.stability import (
    adjusted_rand,
    nearest_clusters,
    squared_distances,
    stability,
    ward,
)
from tests.helpers import blobs

NOISE = np.random.default_rng(0).normal(size=(60, 8))


def halves_of(n: int, count: int) -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(3)
    orders = [rng.permutation(n) for _ in range(count)]
    return [(order[: n // 2], order[n // 2 : 2 * (n // 2)]) for order in orders]


def test_squared_distances_are_scipys() -> None:
    np.testing.assert_allclose(squared_distances(NOISE), squareform(pdist(NOISE)) ** 2, atol=1e-9)


def test_the_clusters_at_every_number_are_those_that_scipy_cuts_from_wards_tree() -> None:
    finest, merged = ward(squared_distances(NOISE), 12)
    tree = linkage(NOISE, "ward")
    for number, of in zip(range(2, 13), merged, strict=True):
        found = of[finest]
        assert len(np.unique(found)) == number
        assert adjusted_rand_score(fcluster(tree, number, "maxclust"), found) == 1


def test_tracks_of_the_other_half_join_the_cluster_with_the_nearest_mean() -> None:
    one, other = NOISE[:35], NOISE[35:]
    squared = squared_distances(NOISE)
    finest, merged = ward(squared[:35, :35], 9)
    found = nearest_clusters(squared[35:, :35], squared[:35, :35], finest, merged)
    for of, placed in zip(merged, found, strict=True):
        numbers, clusters = np.unique(of[finest], return_inverse=True)
        expected, _ = nearest(other, centroids(one, clusters.astype(np.int64)))
        np.testing.assert_array_equal(placed, numbers[expected])


def test_the_adjusted_rand_index_is_scikit_learns() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.integers(7, size=(2, 30, 50))
    one[0], other[1], one[2] = 0, 3, other[2]  # a single cluster on either side, and both alike
    expected = [adjusted_rand_score(*pair) for pair in zip(one, other, strict=True)]
    np.testing.assert_allclose(adjusted_rand(one, other, 7), expected, atol=1e-12)
    alone = np.arange(5)[None]
    assert adjusted_rand(alone, alone[:, ::-1], 5) == 1


def test_halves_agree_on_distant_groups_and_on_no_more_of_them() -> None:
    squared = squared_distances(blobs(80, groups=5).values.astype(np.float64))
    found = stability(squared, halves_of(80, 10), 9).mean(axis=0)
    assert found[3] == 1  # five; fewer, of which some are taken together, can be as stable
    assert (found[4:] < 0.95).all()


def test_halves_of_noise_agree_on_little() -> None:
    assert stability(squared_distances(NOISE), halves_of(60, 10), 12).mean() < 0.4
