from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn.metrics import (
    adjusted_mutual_info_score,
    davies_bouldin_score,
    normalized_mutual_info_score,
)

from genre_vae.evaluation import metrics
from tests.helpers import blobs

FEATURES = blobs(60, groups=4, spread=0.5)
BY_PERMUTATION = ("purity_chance", "accuracy_chance")
PERFECT = np.unique(FEATURES.labels, return_inverse=True)[1].astype(np.int64)


def test_a_perfect_clustering_scores_one() -> None:
    scores = metrics.score(FEATURES.values, PERFECT, FEATURES.labels)
    for name in metrics.LABEL:
        assert scores[name] == pytest.approx(1), name
    assert scores["n_clusters"] == 4
    assert scores["noise"] == 0


def test_names_of_clusters_do_not_matter() -> None:
    rng = np.random.default_rng(0)
    clusters = rng.integers(0, 5, 60)
    renamed = rng.permutation(5)[clusters]
    one = metrics.score(FEATURES.values, clusters, FEATURES.labels)
    two = metrics.score(FEATURES.values, renamed, FEATURES.labels)
    for name, value in one.items():
        # a mean over permutations, which differ under other names
        assert two[name] == pytest.approx(value, abs=0.02 if name in BY_PERMUTATION else 1e-9), name


def test_order_of_tracks_does_not_matter() -> None:
    clusters = np.random.default_rng(0).integers(0, 5, 60)
    order = np.random.default_rng(1).permutation(60)
    one = metrics.score(FEATURES.values, clusters, FEATURES.labels)
    two = metrics.score(FEATURES.values[order], clusters[order], FEATURES.labels[order])
    for name, value in one.items():
        assert two[name] == pytest.approx(value, abs=0.02 if name in BY_PERMUTATION else 1e-6), name


def test_purity_and_accuracy_by_hand() -> None:
    labels = np.array(["a", "a", "a", "b", "b", "c"])
    clusters = np.array([0, 0, 1, 1, 1, 1])
    assert metrics.purity(labels, clusters) == pytest.approx(4 / 6)
    assert metrics.accuracy(labels, clusters) == pytest.approx(4 / 6)
    one_cluster = np.zeros(6, dtype=np.int64)
    assert metrics.purity(labels, one_cluster) == pytest.approx(3 / 6)
    each_its_own = np.arange(6)
    assert metrics.purity(labels, each_its_own) == 1
    assert metrics.accuracy(labels, each_its_own) == pytest.approx(3 / 6)


def test_chance_levels_are_what_permuted_clusters_score() -> None:
    rng = np.random.default_rng(7)
    labels, clusters = FEATURES.labels, rng.integers(0, 6, 60)
    permuted = [rng.permutation(clusters) for _ in range(2000)]
    nmi = np.mean([normalized_mutual_info_score(labels, one) for one in permuted])
    purity = np.mean([metrics.purity(labels, one) for one in permuted])
    assert metrics.nmi_chance(labels, clusters) == pytest.approx(nmi, abs=0.004)
    assert metrics.purity_chance(labels, clusters) == pytest.approx(purity, abs=0.01)
    accuracy = np.mean([metrics.accuracy(labels, one) for one in permuted])
    assert metrics.accuracy_chance(labels, clusters) == pytest.approx(accuracy, abs=0.01)


def test_on_noise_the_adjusted_metrics_are_zero_and_the_others_at_chance() -> None:
    rng = np.random.default_rng(0)
    values, clusters = rng.normal(size=(800, 5)), rng.integers(0, 10, 800)
    labels = rng.choice(list("abcdefghij"), 800)
    scores = metrics.score(values, clusters, labels)
    assert scores["ami"] == pytest.approx(0, abs=0.02)
    assert scores["ari"] == pytest.approx(0, abs=0.02)
    assert scores["nmi"] == pytest.approx(scores["nmi_chance"], abs=0.02)
    assert scores["purity"] == pytest.approx(scores["purity_chance"], abs=0.02)
    assert scores["accuracy"] == pytest.approx(scores["accuracy_chance"], abs=0.02)
    assert scores["nmi_chance"] > 0.01


@pytest.mark.parametrize(
    "labels", [np.full(60, ""), np.full(60, "rock"), np.where(np.arange(60) == 3, "rock", "")]
)
def test_without_genres_label_metrics_are_undefined(labels: np.ndarray) -> None:
    scores = metrics.score(FEATURES.values, PERFECT, labels)
    assert all(np.isnan(scores[m]) for m in (*metrics.LABEL, *metrics.CHANCE))
    assert all(np.isfinite(scores[m]) for m in metrics.INTERNAL)


@pytest.mark.parametrize("clusters", [np.zeros(60, np.int64), np.arange(60), np.full(60, -1)])
def test_with_one_cluster_or_as_many_as_tracks_internal_metrics_are_undefined(
    clusters: np.ndarray,
) -> None:
    with warnings.catch_warnings(action="ignore"):  # scikit-learn asks if labels are continuous
        scores = metrics.score(FEATURES.values, clusters, FEATURES.labels)
    assert all(np.isnan(scores[m]) for m in metrics.INTERNAL)
    assert all(np.isfinite(scores[m]) for m in metrics.LABEL)


def test_noise_is_a_fraction_and_counts_against_label_metrics() -> None:
    noisy = np.where(np.arange(60) < 15, -1, PERFECT)
    scores = metrics.score(FEATURES.values, noisy, FEATURES.labels)
    assert scores["noise"] == pytest.approx(0.25)
    assert scores["n_clusters"] == 4
    assert scores["ami"] < 0.9


def test_every_metric_has_a_range_and_stays_in_it() -> None:
    assert set(metrics.RANGES) == {*metrics.INTERNAL, *metrics.LABEL}
    rng = np.random.default_rng(0)
    for _ in range(20):
        scores = metrics.score(FEATURES.values, rng.integers(0, 5, 60), FEATURES.labels)
        for name, (lowest, highest) in metrics.RANGES.items():
            assert lowest <= scores[name] <= highest, name


@pytest.mark.parametrize(
    "clusters",
    [
        np.random.default_rng(0).integers(-1, 5, 60),
        3 * np.random.default_rng(1).integers(0, 8, 60),
        PERFECT,
        np.zeros(60, np.int64),
        np.arange(60),
        np.full(60, -1),
        np.arange(60) // 59,
    ],
)
@pytest.mark.parametrize("known", [60, 40, 0])
def test_measures_are_the_scores_without_chance_levels(clusters: np.ndarray, known: int) -> None:
    labels = np.where(np.arange(60) < known, FEATURES.labels, "")
    with warnings.catch_warnings(action="ignore"):  # scikit-learn asks if labels are continuous
        scores = metrics.score(FEATURES.values, clusters, labels)
    measures = metrics.measures(FEATURES.values, clusters, labels)
    assert list(measures) == list(metrics.RANGES)
    for name, value in measures.items():
        assert value == pytest.approx(scores[name], rel=1e-9, abs=1e-12, nan_ok=True), name


def test_davies_bouldin_of_equal_rows_is_scikit_learns() -> None:
    clusters = np.arange(12) % 3
    for values in (np.zeros((12, 2)), np.eye(3)[clusters], np.minimum(np.eye(3), 1)[clusters % 2]):
        expected = davies_bouldin_score(values, clusters)
        assert metrics.davies_bouldin(values, clusters) == pytest.approx(expected)


def test_tracks_without_a_genre_count_for_internal_metrics_only() -> None:
    labels, clusters = FEATURES.labels.copy(), np.random.default_rng(0).integers(0, 5, 60)
    labels[:10] = ""
    whole = metrics.score(FEATURES.values, clusters, labels)
    known = metrics.score(FEATURES.values[10:], clusters[10:], labels[10:])
    assert {m: whole[m] for m in metrics.LABEL} == {m: known[m] for m in metrics.LABEL}
    assert whole["silhouette"] != known["silhouette"]


@pytest.mark.parametrize("seed", range(5))
def test_ami_of_a_table_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, 80)
    clusters = np.where(rng.random(80) < 0.5, labels, rng.integers(0, 7, 80))
    ours = metrics.adjusted_mutual_info(metrics.contingency(labels.astype(str), clusters))
    assert ours == pytest.approx(adjusted_mutual_info_score(labels, clusters), abs=1e-12)
    empty = np.pad(metrics.contingency(labels.astype(str), clusters), 1)
    assert metrics.adjusted_mutual_info(empty) == pytest.approx(ours)


@pytest.mark.parametrize("table", [[[3, 4]], [[3], [4]], [[3, 4], [0, 0]], [[5]]])
def test_ami_of_one_genre_or_one_cluster_is_scikit_learns(table: list[list[int]]) -> None:
    counts = np.array(table)
    labels, clusters = (
        np.repeat(axis.ravel(), counts.ravel()) for axis in np.indices(counts.shape)
    )
    ours = metrics.adjusted_mutual_info(counts)
    assert ours == adjusted_mutual_info_score(labels, clusters)


def test_what_clusters_follow_beside_genres() -> None:
    rng = np.random.default_rng(0)
    artists = np.repeat([f"artist {n}" for n in range(5)], 12)
    clusters = np.repeat(np.arange(5), 12)
    found = metrics.of_group(clusters, artists, "artist")
    assert found["ami_artist"] == found["nmi_artist"] == pytest.approx(1)
    assert 0 < found["nmi_artist_chance"] < 0.3
    shuffled = metrics.of_group(rng.permutation(clusters), artists, "artist")
    assert abs(shuffled["ami_artist"]) < 0.1
    some = np.where(np.arange(60) % 2 == 0, artists, "")
    assert metrics.of_group(clusters, some, "artist")["ami_artist"] == pytest.approx(1)
    assert np.isnan(list(metrics.of_group(clusters, np.full(60, ""), "artist").values())).all()
