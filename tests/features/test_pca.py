from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.spatial.distance import pdist
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from genre_vae.features.pca import Projection, classical_mds, fit_pca
from genre_vae.records import FeatureSet, Geometry, LabelUse
from genre_vae.scaling import Scaler, in_geometry
from tests.helpers import blobs


def pca(features: FeatureSet, *, n_components: int) -> FeatureSet:
    return fit_pca(features, n_components=n_components).apply(features)


def test_a_saved_projection_places_other_tracks_as_before(tmp_path: Path) -> None:
    features = blobs(60, groups=3, spread=1.0)
    fitted = fit_pca(features.select(features.ids[:40]), n_components=3)
    fitted.save(tmp_path / "pca.npz")
    again = Projection.load(tmp_path / "pca.npz")
    others = features.select(features.ids[40:])
    np.testing.assert_array_equal(again.apply(others).values, fitted.apply(others).values)
    one_by_one = [again.apply(others.select([i])).values[0] for i in others.ids]
    np.testing.assert_allclose(one_by_one, again.apply(others).values, atol=1e-5)


def test_pca_is_scikit_learns_on_standardised_values() -> None:
    features = blobs(60, groups=3, spread=1.0).compared_by(Geometry.STANDARDISED)
    expected = make_pipeline(StandardScaler(), PCA(4)).fit_transform(features.values)
    ours = pca(features, n_components=4).values
    signs = np.sign((ours * expected).sum(axis=0))
    np.testing.assert_allclose(ours, signs * expected, atol=1e-4)


def test_units_do_not_matter() -> None:
    features = blobs(60, groups=3, spread=1.0).compared_by(Geometry.STANDARDISED)
    units = np.array([1, 10, 100, 1e3, 1e4, 1e-3], np.float32)
    scaled = replace(features, values=features.values * units)
    np.testing.assert_allclose(
        np.abs(pca(scaled, n_components=2).values),
        np.abs(pca(features, n_components=2).values),
        atol=1e-3,
    )


def test_the_direct_baseline_is_the_input_in_its_geometry(tmp_path: Path) -> None:
    features = blobs(60, groups=3, spread=1.0).compared_by(Geometry.COSINE)
    direct = Projection(Scaler.of(features))
    direct.save(tmp_path / "pca.npz")
    made = Projection.load(tmp_path / "pca.npz").apply(features)
    np.testing.assert_array_equal(made.values, in_geometry(features))
    assert made.name == "raw(blobs)"
    assert in_geometry(made) is made.values, "what is made is compared as it is"


def test_no_more_components_than_there_are() -> None:
    assert pca(blobs(60, groups=3), n_components=100).values.shape == (60, 6)
    assert pca(blobs(4, groups=2), n_components=100).values.shape == (4, 4)


def test_label_use_is_kept() -> None:
    features = blobs(60, groups=3)
    touched = features.derive("x", features.values, LabelUse.FEATURE)
    assert pca(touched, n_components=2).label_use is LabelUse.FEATURE


def test_classical_scaling_keeps_every_distance() -> None:
    rng = np.random.default_rng(0)
    for shape in ((30, 3, 1, 8, 16), (30, 5)):  # more dimensions than tracks, and fewer
        values = rng.normal(size=shape).astype(np.float16)
        features = replace(blobs(30, groups=3), values=values)
        found = classical_mds(features).values
        assert found.shape == (30, min(29, values[0].size))
        wanted = pdist(values.reshape(30, -1).astype(np.float64))
        np.testing.assert_allclose(pdist(found), wanted, rtol=1e-4)


def test_classical_scaling_takes_no_label() -> None:
    features = blobs(30, groups=3)
    shuffled = replace(features, labels=features.labels[::-1].copy())
    np.testing.assert_array_equal(classical_mds(features).values, classical_mds(shuffled).values)
    assert classical_mds(features).label_use is LabelUse.NONE
