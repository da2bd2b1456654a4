"""Modalities joined by track id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from genre_vae import clustering
from genre_vae.records import FeatureSet, InputError, LabelUse, known_genres
from genre_vae.scaling import Scaler

RUNS = 10  # k-means clusterings of each modality behind a consensus


def concatenate(sets: Sequence[FeatureSet]) -> FeatureSet:
    """The tracks that every modality has, with their standardised values side by side.

    A modality counts by its number of dimensions; `weighted` sees to it that it does not.

    Parameters
    ----------
    sets : values (n, d) each
        Joined by id, in the order of the first; ids that are not in all are left out.

    Returns
    -------
    FeatureSet named e.g. ``mfcc + lyrics(tfidf)``
        With the labels of the first and the highest label use of all.

    Raises
    ------
    InputError
        If fewer than two tracks are common to all.
    """
    joined = join(sets)
    return _side_by_side(joined, [Scaler.standardise(one.values) for one in joined])


def weighted(sets: Sequence[FeatureSet], weights: Sequence[float]) -> FeatureSet:
    """As `concatenate`, but each modality is divided by the root of its number of dimensions, so
    that it counts as much as another however many dimensions either has; then multiplied by its
    weight.

    Parameters
    ----------
    sets : values (n, d) each
    weights
        One per modality, 0 or more and not all 0; else InputError.
    """
    _check(weights, sets)
    joined = join(sets)
    return _side_by_side(
        joined,
        [
            weight / np.sqrt(one.values.shape[1]) * Scaler.standardise(one.values)
            for one, weight in zip(joined, weights, strict=True)
        ],
    )


def late(
    sets: Sequence[FeatureSet], weights: Sequence[float], *, n_clusters: int, seed: int
) -> FeatureSet:
    """The modalities' clusterings side by side, for a consensus of them.

    Each modality is clustered `RUNS` times by k-means, and a row says which cluster a track is in,
    each time, by a one among zeros (the hypergraph of Strehl & Ghosh, 2002). The squared distance
    of two tracks is then twice the weighted share of the clusterings that part them (one minus the
    co-association of Fred & Jain, 2005), and a clustering of the rows is the consensus.

    Parameters
    ----------
    sets : values (n, d) each
    weights
        One per modality, 0 or more and not all 0; else InputError.
    n_clusters
        In each clustering.
    seed
        Of the clusterings.
    """
    _check(weights, sets)
    joined = join(sets)
    shares = np.asarray(weights, dtype=np.float64) / sum(weights)
    blocks = []
    for one, share in zip(joined, shares.tolist(), strict=True):
        scaled = Scaler.standardise(one.values)
        for run in range(RUNS):
            found = clustering.cluster(
                scaled, algorithm="k-means", n_clusters=n_clusters, seed=seed * RUNS + run
            )
            blocks.append(np.sqrt(share / RUNS) * np.eye(n_clusters)[found])
    return _side_by_side(joined, blocks)


def one_hot(features: FeatureSet) -> FeatureSet:
    """The genre itself as a modality, one column each: an oracle (label use ``feature``).

    A track without a genre is 0 everywhere.
    """
    genres = np.array(known_genres(features.labels), dtype=str)
    hot = (features.labels[:, None] == genres).astype(np.float32)
    return features.derive("genre", hot, LabelUse.FEATURE)


def _check(weights: Sequence[float], sets: Sequence[FeatureSet]) -> None:
    if len(weights) != len(sets) or min(weights) < 0 or max(weights) == 0:
        raise InputError(f"weights {weights} for {len(sets)} modalities: one each, not all 0")


def join(sets: Sequence[FeatureSet]) -> list[FeatureSet]:
    """The modalities on the tracks that all have, in the order of the first; InputError for fewer
    than two such tracks."""
    common = set(sets[0].ids.tolist()).intersection(*(other.ids.tolist() for other in sets[1:]))
    ids = [track_id for track_id in sets[0].ids.tolist() if track_id in common]
    if len(ids) < 2:
        names = " and ".join(one.name for one in sets)
        raise InputError(f"{names} have {len(ids)} tracks in common, two are needed")
    return [one.select(ids) for one in sets]


def _side_by_side(
    sets: Sequence[FeatureSet], blocks: Sequence[npt.NDArray[np.floating]]
) -> FeatureSet:
    fused = sets[0].derive(
        " + ".join(one.name for one in sets),
        np.concatenate(blocks, axis=1).astype(np.float32),
        max(one.label_use for one in sets),
    )
    return replace(fused, pretrained=any(one.pretrained for one in sets))
