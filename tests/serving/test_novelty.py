from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom, kstest

from genre_vae.records import FeatureSet, Geometry
from genre_vae.serving.novelty import RATE, Novelty
from tests.helpers import blobs


def collection(n: int, *, seed: int) -> FeatureSet:
    return blobs(n, groups=5, d=8, spread=1.0, seed=0).derive(
        "descriptor", tracks(n, seed=seed)
    ).compared_by(Geometry.STANDARDISED)  # fmt: skip


def tracks(n: int, *, seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """Tracks of five kinds whose dimensions have different units."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(scale=3, size=(5, 8))
    units = np.array([1, 10, 100, 1e3, 0.1, 1, 1, 1])
    values = (centres[rng.integers(5, size=n)] + rng.normal(size=(n, 8))) * units
    return np.asarray(values, dtype=np.float32)


def test_one_new_track_of_the_same_kind_in_a_hundred_is_called_unlike_anything() -> None:
    called, asked = 0, 0
    for seed in range(20):
        novelty = Novelty(collection(300, seed=seed))
        new = novelty.unlike(tracks(100, seed=1000 + seed))
        called, asked = called + int(new.sum()), asked + len(new)
    # draws of one collection depend on each other, so the bounds are wider than the binomial's
    low, high = binom.interval(0.9999, asked, RATE)
    assert low <= called <= high, f"{called} of {asked}"


def test_p_values_of_new_tracks_are_uniform() -> None:
    p = [
        Novelty(collection(100, seed=seed)).p_values(tracks(1, seed=5000 + seed))[0]
        for seed in range(300)
    ]
    assert kstest(p, "uniform").pvalue > 0.01


def test_what_is_far_from_all_is_called_so_and_the_collections_own_tracks_are_not() -> None:
    sounds = collection(150, seed=0)
    novelty = Novelty(sounds)
    assert novelty.unlike(sounds.values.max(axis=0)[None] * 10).all()
    assert not novelty.unlike(sounds.values).any()
    np.testing.assert_allclose(novelty.p_values(sounds.values), 1)


@pytest.mark.parametrize("n", [5, 30])
def test_a_small_collection_calls_what_is_further_than_any_of_its_own(n: int) -> None:
    sounds = collection(n, seed=0)
    novelty = Novelty(sounds)
    assert novelty.unlike(1e3 * sounds.values[:1]).all()
    assert novelty.p_values(1e3 * sounds.values[:1])[0] == pytest.approx(1 / (1 + n))
    assert not novelty.unlike(sounds.values).any()


def test_an_answer_does_not_depend_on_what_else_is_asked() -> None:
    novelty = Novelty(collection(120, seed=0))
    new = tracks(20, seed=7)
    alone = [novelty.p_values(one[None])[0] for one in new]
    np.testing.assert_array_equal(alone, novelty.p_values(new))
