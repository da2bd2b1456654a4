from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from genre_vae.clustering import (
    centroids,
    cluster,
    knee_eps,
    nearest,
    renumbered,
    resolve_n_clusters,
)
from genre_vae.records import InputError
from tests.helpers import blobs


def kmeans(values: np.ndarray, n_clusters: int, seed: int = 0) -> np.ndarray:
    return cluster(values, algorithm="k-means", n_clusters=n_clusters, seed=seed)


def test_distant_groups_are_found() -> None:
    features = blobs(80, groups=5)
    assert adjusted_rand_score(features.labels, kmeans(features.values, 5)) == 1


def test_permuting_rows_permutes_the_clusters() -> None:
    features = blobs(60, groups=4)
    order = np.random.default_rng(0).permutation(60)
    one = kmeans(features.values, 4)
    assert adjusted_rand_score(one[order], kmeans(features.values[order], 4)) == 1


def test_equal_seeds_give_equal_clusters() -> None:
    noise = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32)
    np.testing.assert_array_equal(kmeans(noise, 10, seed=3), kmeans(noise, 10, seed=3))


@pytest.mark.parametrize("n_clusters", [-1, 0, 1, 20, 21])
def test_more_clusters_than_tracks_or_fewer_than_two_are_refused(n_clusters: int) -> None:
    with pytest.raises(InputError, match=f"n_clusters={n_clusters} with 20 tracks"):
        kmeans(blobs(20, groups=2).values, n_clusters)


def test_an_unknown_clusterer_is_refused() -> None:
    with pytest.raises(InputError, match="no clusterer 'magic'"):
        cluster(blobs(20, groups=2).values, algorithm="magic", n_clusters=2, seed=0)


def test_numbers_follow_first_appearance_and_noise_stays() -> None:
    assert renumbered(np.array([7, 7, -1, 2, 7, 9, 2])).tolist() == [0, 0, -1, 1, 0, 2, 1]


def test_agglomerative_finds_distant_groups_and_ignores_the_seed() -> None:
    features = blobs(60, groups=4)
    one = cluster(features.values, algorithm="agglomerative", n_clusters=4, seed=0)
    assert adjusted_rand_score(features.labels, one) == 1
    np.testing.assert_array_equal(
        one, cluster(features.values, algorithm="agglomerative", n_clusters=4, seed=9)
    )


def test_dbscan_finds_groups_and_calls_the_rest_noise() -> None:
    features = blobs(90, groups=3, spread=0.2)
    values = np.concatenate([features.values, [[40.0] * 6, [-40.0] * 6]])
    found = cluster(values, algorithm="DBSCAN", n_clusters=2, seed=0)
    assert found[-2:].tolist() == [-1, -1]
    inside = found[:90] >= 0
    assert inside.mean() > 0.8
    assert adjusted_rand_score(features.labels[inside], found[:90][inside]) == 1


def test_dbscan_does_not_look_at_the_number_of_clusters() -> None:
    values = blobs(30, groups=3).values
    one, two = (
        cluster(values, algorithm="DBSCAN", n_clusters=n, seed=0, eps=1.0) for n in (2, 1000)
    )
    np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize(("eps", "expected"), [(1e-9, -1), (1e9, 0)])
def test_dbscan_with_no_cluster_or_one_is_an_answer(eps: float, expected: int) -> None:
    values = blobs(30, groups=3).values
    found = cluster(values, algorithm="DBSCAN", n_clusters=3, seed=0, eps=eps)
    assert set(found.tolist()) == {expected}


def test_eps_is_in_the_units_of_the_values() -> None:
    values = np.random.default_rng(0).normal(size=(200, 4))
    assert knee_eps(10 * values) == pytest.approx(10 * knee_eps(values))


def test_eps_lies_between_the_inner_and_the_outer_distances() -> None:
    features = blobs(90, groups=3, spread=0.2)
    values = np.concatenate([features.values, 40.0 * np.eye(6)])
    assert 0.1 < knee_eps(values) < 5


def test_equal_rows_have_a_positive_eps() -> None:
    found = cluster(np.ones((10, 2)), algorithm="DBSCAN", n_clusters=2, seed=0)
    assert set(found.tolist()) == {0}


def test_equal_rows_make_fewer_clusters_without_a_word() -> None:
    values = np.repeat(np.eye(3), 4, axis=0)
    found = cluster(values, algorithm="k-means", n_clusters=5, seed=0)
    assert len(np.unique(found)) == 3


@pytest.mark.parametrize("seed", range(5))
def test_a_k_means_cluster_is_the_one_with_the_nearest_mean(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(500, 4)).astype(np.float32)
    found = cluster(values, algorithm="k-means", n_clusters=9, seed=seed)
    means = centroids(values, found)
    again, distances = nearest(values, means)
    np.testing.assert_array_equal(again, found)
    np.testing.assert_allclose(distances, np.linalg.norm(values - means[found], axis=1), rtol=1e-5)


def spectral(values: np.ndarray, n_clusters: int, seed: int = 0) -> np.ndarray:
    return cluster(values, algorithm="spectral", n_clusters=n_clusters, seed=seed)


def test_spectral_clustering_follows_rings_which_k_means_cannot() -> None:
    angle = np.linspace(0, 2 * np.pi, 120, endpoint=False)
    ring = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    values = np.concatenate([ring, 4 * ring])
    values += 0.05 * np.random.default_rng(0).normal(size=values.shape)
    which = np.repeat([0, 1], 120)
    assert adjusted_rand_score(which, spectral(values, 2)) == 1
    assert adjusted_rand_score(which, kmeans(values, 2)) < 0.1


def test_spectral_clusters_depend_on_neither_order_nor_scale_nor_rotation() -> None:
    features = blobs(80, groups=5, spread=0.6)
    values = features.values.astype(np.float64)
    found = spectral(values, 5)
    assert adjusted_rand_score(features.labels, found) > 0.9
    order = np.random.default_rng(0).permutation(80)
    turned = 10 * values @ np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    assert adjusted_rand_score(found[order], spectral(values[order], 5)) == 1
    assert adjusted_rand_score(found, spectral(turned, 5)) == 1
    np.testing.assert_array_equal(found, spectral(values, 5))


@pytest.mark.parametrize(
    ("n", "n_clusters"), [(3, 2), (5, 4), (8, 3), (12, 10), (12, 11), (30, 29)]
)
def test_spectral_clustering_of_few_tracks_is_an_answer(n: int, n_clusters: int) -> None:
    found = spectral(np.random.default_rng(0).normal(size=(n, 4)), n_clusters)
    assert found.shape == (n,)
    assert set(found.tolist()) == set(range(found.max() + 1))
    equal = spectral(np.repeat(np.eye(3), n, axis=0), 2)
    assert equal.shape == (3 * n,)


def hdbscan(values: np.ndarray) -> np.ndarray:
    return cluster(values, algorithm="HDBSCAN", n_clusters=2, seed=0)


@pytest.mark.parametrize("groups", [2, 5])
def test_hdbscan_finds_groups_of_any_density_and_their_number(groups: int) -> None:
    features = blobs(100, groups=groups, spread=0.1)
    values = features.values * np.where(features.labels == "g0", 4.0, 1.0)[:, None]
    found = hdbscan(values)
    assert adjusted_rand_score(features.labels, found) == 1


def test_hdbscan_calls_a_track_far_from_all_noise_and_too_few_no_cluster() -> None:
    values = np.concatenate(
        [blobs(90, groups=3).values, [[40.0] * 6, [-40.0] * 6], 4 * [[90.0] * 6]]
    )
    assert hdbscan(values)[90:].tolist() == [-1] * 6
    assert set(hdbscan(values)[:90].tolist()) == {0, 1, 2}


def test_hdbscan_depends_on_neither_order_nor_scale_nor_rotation() -> None:
    values = blobs(80, groups=5, spread=0.6).values.astype(np.float64)
    found = hdbscan(values)
    order = np.random.default_rng(0).permutation(80)
    turned = 10 * values @ np.linalg.qr(np.random.default_rng(1).normal(size=(6, 6)))[0]
    assert adjusted_rand_score(found[order], hdbscan(values[order])) == 1
    np.testing.assert_array_equal(found, hdbscan(turned))


@pytest.mark.parametrize("n", [2, 3, 5, 9, 12])
def test_hdbscan_of_few_or_equal_tracks_is_an_answer(n: int) -> None:
    for values in (np.random.default_rng(0).normal(size=(n, 4)), np.ones((n, 4))):
        assert hdbscan(values).shape == (n,)
    copies = hdbscan(np.repeat(np.eye(3), n, axis=0))
    assert n < 5 or len(np.unique(copies)) == 3


def test_a_number_of_clusters_that_is_given_is_taken() -> None:
    assert resolve_n_clusters(7, blobs(20, groups=2)) == 7


def test_without_a_number_there_is_a_cluster_for_each_known_genre() -> None:
    features = blobs(40, groups=4)
    assert resolve_n_clusters(None, features) == 4
    partly = replace(features, labels=np.where(features.labels == "g3", "", features.labels))
    assert resolve_n_clusters(None, partly) == 3


def test_fewer_than_two_genres_and_as_many_as_tracks_are_refused() -> None:
    unknown = replace(blobs(40, groups=4), labels=np.full(40, "rock"))
    for features, what in (
        (unknown, "40 tracks in 1 genres"),
        (blobs(5, groups=5), "5 tracks in 5"),
    ):
        with pytest.raises(InputError, match=what):
            resolve_n_clusters(None, features)
