"""What every model has to beat: the raw features and their principal components."""

from __future__ import annotations

import numpy as np

from genre_vae.records import FeatureSet, InputError
from genre_vae.scaling import Scaler

BLOCK = 8192  # dimensions looked at at a time


def pca(features: FeatureSet, *, n_components: int) -> FeatureSet:
    """Principal components of the standardised features.

    Parameters
    ----------
    features : values (n, ...)
        Further axes are flattened to d.
    n_components
        Of the result; at most ``min(n, d)`` can be had, and more gives that many.

    Returns
    -------
    FeatureSet named e.g. ``pca(mfcc)``, values (n, n_components)

    Notes
    -----
    Fitted on all tracks: a clustering looks at all of them anyway, and no label is involved.
    The full solver is used, so there is no randomness.
    """
    from sklearn.decomposition import PCA

    if len(features) < 2:
        raise InputError(f"{features.name}: PCA needs two tracks, got {len(features)}")
    flat = features.values.reshape(len(features), -1)
    n_components = min(n_components, *flat.shape)
    standardised = Scaler.fit(flat).transform(flat)
    components = PCA(n_components, svd_solver="full").fit_transform(standardised)
    return features.derive(f"pca({features.name})", components.astype(np.float32))


def raw(features: FeatureSet) -> FeatureSet:
    """The values themselves, e.g. all of a clip's log-mel spectrogram, in fewer numbers.

    Parameters
    ----------
    features : values (n, ...)
        Further axes are flattened to d. They may stay on disk: they are read in slices.

    Returns
    -------
    FeatureSet named e.g. ``raw(mel)``, values (n, min(n - 1, d))
        Every Euclidean distance between two rows is what it was (classical scaling, Torgerson,
        1952), so k-means and Ward find what they would find in d dimensions, n / d times as fast.
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
