from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from genre_vae.evaluation.n_clusters import DRAWS, MOST, Choice, choose, rotated
from genre_vae.records import InputError
from tests.helpers import blobs

NOISE = np.random.default_rng(0).normal(size=(60, 8))


def test_data_without_clusters_have_the_covariance_of_the_tracks_and_no_mean() -> None:
    values = blobs(40, groups=4).values.astype(np.float64)
    values -= values.mean(axis=0)
    scales = np.linalg.svd(values, compute_uv=False).astype(np.float64)
    drawn = rotated(scales, 40, np.random.default_rng(1))
    np.testing.assert_allclose(np.linalg.svd(drawn, compute_uv=False), scales)
    np.testing.assert_allclose(drawn.mean(axis=0), 0, atol=1e-12)


@pytest.mark.parametrize("groups", [2, 4, 7])
def test_the_number_of_distant_groups_is_clear(groups: int) -> None:
    found = choose(blobs(70, groups=groups).values, seed=0)
    assert found.clear, found.why
    assert found.n_clusters == found.most_stable == groups
    assert found.between == (groups, groups)
    assert found.p.min() == 1 / (DRAWS + 1)
    assert found.why.startswith(f"{groups} clusters ({groups} in half of the splits)")
    assert found.best_in[groups - 2] > 0.7


def test_the_number_is_the_same_in_other_units_and_axes() -> None:
    values = blobs(30, groups=3, spread=1.5).values.astype(np.float64)
    turned = 10 * values @ np.linalg.qr(NOISE[:6, :6])[0] + 5
    one, other = choose(values, seed=0), choose(turned, seed=0)
    np.testing.assert_allclose(one.stability, other.stability)
    np.testing.assert_allclose(one.null, other.null)
    assert one.why == other.why


@pytest.mark.parametrize("seed", range(3))
def test_noise_has_no_clear_number(seed: int) -> None:
    # stretched, so that two halves of it are much alike: that is covariance, and no cluster
    values = np.random.default_rng(seed).normal(size=(60, 8)) * [9, 3, 1, 1, 1, 1, 1, 1]
    found = choose(values, seed=seed)
    assert not found.has_clusters
    assert not found.clear
    assert found.n_clusters == 2 + found.silhouette.argmax()
    assert found.why.startswith("No clear number of clusters: random halves of the tracks agree no")


def nested(rng: np.random.Generator) -> np.ndarray:
    """Three families of four groups each: 3 is as right as 12."""
    families = 6 * rng.normal(size=(3, 1, 6)) + 2 * rng.normal(size=(3, 4, 6))
    return np.repeat(families.reshape(12, 6), 8, axis=0) + 0.5 * rng.normal(size=(96, 6))


def ring(rng: np.random.Generator) -> np.ndarray:
    """A shape which is not Gaussian, and has no parts."""
    angle = rng.uniform(0, 2 * np.pi, size=96)
    return np.column_stack([np.cos(angle), np.sin(angle), 0.05 * rng.normal(size=(96, 3))])


@pytest.mark.parametrize("shape", [nested, ring])
def test_what_is_not_noise_can_still_have_no_clear_number(
    shape: Callable[[np.random.Generator], np.ndarray],
) -> None:
    found = choose(shape(np.random.default_rng(0)), seed=0)
    assert found.has_clusters
    assert not found.clear
    low, high = found.between
    assert high > 2 * low
    assert f"agree best on {low} to {high} in half of the splits" in found.why


def test_no_more_clusters_are_tried_than_can_be_seen_in_halves() -> None:
    assert choose(NOISE[:12], seed=0).tried.tolist() == [2, 3, 4]
    assert choose(np.resize(NOISE, (63, 8)), seed=0).tried.tolist() == list(range(2, MOST + 1))


def test_the_interval_is_around_the_stability_and_within_its_range() -> None:
    found = choose(blobs(40, groups=3, spread=2.0).values, seed=0)
    assert (found.low <= found.stability).all()
    assert (found.stability <= found.high).all()
    assert (found.high <= 1).all()
    assert np.isclose(found.best_in.sum(), 1)


def test_equal_seeds_give_equal_numbers() -> None:
    one, other = (choose(NOISE[:20], seed=4) for _ in range(2))
    np.testing.assert_array_equal(one.null, other.null)
    np.testing.assert_array_equal(one.stability, other.stability)


def test_equal_tracks_and_few_tracks_are_an_answer() -> None:
    assert not choose(np.ones((30, 3)), seed=0).clear
    copies = choose(np.repeat(np.eye(3), 10, axis=0), seed=0)
    assert (copies.clear, copies.n_clusters) == (True, 3)
    for n in (4, 5, 9):
        assert isinstance(choose(NOISE[:n], seed=0), Choice)
    with pytest.raises(InputError, match="3 tracks"):
        choose(NOISE[:3], seed=0)


@pytest.mark.slow
@pytest.mark.parametrize("dim", [16, 400])
def test_a_false_number_is_rare_in_noise(dim: int) -> None:
    rng = np.random.default_rng(0)
    false = sum(choose(rng.normal(size=(100, dim)), seed=n).clear for n in range(100))
    assert false <= 5
