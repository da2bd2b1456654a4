"""Does a modality carry more than the label?

The decisive test permutes a modality's rows within genre: what is then left of it is the label
alone. If a clustering of it scores the same and its tie to the audio within genres was never there,
the modality was made from the label.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from genre_vae.records import FeatureSet, FloatArray


def permute_within_genre(features: FeatureSet, *, seed: int) -> FeatureSet:
    """The same rows dealt anew among the tracks of each genre: values (n, ...) -> (n, ...)."""
    rng = np.random.default_rng(seed)
    values = np.array(features.values)
    for genre in np.unique(features.labels):
        rows = np.flatnonzero(features.labels == genre)
        values[rows] = features.values[rng.permutation(rows)]
    return replace(features, name=f"{features.name}, permuted within genre", values=values)


def alignment_within_genre(one: FeatureSet, other: FeatureSet) -> float:
    """How far two modalities agree on what differs between the tracks of one genre.

    Linear CKA (Kornblith et al., 2019, arXiv:1905.00414) of both after the mean of each genre is
    taken out. 1 for the same differences, near 0 (more so the more tracks there are) for none;
    compare with the same after `permute_within_genre`.

    Parameters
    ----------
    one, other : values (n, d) each
        Of the same tracks in the same order; ValueError otherwise.
    """
    if not np.array_equal(one.ids, other.ids):
        raise ValueError(f"{one.name} and {other.name} are not of the same tracks in one order")
    x, y = (_within_genre(features) for features in (one, other))
    norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(x.T @ y) ** 2 / norms) if norms > 0 else float("nan")


def _within_genre(features: FeatureSet) -> FloatArray:
    values = np.asarray(features.values, dtype=np.float32).reshape(len(features), -1).copy()
    for genre in np.unique(features.labels):
        rows = features.labels == genre
        values[rows] -= values[rows].mean(axis=0)
    return values
