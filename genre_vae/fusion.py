"""Modalities joined by track id."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from genre_vae.records import FeatureSet, InputError
from genre_vae.scaling import Scaler


def concatenate(
    sets: Sequence[FeatureSet], *, weights: Sequence[float] | None = None
) -> FeatureSet:
    """The tracks that every modality has, with their values side by side.

    Each modality is standardised and divided by the root of its number of dimensions, so that it
    counts as much as another however many dimensions either has; then multiplied by its weight.

    Parameters
    ----------
    sets : values (n, d) each
        Joined by id, in the order of the first; ids that are not in all are left out.
    weights
        One per modality, 0 or more; all 1 by default.

    Returns
    -------
    FeatureSet named e.g. ``vae(mfcc) + lyrics(tfidf)``
        With the labels of the first and the highest label use of all.

    Raises
    ------
    InputError
        If fewer than two tracks are common to all, or the weights do not fit.
    """
    weights = [1.0] * len(sets) if weights is None else list(weights)
    if len(weights) != len(sets) or min(weights) < 0 or max(weights) == 0:
        raise InputError(f"weights {weights} for {len(sets)} modalities: one each, not all 0")
    common = set(sets[0].ids.tolist()).intersection(*(other.ids.tolist() for other in sets[1:]))
    ids = [track_id for track_id in sets[0].ids.tolist() if track_id in common]
    if len(ids) < 2:
        names = " and ".join(one.name for one in sets)
        raise InputError(f"{names} have {len(ids)} tracks in common, two are needed")
    blocks = []
    for one, weight in zip(sets, weights, strict=True):
        values = one.select(ids).values
        scaled = Scaler.fit(values).transform(values)
        blocks.append(weight / np.sqrt(values.shape[1]) * scaled)
    return (
        sets[0]
        .select(ids)
        .derive(
            " + ".join(one.name for one in sets),
            np.concatenate(blocks, axis=1).astype(np.float32),
            max(one.label_use for one in sets),
        )
    )
