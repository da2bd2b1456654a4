"""The baselines that every model has to beat: the raw features and their principal components."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genre_vae.files import replacing
from genre_vae.records import FeatureSet, FloatArray, InputError
from genre_vae.scaling import Scaler

BLOCK = 8192  # dimensions read at a time


@dataclass(frozen=True, eq=False)
class Projection:
    """What a baseline makes of features, of other tracks too: their values in their geometry, and
    the principal components of these.

    Parameters
    ----------
    scaler
        The geometry of the d values.
    mean : (d,)
        The mean of the scaled values.
    components : (k, d), optional
        The principal axes, as orthonormal rows; None leaves the scaled values as they are.
    """

    scaler: Scaler
    mean: FloatArray | None = None
    components: FloatArray | None = None

    def apply(self, features: FeatureSet) -> FeatureSet:
        """(n, ...) flattened to (n, d) -> (n, k), a FeatureSet named e.g. ``pca(mfcc)``."""
        flat = self.scaler.transform(features.values.reshape(len(features), -1))
        if self.mean is None or self.components is None:
            return features.derive(f"raw({features.name})", flat)
        values = (flat - self.mean) @ self.components.T
        return features.derive(f"pca({features.name})", values.astype(np.float32))

    def save(self, path: Path) -> None:
        """Write an ``.npz`` file of plain arrays."""
        arrays = {"mean": self.mean, "components": self.components}
        kept = {name: array for name, array in arrays.items() if array is not None}
        with replacing(path) as temporary, temporary.open("wb") as file:
            np.savez(file, allow_pickle=False, **self.scaler.arrays(), **kept)

    @classmethod
    def load(cls, path: Path) -> Projection:
        """Read what `save` wrote."""
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        return cls(Scaler.of_arrays(arrays), arrays.get("mean"), arrays.get("components"))


def fit_pca(features: FeatureSet, *, n_components: int) -> Projection:
    """Fit a PCA on features in their geometry.

    Parameters
    ----------
    features : values (n, ...)
        Further axes are flattened to d.
    n_components
        Number of components, at most; there are no more than ``min(n, d)``.

    Raises
    ------
    InputError
        If there are fewer than two tracks.

    Notes
    -----
    It is fitted on all tracks: a clustering sees all of them anyway, and no label is involved. The
    full solver is used, so there is no randomness.
    """
    from sklearn.decomposition import PCA

    if len(features) < 2:
        raise InputError(f"{features.name}: PCA needs two tracks, got {len(features)}")
    flat = features.values.reshape(len(features), -1)
    scaler = Scaler.of(features)
    with np.errstate(divide="ignore", invalid="ignore"):  # equal rows explain 0 / 0 of variance
        fitted = PCA(min(n_components, *flat.shape), svd_solver="full").fit(scaler.transform(flat))
    mean, components = (one.astype(np.float32) for one in (fitted.mean_, fitted.components_))
    return Projection(scaler, mean, components)


def classical_mds(features: FeatureSet) -> FeatureSet:
    """The features themselves, e.g. a clip's whole log-mel spectrogram, in fewer dimensions.

    Classical multidimensional scaling (Torgerson, 1952) keeps every Euclidean distance between two
    rows, so k-means and Ward find the clusters that they would find in d dimensions, d / n times as
    fast.

    Parameters
    ----------
    features : values (n, ...)
        Further axes are flattened to d. The values may be memory-mapped: they are read in slices.

    Returns
    -------
    FeatureSet named e.g. ``raw(mel)``, values (n, min(n - 1, d))
    """
    n = len(features)
    flat = features.values.reshape(n, -1)
    gram = np.zeros((n, n))
    for start in range(0, flat.shape[1], BLOCK):
        block = flat[:, start : start + BLOCK].astype(np.float32)
        block -= block.mean(axis=0)
        gram += block @ block.T
    squared, directions = np.linalg.eigh(gram)
    kept = slice(n - min(n - 1, flat.shape[1]), n)
    values = directions[:, kept] * np.sqrt(np.maximum(squared[kept], 0))
    return features.derive(f"raw({features.name})", values[:, ::-1].astype(np.float32))
