"""Does a modality carry more than the label?

The `LabelUse` of a modality is a declaration. The audit looks at the values: it asks whether the
genre can be read from them, and if so whether they also follow the audio where the genre cannot
help, between the tracks of one genre. Values made from the label do the first and not the second.
``docs/audit.md`` explains the rule and says how often it errs.

Axes: ``n`` tracks, ``d`` dimensions, ``g`` genres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from genre_vae.evaluation.permutation import (
    PermutationTest,
    centred,
    linear_probe,
    nmi_test,
    permuted_rows,
    shifted_rows,
    sqrt_whitened,
    within_genre_cka,
)
from genre_vae.records import FeatureSet, IntArray, StrArray

SURE = 0.01  # a p-value up to this is a finding: one innocent or guilty case in 100 passes by luck
DOUBT = 0.05  # above this nothing was found; between the two the audit does not decide
MIN_GENRE = 4  # tracks: with fewer, leaving out a fold or a genre's mean leaves nothing to compare
# Tracks less genres. With fewer, a clear tie to the audio is often missed (docs/audit.md), so that
# finding none says little.
MIN_FREEDOM = 60
MIN_TRACKS = 30  # with fewer, that the genre cannot be read says little
FILL_SHARE = 0.05  # share of the tracks: fewer repeated rows are a few songs that share their words
# NMI of value and genre among the repeated rows: 1 where every genre has one fill of its own, less
# for versions of songs (several values a genre) and for categories (several genres a value).
FILL_NMI = 0.95

Floats = npt.NDArray[np.float64]

LEAKING = ("label", "order")  # verdicts on values that were made from the genre


@dataclass(frozen=True)
class Audit:
    """What was found about one modality: a row of ``audit.csv``. nan is undefined.

    Parameters
    ----------
    features
        The name of the modality.
    n_samples
        Number of tracks that it and the reference have and whose genre is known.
    label_use
        The label use that it declares.
    probe, probe_chance, probe_p
        Cross-validated accuracy of a linear classifier from values to genres, the mean of the same
        with shuffled genres, and the p-value.
    alignment, alignment_chance, alignment_p
        The within-genre CKA with the reference, its mean with the rows permuted within genre, and
        the p-value.
    order_p
        The p-value of the within-genre CKA of steps between neighbouring files, from which the
        order of the files is taken out.
    repeated
        Share of the tracks whose values are exactly another track's, though their audio differs.
    repeated_nmi, repeated_nmi_chance, repeated_p
        NMI of being such a track and genre. It is reported only: gaps may be honest.
    fill_nmi, fill_p
        NMI, among those tracks, of the value that they repeat and genre.
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

    @property
    def leaks(self) -> bool:
        """Whether the values were made from the genre, or from an order that follows it."""
        return self.verdict in LEAKING


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
        Random seed of folds and permutations.

    Returns
    -------
    Audit
        Every statistic, and the verdict that follows from them.
    """
    common = sorted(set(features.ids.tolist()) & set(reference.ids.tolist()))
    genre = dict(zip(features.ids.tolist(), features.labels.tolist(), strict=True))
    ids = [track_id for track_id in common if genre[track_id]]
    labels = np.array([genre[track_id] for track_id in ids], dtype=str)
    features, reference = features.select(ids), reference.select(ids)

    rng = np.random.default_rng(seed)
    repeats = _repeats(features, reference)
    gaps = nmi_test(labels, (repeats >= 0).astype(np.int64), rng)
    fill = nmi_test(labels[repeats >= 0], repeats[repeats >= 0], rng)
    share = float(np.mean(repeats >= 0)) if ids else math.nan

    # A row that repeats another may be a fill, which says nothing of its track, so the other checks
    # leave it out. Where most rows repeat (one-hot, categories) they are the modality itself.
    rows = _of_large_genres(labels, (repeats < 0) | (share >= 0.5))
    x, y, labels = _flat(features)[rows], _flat(reference)[rows], labels[rows]
    probe = cka = order = PermutationTest()
    if len(np.unique(labels)) > 1:
        probe = linear_probe(x, labels, seed=seed, rng=rng)
        cka = within_genre_cka(x, y, labels, permuted_rows, rng)
        order = within_genre_cka(*_steps(x, y, labels), shifted_rows, rng)
    alike = not sqrt_whitened(centred(x, labels)).size
    verdict, reason = _judge(probe, cka, order, fill, share, labels, alike=alike)
    return Audit(
        features.name,
        len(ids),
        str(features.label_use),
        *(probe.value, probe.chance, probe.p),
        *(cka.value, cka.chance, cka.p, order.p),
        *(share, gaps.value, gaps.chance, gaps.p, fill.value, fill.p),
        verdict,
        reason,
    )


def _judge(
    probe: PermutationTest,
    cka: PermutationTest,
    order: PermutationTest,
    fill: PermutationTest,
    share: float,
    labels: StrArray,
    *,
    alike: bool,
) -> tuple[str, str]:
    """Verdict and reason; every p-value decides in one place.

    `labels` are of the tracks probed, and `alike` says that those of a genre have equal values.
    """
    filled = share >= FILL_SHARE and fill.value >= FILL_NMI
    repeats = (
        f"{share:.0%} of the tracks have the very values of others, and these tell the genre "
        f"(NMI {fill.value:.2f}, p = {fill.p:.3f})"
    )
    if filled and fill.p <= SURE:
        return "label", f"{repeats}: they were made or filled from it"
    if filled and fill.p <= DOUBT:
        return "unknown", f"{repeats}, but they are few"
    if math.isnan(probe.p):
        return "unknown", f"fewer than two genres have {MIN_GENRE} tracks or more"
    n_genres = len(np.unique(labels))
    read = f"the genre can be read ({probe.value:.0%} right, {probe.chance:.0%} by chance)"
    if cka.p <= SURE and order.p <= SURE:
        return "clear", (
            f"it follows the audio within genres (p = {cka.p:.3f}; without the order of the files "
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
    if probe.p <= SURE and cka.p > DOUBT:
        return "label", f"{read}, but within genres nothing ties it to the audio (p = {cka.p:.2f})"
    if probe.p <= SURE and cka.p <= SURE and not order.p <= DOUBT:  # nan: nothing but order
        return "order", (
            f"{read}, but it follows the audio only as far as both follow the order of the files "
            f"(p = {cka.p:.3f}; without the order {order.p:.2f})"
        )
    if math.isnan(cka.p):
        return "unknown", f"{read}, and the reference knows no difference within genres"
    return "unknown", (
        f"on the border: the genre can be read with p = {probe.p:.3f}, the tie to the audio within "
        f"genres has p = {cka.p:.3f}, without the order of the files {order.p:.3f}"
    )


def _flat(features: FeatureSet) -> Floats:
    """Values (n, ...) -> (n, d), divided by the largest; where d > n, the n // 4 leading principal
    components of that.

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
    """Indices of the selected rows (n,) whose genre has `MIN_GENRE` selected rows or more."""
    genres, counts = np.unique(labels[rows], return_counts=True)
    return np.flatnonzero(rows & np.isin(labels, genres[counts >= MIN_GENRE]))


def _steps(x: Floats, y: Floats, labels: StrArray) -> tuple[Floats, Floats, StrArray]:
    """Differences from each track to the next of its genre, (n, d) -> (n - g, d) each.

    Rows are in the order of the files. A drift along the files all but vanishes from the steps, and
    a tie between tracks does not. Cyclic shifts keep the serial dependence that is left, but for
    the seam that they move; in genres of five tracks the p-value is therefore too small
    (docs/audit.md).
    """
    genres = [np.flatnonzero(labels == genre) for genre in np.unique(labels)]
    x, y = (np.concatenate([np.diff(one[rows], axis=0) for rows in genres]) for one in (x, y))
    return x, y, np.concatenate([labels[rows[1:]] for rows in genres])


def _repeats(features: FeatureSet, reference: FeatureSet) -> IntArray:
    """A number (n,) for each value that tracks with different audio share, -1 for other rows.

    The same recording filed twice repeats the reference too, and does not count.
    """
    value = _numbered(features.values)
    recording = _numbered(np.column_stack([value, _numbered(reference.values)]))
    repeated = np.bincount(value)[value] > np.bincount(recording)[recording]
    return np.where(repeated, value, -1)


def _numbered(values: npt.NDArray[Any]) -> IntArray:
    """Rows (n, ...) -> (n,) equal numbers for equal rows."""
    numbers: dict[bytes, int] = {}
    rows = (row + 0 for row in values)  # -0 and 0 are equal but for their bytes
    return np.array(
        [numbers.setdefault(row.tobytes(), len(numbers)) for row in rows], dtype=np.int64
    )
