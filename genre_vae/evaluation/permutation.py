"""Permutation tests: can the genre be read from values, and do they follow others within genres?

A permutation test compares a statistic with its draws under a null, in which labels or rows are
reordered at random (Phipson & Smyth, 2010, for the p-value). Axes: ``n`` tracks, ``d`` dimensions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genre_vae.records import IntArray, StrArray
from genre_vae.scaling import Scaler

N_PERMUTATIONS = 499  # draws of every null: the smallest p-value is 1 / 500
FOLDS = 5  # folds of the probe; fewer where a genre has fewer tracks
RIDGE = 1.0  # penalty of the probe: scikit-learn's default

Floats = npt.NDArray[np.float64]
# Gives the rows of one genre in another order.
Permute = Callable[[IntArray, np.random.Generator], IntArray]


@dataclass(frozen=True)
class PermutationTest:
    """A statistic, its mean under its null, and its p-value; nan where it is undefined."""

    value: float = math.nan
    chance: float = math.nan
    p: float = math.nan

    @classmethod
    def of(cls, value: float, null: Floats) -> PermutationTest:
        """The test of `value` against its draws under the null, (draws,).

        The p-value is the share of draws, `value` among them, that reach `value`.
        """
        reached = np.count_nonzero(null >= value - 1e-9 * abs(value))  # equal but for rounding
        return cls(float(value), float(null.mean()), (1 + int(reached)) / (1 + len(null)))


def linear_probe(
    x: Floats, labels: StrArray, *, seed: int, rng: np.random.Generator
) -> PermutationTest:
    """Test whether a linear classifier can read the genre from values.

    The statistic is the cross-validated accuracy of ridge regression on standardised values to
    genre indicators: scikit-learn's RidgeClassifier. The null shuffles genres among the tracks of
    each fold: every shuffle has folds as well stratified as the real ones, and one (tests, train)
    matrix per fold serves all of them.

    Parameters
    ----------
    x : (n, d)
        The values.
    labels : (n,)
        Two genres or more.
    seed
        Random seed of the folds.
    rng
        Source of the shuffles.
    """
    from sklearn.model_selection import StratifiedKFold

    genres, truth, counts = np.unique(labels, return_inverse=True, return_counts=True)
    splitter = StratifiedKFold(min(FOLDS, int(counts.min())), shuffle=True, random_state=seed)
    folds = list(splitter.split(x, truth))
    drawn = np.tile(truth, (1 + N_PERMUTATIONS, 1))  # (draws, n), the real genres first
    for _, test in folds:
        drawn[1:, test] = rng.permuted(drawn[1:, test], axis=1)
    indicators = np.eye(len(genres))
    right = np.zeros(1 + N_PERMUTATIONS)
    for train, test in folds:
        scaler = Scaler.fit(x[train])
        fitted, held_out = (scaler.transform(x[rows]).astype(np.float64) for rows in (train, test))
        gram = fitted.T @ fitted + RIDGE * np.eye(x.shape[1])
        hat = held_out @ np.linalg.solve(gram, fitted.T)
        intercept = indicators[truth[train]].mean(axis=0)  # the same for every shuffle
        for draw, genre in enumerate(drawn):
            predicted = (hat @ indicators[genre[train]] + intercept).argmax(axis=1)
            right[draw] += np.count_nonzero(predicted == genre[test])
    return PermutationTest.of(right[0] / len(x), right[1:] / len(x))


def within_genre_cka(
    x: Floats, y: Floats, labels: StrArray, permute: Permute, rng: np.random.Generator
) -> PermutationTest:
    """Test whether two sets of values agree on what differs between the tracks of one genre.

    The statistic is linear CKA (Kornblith et al., 2019, arXiv:1905.00414) after the mean of each
    genre is taken out of both and their principal components are `sqrt_whitened`. Permuting rows
    changes neither norm, and of the agreement only X'PY: (d, n) by (n, d) per draw.

    Parameters
    ----------
    x, y : (n, d) each
        Rows of the same tracks.
    labels : (n,)
        Their genres.
    permute
        Reorders the rows of a genre for a draw under the null.
    rng
        Source of the permutations.

    Returns
    -------
    PermutationTest
        Its value lies in [0, 1]. It is undefined where x or y is constant within every genre.
    """
    x, y = (sqrt_whitened(centred(one, labels)) for one in (x, y))
    if not (x.size and y.size):
        return PermutationTest()
    genres = [np.flatnonzero(labels == genre) for genre in np.unique(labels)]
    where = np.concatenate(genres)
    null = np.empty(N_PERMUTATIONS)
    for draw in range(N_PERMUTATIONS):
        permuted = np.empty_like(y)
        permuted[where] = y[np.concatenate([permute(rows, rng) for rows in genres])]
        null[draw] = np.linalg.norm(x.T @ permuted) ** 2
    norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return PermutationTest.of(float(np.linalg.norm(x.T @ y) ** 2 / norms), null / norms)


def permuted_rows(rows: IntArray, rng: np.random.Generator) -> IntArray:
    """Rows in a random order: for tracks that are exchangeable."""
    return rng.permutation(rows)


def shifted_rows(rows: IntArray, rng: np.random.Generator) -> IntArray:
    """Rows shifted cyclically by a random number: for a series, whose neighbours depend on each
    other."""
    return np.roll(rows, rng.integers(len(rows)))


def sqrt_whitened(x: Floats) -> Floats:
    """Principal components (n, r) of centred values (n, d), each to the square root of its length.

    Left as they are, the one or two longest components drown the rest in the agreement; whitened to
    equal length, the shortest, all noise, do. r is 0 where x is constant.
    """
    directions, lengths, _ = np.linalg.svd(x, full_matrices=False)
    kept = lengths > max(1e-9, 1e-6 * lengths.max(initial=0))  # longer than rounding
    return np.asarray(directions[:, kept] * np.sqrt(lengths[kept]))


def centred(values: npt.NDArray[np.floating], labels: StrArray) -> Floats:
    """Values (n, d) less the mean of each genre -> (n, d)."""
    rest = np.array(values, dtype=np.float64)
    for genre in np.unique(labels):
        rest[labels == genre] -= rest[labels == genre].mean(axis=0)
    return rest


def nmi_test(labels: StrArray, clusters: IntArray, rng: np.random.Generator) -> PermutationTest:
    """Test the NMI of labels and clusters, (n,) each, against that with the labels permuted.

    It is undefined with fewer than two genres or clusters, which carry no information.
    """
    if len(np.unique(labels)) < 2 or len(np.unique(clusters)) < 2:
        return PermutationTest()
    _, genre, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    _, group, groups = np.unique(clusters, return_inverse=True, return_counts=True)

    def entropy(counts: IntArray) -> float:
        shares = counts[counts > 0] / len(labels)
        return float(-(shares * np.log(shares)).sum())

    def nmi(genre: IntArray) -> float:
        joint = entropy(np.bincount(genre * len(groups) + group))
        return 2 - 2 * joint / both

    both = entropy(sizes) + entropy(groups)
    null = np.array([nmi(rng.permutation(genre)) for _ in range(N_PERMUTATIONS)])
    return PermutationTest.of(nmi(genre), null)
