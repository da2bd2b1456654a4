"""How many clusters? The number whose clusters come back in the other half of the tracks.

Axes: ``n`` tracks, ``d`` dimensions, ``k`` numbers of clusters that are tried, from two up.

The tracks are split at random into two halves, and the *stability* of a number of clusters is how
far these agree on the clusters, on average (`genre_vae.evaluation.stability`).

Stability alone proves nothing, since noise has stable clusters too, the fewer the stabler. So
every number is compared with what data without clusters give, as in Clest (Dudoit & Fridlyand,
2002): Gaussian noise with the very covariance of the tracks, made by replacing the principal scores
by random orthonormal ones (the rotation test of Perry & Owen, 2010). Where the tracks are Gaussian
themselves, they are one such draw among the others, so the test is exact; and taking the largest
deviation over all numbers allows for having tried many (Westfall & Young, 1993).

The number has the highest stability as a share of the way from noise to 1, which is the
normalisation of Lange et al. (2004). Each split has such a number of its own, and where these are
too far apart there are clusters, but no clear number of them: in nested groups, for example, or in
groups that overlap.

References
----------
Dudoit & Fridlyand (2002), "A prediction-based resampling method for estimating the number of
clusters in a dataset". Lange, Roth, Braun & Buhmann (2004), "Stability-based validation of
clustering solutions". Nadeau & Bengio (2003), "Inference for the generalization error". Perry &
Owen (2010), "A rotation test to verify latent structure". Rousseeuw (1987), "Silhouettes: a
graphical aid to the interpretation and validation of cluster analysis". Westfall & Young (1993),
"Resampling-based multiple testing".
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genre_vae.evaluation.stability import squared_distances, stability, ward
from genre_vae.records import InputError, IntArray

Floats = npt.NDArray[np.float64]

MOST = 20  # clusters that are tried at most
PER_CLUSTER = 3  # tracks in a cluster on average, at least
SPLITS = 100  # random halves
TESTED = 20  # of these, the first, that are compared with data without clusters
DRAWS = 39  # data sets without clusters; the tracks must beat them all, as 1 in 40 do by chance
RESOLVED = 0.01  # 1 - stability below which halves count as agreeing
QUARTILES = (0.25, 0.75)  # between them half of the splits have their numbers
CLOSE = 2  # the higher of the two numbers there over the lower, at most
MOST_ROWS = 500  # tracks that are looked at; of more, so many are drawn at random
MIN_ROWS = 4  # tracks: two halves of two


@dataclass(frozen=True, eq=False)
class Choice:
    """How many clusters, and how each number did.

    Parameters
    ----------
    n_clusters
        The number; where none is clear, the one with the highest silhouette.
    clear
        Whether there are clusters, and the splits agree on their number.
    most_stable
        The number with the highest stability, as a share of the way from `null` to 1.
    between
        The quartiles of the splits' own numbers, or `most_stable` where it lies outside.
    tried : (k,)
        The numbers that were tried.
    stability, low, high : (k,)
        The mean adjusted Rand index of both halves, and the ends of its 95 % interval.
    null : (k,)
        The mean stability of data without clusters.
    p : (k,)
        How often the largest deviation of data without clusters reaches that of this number.
    best_in : (k,)
        Share of the splits whose own number it is.
    silhouette : (k,)
        The silhouette of each number's clusters, all tracks clustered at once.
    """

    n_clusters: int
    clear: bool
    most_stable: int
    between: tuple[int, int]
    tried: IntArray
    stability: Floats
    low: Floats
    high: Floats
    null: Floats
    p: Floats
    best_in: Floats
    silhouette: Floats

    @property
    def has_clusters(self) -> bool:
        """Whether the tracks beat all data without clusters."""
        return bool(self.p.min() <= 1 / (DRAWS + 1))

    @property
    def why(self) -> str:
        """The reason, in a sentence without its full stop."""
        at = self.most_stable - 2
        by_silhouette = 2 + int(self.silhouette.argmax())
        stable = (
            f"{self.stability[at]:.2f} [{self.low[at]:.2f}, {self.high[at]:.2f}], without clusters "
            f"{self.null[at]:.2f}"
        )
        numbers = " to ".join(str(number) for number in dict.fromkeys(self.between))
        between = f"{numbers} in half of the splits"
        if self.clear:
            return (
                f"{self.n_clusters} clusters ({between}), as random halves of the tracks agree "
                f"best on so many: stability {stable}, p = {self.p.min():.3f}; silhouette would "
                f"take {by_silhouette}"
            )
        lacks = (
            f"random halves of the tracks agree best on {between}"
            if self.has_clusters
            else "random halves of the tracks agree no better than in data without clusters "
            f"(at best, with {self.most_stable}: {stable}; p = {self.p.min():.2f})"
        )
        return (
            f"No clear number of clusters: {lacks}. {self.n_clusters} are made, for which "
            "silhouette is highest"
        )


def choose(values: npt.NDArray[np.floating], *, seed: int) -> Choice:
    """The number of clusters whose clusters are found again in the other half of the tracks.

    Parameters
    ----------
    values : (n, d)
        In the geometry in which they are compared.
    seed
        Random seed of the halves, and of the data without clusters.

    Raises
    ------
    InputError
        If there are fewer than `MIN_ROWS` tracks.
    """
    from threadpoolctl import threadpool_limits

    if len(values) < MIN_ROWS:
        raise InputError(f"{len(values)} tracks: the number of clusters cannot be chosen from them")
    rng = np.random.default_rng(seed)
    rows = np.asarray(values, dtype=np.float64)
    if len(rows) > MOST_ROWS:
        rows = rows[np.sort(rng.choice(len(rows), MOST_ROWS, replace=False))]
    most = max(2, min(MOST, len(rows) // PER_CLUSTER))
    halves = [_halves(rng.permutation(len(rows))) for _ in range(SPLITS)]
    tested = halves[:TESTED]
    with threadpool_limits(1):  # bit-identical, and faster when small
        squared = squared_distances(rows)
        scales = np.linalg.svd(rows - rows.mean(axis=0), compute_uv=False)
        scales = scales[scales > 1e-9 * scales[0]]
        found = stability(squared, halves, most)
        without = np.array(
            [
                stability(squared_distances(rotated(scales, len(rows), rng)), tested, most).mean(0)
                for _ in range(DRAWS)
            ]
        )
        silhouettes = _silhouettes(squared, most)
    return _judged(found, without, silhouettes)


def _halves(order: npt.NDArray[np.integer]) -> tuple[IntArray, IntArray]:
    """The first and the second half of some rows; of an odd number the last is left out."""
    m = len(order) // 2
    return order[:m].astype(np.int64), order[m : 2 * m].astype(np.int64)


def rotated(scales: Floats, n: int, rng: np.random.Generator) -> Floats:
    """Gaussian noise with a given sample covariance, which has no clusters.

    Parameters
    ----------
    scales : (d,)
        Singular values of centred rows, at most ``n - 1``.
    n
        Number of rows.

    Returns
    -------
    (n, d)
        Rows with mean 0 and these singular values, on random orthonormal scores.
    """
    normal = rng.normal(size=(n, len(scales)))
    scores: Floats = np.linalg.qr(normal - normal.mean(axis=0))[0]
    return scores * scales


def _silhouettes(squared: Floats, most: int) -> Floats:
    """Silhouettes (k,) of the clusters of all rows."""
    from sklearn.metrics import silhouette_score

    finest, merged = ward(squared, most)
    distances = np.sqrt(squared)
    return np.array(
        [silhouette_score(distances, of[finest], metric="precomputed") for of in merged]
    )


def _judged(found: Floats, without: Floats, silhouettes: Floats) -> Choice:
    """The number of clusters from the stabilities (splits, k) of the tracks, and those (draws, k)
    of data without clusters."""
    mean, null = found.mean(axis=0), without.mean(axis=0)
    # The tracks stand among the draws, scaled by the spread of all: they are one more of them. What
    # the halves lack of agreeing is compared as a ratio: of two clusters noise has anything from
    # .1 to .9, so that a difference would hide that 1 is out of its reach.
    pool = np.vstack([found[:TESTED].mean(axis=0), without])
    pool = -np.log(np.maximum(1 - pool, RESOLVED))
    spread = pool.std(axis=0)
    deviation = (pool - pool.mean(axis=0)) / np.where(spread > 0, spread, 1)
    p = (deviation.max(axis=1)[:, None] >= deviation[0]).mean(axis=0)
    beyond = (found - null) / (1 - null)  # 0 as without clusters, 1 where the halves agree
    own = 2 + _last_highest(beyond)  # of each split
    lower, upper = np.quantile(own, QUARTILES, method="inverted_cdf").tolist()
    most_stable = 2 + int(_last_highest(beyond.mean(axis=0)))
    between = min(lower, most_stable), max(upper, most_stable)
    clear = bool(p.min() <= 1 / len(pool)) and between[1] <= CLOSE * between[0]
    tried = np.arange(2, len(mean) + 2)
    half = _half_interval(found)
    return Choice(
        n_clusters=most_stable if clear else 2 + int(silhouettes.argmax()),
        clear=clear,
        most_stable=most_stable,
        between=between,
        tried=tried,
        stability=mean,
        low=np.maximum(mean - half, -1),
        high=np.minimum(mean + half, 1),
        null=null,
        p=p,
        best_in=(own[:, None] == tried).mean(axis=0),
        silhouette=silhouettes,
    )


def _last_highest(values: Floats) -> IntArray:
    """The last place of the highest value along the last axis, up to rounding.

    Distant groups that are taken together are found again as well as each by itself, so of numbers
    that are equally stable the largest is right.
    """
    highest = values >= values.max(axis=-1, keepdims=True) - 1e-9
    found: IntArray = values.shape[-1] - 1 - highest[..., ::-1].argmax(axis=-1)
    return found


def _half_interval(samples: Floats) -> Floats:
    """Half the 95 % interval of means over random halves (splits, k) -> (k,).

    The splits share their tracks, so the mean of many varies more than its standard error says.
    Nadeau & Bengio (2003) add to 1 / splits the ratio of tracks that test to tracks that train, 1
    for halves.
    """
    from scipy.special import stdtrit

    splits = len(samples)
    variance = samples.var(axis=0, ddof=1) * (1 / splits + 1)
    half: Floats = stdtrit(splits - 1, 0.975) * np.sqrt(variance)
    return half
