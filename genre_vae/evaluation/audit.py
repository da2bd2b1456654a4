"""Does a modality carry more than the label?

What a modality says of itself (`LabelUse`) is a declaration. The audit looks at the values: it asks
whether they tell the genre, and if so whether they also follow the audio where the genre cannot
help, between the tracks of one genre. Values made from the label do the first and not the second.
``docs/audit.md`` explains the rule and says how often it errs.

Axes: ``n`` tracks, ``d`` dimensions, ``g`` genres.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from genre_vae.records import FeatureSet, IntArray, StrArray
from genre_vae.scaling import Scaler

DRAWS = 499  # of every null: the smallest p-value is 1 / 500, well below SURE
SURE = 0.01  # a p-value up to this is a finding: one innocent or guilty case in 100 passes by luck
DOUBT = 0.05  # above this nothing was found; between the two the audit does not decide
FOLDS = 5  # of the probe, fewer where a genre is smaller
RIDGE = 1.0  # the probe's penalty: scikit-learn's default
MIN_GENRE = 4  # tracks: with fewer, leaving out a fold or a genre's mean leaves nothing to compare
# Tracks less genres. With fewer, a tie that a listener would call plain is missed often
# (docs/audit.md), so that finding none says little.
MIN_FREEDOM = 60
MIN_TRACKS = 30  # with fewer, that the genre cannot be read says little
FILL_SHARE = 0.05  # of the tracks: fewer repeated rows are a few songs that share their words
# NMI of value and genre among the repeated rows: 1 where every genre has one fill of its own, less
# for versions of songs (several values a genre) and for categories (several genres a value).
FILL_NMI = 0.95

Floats = npt.NDArray[np.float64]
Deal = Callable[[IntArray, np.random.Generator], IntArray]  # rows of one genre -> the same, dealt


@dataclass(frozen=True)
class Audit:
    """What was found about one modality: a row of ``audit.csv``. nan is undefined.

    Parameters
    ----------
    features, n_samples, label_use
        Its name, the tracks that it and the reference have and whose genre is known, and the label
        use that it declares.
    probe, probe_chance, probe_p
        Cross-validated accuracy of a linear classifier from values to genres, the mean of the same
        with shuffled genres, and the p-value.
    alignment, alignment_chance, alignment_p
        Agreement with the reference within genres, the mean of the same with the rows permuted
        within genre, and the p-value.
    order_p
        The p-value of that agreement with the order of the files taken out.
    repeated
        Share of the tracks whose values are exactly another track's, though their audio differs.
    repeated_nmi, repeated_nmi_chance, repeated_p
        How far being such a track tells the genre. Reported only: gaps may be honest.
    fill_nmi, fill_p
        Among those tracks, how far the value that they repeat tells the genre.
    verdict
        ``clear``, ``label`` (made from the genre), ``order`` (made from the order of the files) or
        ``unknown``.
    reason
        The verdict in one line.
    """

    features: str
    n_samples: int
    label_use: str
    probe: float
    probe_chance: float
    probe_p: float
    alignment: float
    alignment_chance: float
    alignment_p: float
    order_p: float
    repeated: float
    repeated_nmi: float
    repeated_nmi_chance: float
    repeated_p: float
    fill_nmi: float
    fill_p: float
    verdict: str
    reason: str


@dataclass(frozen=True)
class _Against:
    """A statistic, its mean under its null, and its p-value."""

    value: float = math.nan
    chance: float = math.nan
    p: float = math.nan

    @classmethod
    def null(cls, value: float, null: Floats) -> _Against:
        """(draws,) -> the share of draws, the real one among them, that reach `value`."""
        reached = np.count_nonzero(null >= value - 1e-9 * abs(value))  # equal but for rounding
        return cls(float(value), float(null.mean()), (1 + int(reached)) / (1 + len(null)))


def audit(features: FeatureSet, reference: FeatureSet, *, seed: int) -> Audit:
    """Judge whether a modality carries more than the label.

    Parameters
    ----------
    features : values (n, d), or more axes
        The modality.
    reference : values (n, d), or more axes
        Measured from the audio of the same tracks in another way. Rows are joined by id; the order
        of neither matters.
    seed
        Of folds and permutations.
    """
    common = sorted(set(features.ids.tolist()) & set(reference.ids.tolist()))
    genre = dict(zip(features.ids.tolist(), features.labels.tolist(), strict=True))
    ids = [track_id for track_id in common if genre[track_id]]
    labels = np.array([genre[track_id] for track_id in ids], dtype=str)
    features, reference = features.select(ids), reference.select(ids)

    rng = np.random.default_rng(seed)
    repeats = _repeats(features, reference)
    gaps = _information(labels, (repeats >= 0).astype(np.int64), rng)
    fill = _information(labels[repeats >= 0], repeats[repeats >= 0], rng)
    share = float(np.mean(repeats >= 0)) if ids else math.nan

    # A row that repeats another may be a fill, which says nothing of its track: the other checks
    # leave it out. Where most rows repeat (one-hot, categories) they are the modality itself.
    rows = _of_large_genres(labels, (repeats < 0) | (share >= 0.5))
    x, y, labels = _flat(features)[rows], _flat(reference)[rows], labels[rows]
    probe = tie = order = _Against()
    if len(np.unique(labels)) > 1:
        probe = _probe(x, labels, seed, rng)
        tie = _tie(x, y, labels, _permuted, rng)
        order = _tie(*_steps(x, y, labels), _shifted, rng)
    alike = not _levelled(_centred(x, labels)).size
    verdict, reason = _judge(probe, tie, order, fill, share, labels, alike=alike)
    return Audit(
        features.name,
        len(ids),
        str(features.label_use),
        *(probe.value, probe.chance, probe.p),
        *(tie.value, tie.chance, tie.p, order.p),
        *(share, gaps.value, gaps.chance, gaps.p, fill.value, fill.p),
        verdict,
        reason,
    )


def _judge(
    probe: _Against,
    tie: _Against,
    order: _Against,
    fill: _Against,
    share: float,
    labels: StrArray,
    *,
    alike: bool,
) -> tuple[str, str]:
    """Verdict and reason; every p-value decides in one place.

    `labels` are of the tracks probed, and `alike` says that those of a genre have equal values.
    """
    filled = share >= FILL_SHARE and fill.value >= FILL_NMI
    told = (
        f"{share:.0%} of the tracks have the very values of others, and these tell the genre "
        f"(NMI {fill.value:.2f}, p = {fill.p:.3f})"
    )
    if filled and fill.p <= SURE:
        return "label", f"{told}: they were made or filled from it"
    if filled and fill.p <= DOUBT:
        return "unknown", f"{told}, but they are few"
    if math.isnan(probe.p):
        return "unknown", f"fewer than two genres have {MIN_GENRE} tracks or more"
    n_genres = len(np.unique(labels))
    read = f"the genre can be read ({probe.value:.0%} right, {probe.chance:.0%} by chance)"
    if tie.p <= SURE and order.p <= SURE:
        return "clear", (
            f"it follows the audio within genres (p = {tie.p:.3f}; without the order of the files "
            f"{order.p:.3f})"
        )
    if probe.p > DOUBT and len(labels) >= MIN_TRACKS:
        return "clear", (
            f"the genre cannot be read from it ({probe.value:.0%} right, {probe.chance:.0%} by "
            f"chance, p = {probe.p:.2f})"
        )
    if len(labels) - n_genres < MIN_FREEDOM:
        return "unknown", (
            f"{len(labels)} tracks in {n_genres} genres are too few to tell: no tie to the audio "
            "found within genres"
        )
    if probe.p <= SURE and alike:
        return "label", f"{read}, and all tracks of a genre have the same values"
    if probe.p <= SURE and tie.p > DOUBT:
        return "label", f"{read}, but within genres nothing ties it to the audio (p = {tie.p:.2f})"
    if probe.p <= SURE and tie.p <= SURE and not order.p <= DOUBT:  # nan: nothing but order
        return "order", (
            f"{read}, but it follows the audio only as far as both follow the order of the files "
            f"(p = {tie.p:.3f}; without the order {order.p:.2f})"
        )
    if math.isnan(tie.p):
        return "unknown", f"{read}, and the reference knows no difference within genres"
    return "unknown", (
        f"on the border: the genre can be read with p = {probe.p:.3f}, the tie to the audio within "
        f"genres has p = {tie.p:.3f}, without the order of the files {order.p:.3f}"
    )


def _flat(features: FeatureSet) -> Floats:
    """(n, ...) -> (n, d), the largest value 1; where d > n the n // 4 leading principal components.

    Nothing in the audit depends on the unit, and so overflow cannot spoil it. More dimensions than
    tracks would cost time and give the probe nothing but noise to fit.
    """
    width = math.prod(features.values.shape[1:])
    values = np.asarray(features.values).reshape(len(features), width).astype(np.float32)
    largest = np.abs(values).max(initial=0)
    values /= largest if largest > 0 else 1
    if width <= len(values) or not len(values):
        return values.astype(np.float64)
    values -= values.mean(axis=0)
    variances, directions = np.linalg.eigh((values @ values.T).astype(np.float64))
    leading = slice(None, -max(2, len(values) // 4) - 1, -1)
    return np.asarray(directions[:, leading] * np.sqrt(np.maximum(variances[leading], 0)))


def _of_large_genres(labels: StrArray, rows: npt.NDArray[np.bool_]) -> IntArray:
    """The rows, of those that are True, whose genre has `MIN_GENRE` of them or more."""
    genres, counts = np.unique(labels[rows], return_counts=True)
    return np.flatnonzero(rows & np.isin(labels, genres[counts >= MIN_GENRE]))


def _probe(x: Floats, labels: StrArray, seed: int, rng: np.random.Generator) -> _Against:
    """Cross-validated accuracy of ridge regression on standardised values to genre indicators.

    That is scikit-learn's RidgeClassifier. The null shuffles genres among the tracks of each fold:
    every shuffle has folds as well stratified as the real ones, and one (tests, train) matrix per
    fold serves all of them.
    """
    from sklearn.model_selection import StratifiedKFold

    genres, truth, counts = np.unique(labels, return_inverse=True, return_counts=True)
    splitter = StratifiedKFold(min(FOLDS, int(counts.min())), shuffle=True, random_state=seed)
    folds = list(splitter.split(x, truth))
    drawn = np.tile(truth, (1 + DRAWS, 1))  # (draws, n), the real genres first
    for _, test in folds:
        drawn[1:, test] = rng.permuted(drawn[1:, test], axis=1)
    indicators = np.eye(len(genres))
    right = np.zeros(1 + DRAWS)
    for train, test in folds:
        scaler = Scaler.fit(x[train])
        fitted, held_out = (scaler.transform(x[rows]).astype(np.float64) for rows in (train, test))
        gram = fitted.T @ fitted + RIDGE * np.eye(x.shape[1])
        hat = held_out @ np.linalg.solve(gram, fitted.T)
        intercept = indicators[truth[train]].mean(axis=0)  # of every shuffle
        for draw, genre in enumerate(drawn):
            said = (hat @ indicators[genre[train]] + intercept).argmax(axis=1)
            right[draw] += np.count_nonzero(said == genre[test])
    return _Against.null(right[0] / len(x), right[1:] / len(x))


def _tie(x: Floats, y: Floats, labels: StrArray, deal: Deal, rng: np.random.Generator) -> _Against:
    """Agreement of x and y within genres, against that with the rows of y dealt anew.

    Dealing changes neither norm, and of the agreement only X'PY: (d, n) by (n, d) per draw.
    """
    x, y = (_levelled(_centred(one, labels)) for one in (x, y))
    if not (x.size and y.size):
        return _Against()
    genres = [np.flatnonzero(labels == genre) for genre in np.unique(labels)]
    where = np.concatenate(genres)
    null = np.empty(DRAWS)
    for draw in range(DRAWS):
        dealt = np.empty_like(y)
        dealt[where] = y[np.concatenate([deal(rows, rng) for rows in genres])]
        null[draw] = np.linalg.norm(x.T @ dealt) ** 2
    norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return _Against.null(float(np.linalg.norm(x.T @ y) ** 2 / norms), null / norms)


def _permuted(rows: IntArray, rng: np.random.Generator) -> IntArray:
    return rng.permutation(rows)


def _shifted(rows: IntArray, rng: np.random.Generator) -> IntArray:
    return np.roll(rows, rng.integers(len(rows)))


def _steps(x: Floats, y: Floats, labels: StrArray) -> tuple[Floats, Floats, StrArray]:
    """From each track to the next of its genre, (n, d) -> (n - g, d), rows being in file order.

    A drift along the files all but vanishes from the steps, and a tie between tracks does not.
    What serial dependence is left the cyclic shifts keep, but for the seam that they move; in
    genres of five tracks the p-value is therefore too small (docs/audit.md).
    """
    genres = [np.flatnonzero(labels == genre) for genre in np.unique(labels)]
    x, y = (np.concatenate([np.diff(one[rows], axis=0) for rows in genres]) for one in (x, y))
    return x, y, np.concatenate([labels[rows[1:]] for rows in genres])


def _levelled(x: Floats) -> Floats:
    """(n, d) -> (n, r): principal components, each to the square root of its length.

    Left as they are, the one or two largest components drown the rest in the agreement; made equal,
    the smallest, all noise, do. On the demo's words the square root finds the tie at the fewest
    tracks. No length stays where x is constant.
    """
    directions, lengths, _ = np.linalg.svd(x, full_matrices=False)
    kept = lengths > max(1e-9, 1e-6 * lengths.max(initial=0))  # longer than rounding
    return np.asarray(directions[:, kept] * np.sqrt(lengths[kept]))


def _repeats(features: FeatureSet, reference: FeatureSet) -> IntArray:
    """(n,) a number for each value that tracks with other audio share, -1 for rows without such.

    The same recording filed twice repeats the reference too, and does not count.
    """
    value = _numbered(features.values)
    recording = _numbered(np.column_stack([value, _numbered(reference.values)]))
    repeated = np.bincount(value)[value] > np.bincount(recording)[recording]
    return np.where(repeated, value, -1)


def _numbered(values: npt.NDArray[Any]) -> IntArray:
    """(n, ...) -> (n,) equal numbers for equal rows."""
    numbers: dict[bytes, int] = {}
    rows = (row + 0 for row in values)  # -0 and 0 are equal but for their bytes
    return np.array(
        [numbers.setdefault(row.tobytes(), len(numbers)) for row in rows], dtype=np.int64
    )


def _information(labels: StrArray, clusters: IntArray, rng: np.random.Generator) -> _Against:
    """NMI of labels and clusters against that with the labels permuted; nan for one genre or none,
    or a single cluster, which can tell nothing."""
    if len(np.unique(labels)) < 2 or len(np.unique(clusters)) < 2:
        return _Against()
    _, genre, sizes = np.unique(labels, return_inverse=True, return_counts=True)
    _, group, groups = np.unique(clusters, return_inverse=True, return_counts=True)

    def entropy(counts: IntArray) -> float:
        shares = counts[counts > 0] / len(labels)
        return float(-(shares * np.log(shares)).sum())

    def nmi(genre: IntArray) -> float:
        joint = entropy(np.bincount(genre * len(groups) + group))
        return 2 - 2 * joint / both

    both = entropy(sizes) + entropy(groups)
    return _Against.null(nmi(genre), np.array([nmi(rng.permutation(genre)) for _ in range(DRAWS)]))


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
    x, y = (
        _centred(features.values.reshape(len(features), -1), features.labels)
        for features in (one, other)
    )
    norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(x.T @ y) ** 2 / norms) if norms > 0 else float("nan")


def _centred(values: npt.NDArray[np.floating], labels: StrArray) -> Floats:
    """(n, d) -> (n, d) less the mean of each genre."""
    centred = np.array(values, dtype=np.float64)
    for genre in np.unique(labels):
        centred[labels == genre] -= centred[labels == genre].mean(axis=0)
    return centred
