from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from sklearn.metrics.pairwise import cosine_distances

from genre_vae.records import Block, FeatureSet, Geometry
from genre_vae.scaling import Scaler, in_geometry
from tests.helpers import blobs

FEATURES = blobs(60, groups=3, d=6, spread=1.0)
UNITS = np.array([1, 10, 100, 1e3, 1e4, 1e-3], np.float32)


def test_scaler_standardises_and_leaves_constants_alone() -> None:
    values = np.random.default_rng(0).normal(5, 3, size=(100, 4)).astype(np.float32)
    values[:, 2] = 7
    scaled = Scaler.fit(values).transform(values)
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=0), [1, 1, 0, 1], atol=1e-5)


@pytest.mark.parametrize("offset", [1e4, -1e4])
def test_scaler_keeps_its_precision_far_from_zero(offset: float) -> None:
    values = (np.random.default_rng(0).normal(size=(1000, 2)) + offset).astype(np.float32)
    scaled = Scaler.fit(values).transform(values)
    np.testing.assert_allclose(scaled.std(axis=0), 1, atol=1e-2)


def test_standardised_values_have_no_units() -> None:
    features = FEATURES.compared_by(Geometry.STANDARDISED)
    scaled = replace(features, values=features.values * UNITS)
    np.testing.assert_allclose(in_geometry(scaled), in_geometry(features), atol=1e-4)


def test_distances_by_cosine_are_those_of_the_angle_about_the_mean() -> None:
    features = FEATURES.compared_by(Geometry.COSINE)
    centred = features.values - features.values.mean(axis=0)
    expected = cosine_distances(centred)[np.triu_indices(60, 1)]
    squared = pdist(in_geometry(features), "sqeuclidean")
    np.testing.assert_allclose(squared, 2 * 6 * expected, atol=1e-3)  # rows have length sqrt(6)


def test_by_cosine_the_length_of_a_track_does_not_count() -> None:
    """Rows moved along their direction from the mean, in pairs so that the mean stays."""
    rng = np.random.default_rng(0)
    half = rng.normal(size=(30, 5)).astype(np.float32)
    stretched = half * rng.uniform(0.5, 2, size=(30, 1)).astype(np.float32)
    one, other = (
        in_geometry(
            replace(blobs(60, groups=3, d=5), values=np.concatenate([rows, -rows])).compared_by(
                Geometry.COSINE
            )
        )
        for rows in (half, stretched)
    )
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_codes_are_compared_as_they_are() -> None:
    assert in_geometry(FEATURES) is FEATURES.values
    scaled = in_geometry(FEATURES.compared_by(Geometry.AS_IS))
    ratio = pdist(scaled) / pdist(FEATURES.values)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-4)


@pytest.mark.parametrize("geometry", [Geometry.AS_IS, Geometry.COSINE])
def test_dimensions_in_which_nothing_happens_are_not_blown_up(geometry: Geometry) -> None:
    dead = FEATURES.values.copy()
    dead[:, 5] = 1e-3 * np.random.default_rng(1).normal(size=60)
    features = replace(FEATURES, values=dead)
    shares = [
        in_geometry(features.compared_by(one)).var(axis=0)[5] / 6
        for one in (geometry, Geometry.STANDARDISED)
    ]
    assert shares[0] < 1e-6 < shares[1] == pytest.approx(1 / 6, rel=1e-3)


def three_blocks(values: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> FeatureSet:
    blocks = (
        Block("measured", 3, Geometry.STANDARDISED),
        Block("vectors", 2, Geometry.COSINE),
        Block("codes", 1, Geometry.AS_IS),
    )
    return replace(FEATURES, values=values, blocks=blocks)


def test_blocks_have_the_same_weight_in_every_track_whatever_their_size_and_units() -> None:
    placed = in_geometry(three_blocks(FEATURES.values))
    for columns in (slice(0, 3), slice(3, 5), slice(5, 6)):
        np.testing.assert_allclose(np.linalg.norm(placed[:, columns], axis=1), 2**0.5, rtol=1e-4)
    units = np.array([1, 7, 0.1, 1e3, 1e3, 1e-3], np.float32)  # one for each block that has one
    np.testing.assert_allclose(
        in_geometry(three_blocks(FEATURES.values * units)), placed, atol=1e-4
    )


def test_a_block_counts_by_its_weight() -> None:
    features = three_blocks(FEATURES.values)
    weights = (1.0, 2.0, 0.5)
    blocks = tuple(
        block._replace(weight=weight)
        for block, weight in zip(features.blocks, weights, strict=True)
    )
    placed = in_geometry(replace(features, blocks=blocks))
    for columns, weight in zip((slice(0, 3), slice(3, 5), slice(5, 6)), weights, strict=True):
        squared = np.linalg.norm(placed[:, columns], axis=1) ** 2
        np.testing.assert_allclose(squared, 6 * weight / sum(weights), rtol=1e-4)


def test_a_constant_block_adds_nothing() -> None:
    values = FEATURES.values.copy()
    values[:, 3:5] = 4
    assert (in_geometry(three_blocks(values))[:, 3:5] == 0).all()


@pytest.mark.parametrize(
    "of",
    [lambda f: f.compared_by(Geometry.STANDARDISED), lambda f: f, lambda f: three_blocks(f.values)],
)
def test_a_new_track_is_placed_as_the_collection_was(
    of: Callable[[FeatureSet], FeatureSet],
) -> None:
    features = of(FEATURES)
    scaler = Scaler.of(features)
    alone = [scaler.transform(row[None])[0] for row in features.values]
    np.testing.assert_array_equal(alone, scaler.transform(features.values))
    again = Scaler.of_arrays(scaler.arrays())
    np.testing.assert_array_equal(
        again.transform(features.values), scaler.transform(features.values)
    )


def test_what_was_scaled_comes_back_but_for_its_length() -> None:
    standardised = Scaler.of(FEATURES.compared_by(Geometry.STANDARDISED))
    back = standardised.inverse(standardised.transform(FEATURES.values))
    np.testing.assert_allclose(back, FEATURES.values, atol=1e-4)
    by_angle = Scaler.of(three_blocks(FEATURES.values))
    placed = by_angle.transform(FEATURES.values)
    np.testing.assert_allclose(by_angle.transform(by_angle.inverse(placed)), placed, atol=1e-4)


def test_blocks_have_to_cover_the_columns() -> None:
    with pytest.raises(ValueError, match=r"blocks of \[5\] columns"):
        replace(FEATURES, blocks=(Block("x", 5, Geometry.COSINE),))
