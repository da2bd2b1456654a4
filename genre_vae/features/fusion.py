"""Fusion of modalities, joined by track id. Axes: ``n`` tracks, ``d`` dimensions of a modality."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from genre_vae import clustering
from genre_vae.records import FeatureSet, FloatArray, InputError, LabelUse, known_genres
from genre_vae.scaling import Scaler

RUNS = 10  # k-means clusterings of each modality, for a consensus


def concatenate(sets: Sequence[FeatureSet]) -> FeatureSet:
    """Early fusion: the values of all modalities side by side, each in its geometry.

    The total variance of a modality is about its number of dimensions, so the more it has, the more
    it counts in the distances. `weighted` fusion corrects for that.

    Parameters
    ----------
    sets : values (n, d) each
        The modalities. They are joined by id, in the order of the first; ids that are not in all of
        them are left out.

    Returns
    -------
    FeatureSet named e.g. ``mfcc + lyrics(tfidf)``
        It has the labels of the first modality and the highest label use of all.

    Raises
    ------
    InputError
        If fewer than two tracks are common to all modalities.
    """
    joined = join(sets)
    return _side_by_side(joined, [_scaled(one) for one in joined])


def weighted(sets: Sequence[FeatureSet], weights: Sequence[float]) -> FeatureSet:
    """Early fusion in which modalities count equally, but for their weights.

    Each modality has one scale as a whole, in its geometry: its total variance becomes its weight's
    share of all weights, which is then its share of the squared distances, as it is by `late`.
    (Standardised dimension by dimension, a code's dead dimensions would be blown up to noise.)

    Parameters
    ----------
    sets : values (n, d) each
        The modalities, joined as in `concatenate`.
    weights
        One per modality, 0 or more and not all 0; the squared distances are proportional to it.

    Returns
    -------
    FeatureSet
        The values side by side, named and labelled as by `concatenate`.

    Raises
    ------
    InputError
        If the weights are not as described, or fewer than two tracks are common to all modalities.
    """
    joined = join(sets)
    return _side_by_side(
        joined,
        [
            np.sqrt(share / _total_variance(scaled)) * scaled
            for scaled, share in zip(map(_scaled, joined), _shares(weights, sets), strict=True)
        ],
    )


def combine(sets: Sequence[FeatureSet], *, name: str) -> FeatureSet:
    """Inputs side by side as they were measured, each block with its own geometry.

    Parameters
    ----------
    sets : values (n, d) each
        The inputs, joined as in `concatenate`.
    name
        What they are together.

    Returns
    -------
    FeatureSet
        Labelled as by `concatenate`. `genre_vae.scaling` gives all its blocks the same weight.

    Raises
    ------
    InputError
        If fewer than two tracks are common to all inputs.
    """
    joined = join(sets)
    combined = _side_by_side(joined, [one.values for one in joined])
    return replace(combined, name=name, blocks=tuple(b for one in joined for b in one.blocks))


def late(
    sets: Sequence[FeatureSet], weights: Sequence[float], *, n_clusters: int, seed: int
) -> FeatureSet:
    """Late fusion: the modalities' clusterings side by side, for a consensus of them.

    Each modality is clustered `RUNS` times by k-means, and each clustering is coded one-hot (the
    hypergraph of Strehl & Ghosh, 2002). The squared distance of two tracks is then twice the
    weighted share of the clusterings that separate them (one minus the co-association of Fred &
    Jain, 2005). K-means on these rows is the quadratic mutual information consensus of Topchy, Jain
    & Punch (2005).

    Parameters
    ----------
    sets : values (n, d) each
        The modalities, joined as in `concatenate`.
    weights
        One per modality, 0 or more and not all 0; the squared distances are proportional to it.
    n_clusters
        The number of clusters in each clustering.
    seed
        Seed for the random starts of k-means.

    Returns
    -------
    FeatureSet
        Values (n, modalities x `RUNS` x n_clusters); named and labelled as by `concatenate`.

    Raises
    ------
    InputError
        If the weights are not as described, fewer than two tracks are common to all modalities, or
        `n_clusters` does not fit their number.
    """
    joined = join(sets)
    blocks = []
    for one, share in zip(joined, _shares(weights, sets), strict=True):
        scaled = _scaled(one)
        for run in range(RUNS):
            found = clustering.cluster(
                scaled, algorithm="k-means", n_clusters=n_clusters, seed=seed * RUNS + run
            )
            blocks.append(np.sqrt(share / RUNS) * np.eye(n_clusters)[found])
    return _side_by_side(joined, blocks)


def one_hot(features: FeatureSet) -> FeatureSet:
    """The genre itself as a modality, one-hot: an oracle (label use ``feature``).

    The row of a track without a genre is all 0.
    """
    genres = np.array(known_genres(features.labels), dtype=str)
    hot = (features.labels[:, None] == genres).astype(np.float32)
    return features.derive("genre", hot, LabelUse.FEATURE)


def _shares(weights: Sequence[float], sets: Sequence[FeatureSet]) -> list[float]:
    """Each weight's share of them all."""
    if len(weights) != len(sets) or min(weights) < 0 or max(weights) == 0:
        raise InputError(f"weights {weights} for {len(sets)} modalities: one each, not all 0")
    return [weight / sum(weights) for weight in weights]


def _scaled(one: FeatureSet) -> FloatArray:
    """A modality's values (n, d) in its geometry, with a total variance of about d."""
    return Scaler.of(one).transform(one.values)


def _total_variance(values: FloatArray) -> float:
    """The sum of the variances of all dimensions (n, d); 1 for a constant modality."""
    return float(values.var(axis=0, dtype=np.float64).sum()) or 1.0


def join(sets: Sequence[FeatureSet]) -> list[FeatureSet]:
    """The modalities restricted to the tracks that are in all of them, in the order of the first.

    Raises
    ------
    InputError
        If there are fewer than two such tracks.
    """
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
