"""What every model has to beat: the raw features and their principal components."""

from __future__ import annotations

import numpy as np

from genre_vae.records import FeatureSet, InputError
from genre_vae.scaling import Scaler


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
