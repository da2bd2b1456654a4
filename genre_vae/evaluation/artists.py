"""Do tracks stand together by genre, or by artist?

Songs of one artist (and more so of one album) sound alike for reasons that are no genre: a voice, a
studio, a mastering. Where each artist has one genre, values that tell artists apart tell genres
apart too, and a genre score then says little of new artists (Pampalk, Flexer & Widmer, 2005;
Flexer & Schnitzer, 2010). Two measures say so: nearest neighbours with the tracks of the same
artist left out, and clusters whose agreement with genres is compared with that of genres dealt to
the artists at random.

Axes: ``n`` tracks, ``d`` dimensions.

References
----------
Pampalk, Flexer & Widmer (2005), "Improvements of audio-based music similarity and genre
classification", ISMIR. Flexer & Schnitzer (2010), "Effects of album and artist filters in audio
similarity computed for very large music databases", Computer Music Journal 34(3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genre_vae import clustering
from genre_vae.evaluation.audit import DOUBT, SURE
from genre_vae.evaluation.metrics import adjusted_mutual_info, contingency
from genre_vae.evaluation.permutation import N_PERMUTATIONS, PermutationTest
from genre_vae.records import FeatureSet, IntArray, StrArray
from genre_vae.scaling import in_geometry

NEIGHBOURS = 5
CHANCE_DRAWS = 50  # of a kNN accuracy: its standard error is under .01 for n >= 100
MIN_DEALS = 1 / SURE  # ways to deal genres to artists: with fewer no p-value can be a finding


@dataclass(frozen=True)
class ArtistAudit:
    """What a modality has to do with artists: columns of ``audit.csv``. nan is undefined.

    Parameters
    ----------
    knn, knn_chance
        Leave-one-out accuracy of the genre by the 5 nearest neighbours, and with genres shuffled.
    knn_filtered, knn_filtered_chance
        The same with the artist's other tracks left out: an artist filter. Only tracks whose artist
        is known count in it.
    clusters_artist, clusters_artist_chance, clusters_artist_p
        AMI of k-means clusters and artists, and with artists shuffled within each genre.
    clusters_genre, clusters_genre_dealt, clusters_genre_p
        AMI of the same clusters and genres, and with the genres dealt to the artists at random.
    """

    knn: float = math.nan
    knn_chance: float = math.nan
    knn_filtered: float = math.nan
    knn_filtered_chance: float = math.nan
    clusters_artist: float = math.nan
    clusters_artist_chance: float = math.nan
    clusters_artist_p: float = math.nan
    clusters_genre: float = math.nan
    clusters_genre_dealt: float = math.nan
    clusters_genre_p: float = math.nan

    @property
    def reason(self) -> str:
        """Why the clusters follow artists more than genres; "" where that was not found."""
        if not (self.clusters_artist_p <= SURE and self.clusters_genre_p > DOUBT):
            return ""
        return (
            f"its clusters tell artists apart (AMI {self.clusters_artist:.2f}; shuffled within "
            f"genres {self.clusters_artist_chance:.2f}, p = {self.clusters_artist_p:.3f}), and "
            f"genres no better than if these were dealt to the artists at random (AMI "
            f"{self.clusters_genre:.2f}; dealt {self.clusters_genre_dealt:.2f}, p = "
            f"{self.clusters_genre_p:.2f})"
        )


def audit_artists(features: FeatureSet, *, seed: int) -> ArtistAudit:
    """Whether a modality tells genres apart, or only artists.

    Parameters
    ----------
    features : values (n, d)
        The modality. Tracks without a genre are left out.
    seed
        Random seed of the permutations and of k-means.

    Returns
    -------
    ArtistAudit
        All nan with fewer than two genres; what needs artists is nan where none are known, and the
        clusters' part where artists and genres are so few, or so nearly the same, that they cannot
        be told apart.
    """
    features = features.select(features.ids[features.labels != ""])
    if not features.has_labels:
        return ArtistAudit()
    rng = np.random.default_rng(seed)
    values, labels = in_geometry(features), features.labels
    artists = features.groups.get("artist", np.full(len(labels), ""))
    plain = _knn(values, labels, np.full(len(labels), ""), rng)
    known = artists != ""
    if len(np.unique(artists[known])) < 2 or len(np.unique(labels[known])) < 2:
        return ArtistAudit(plain.value, plain.chance)
    values, labels, artists = values[known], labels[known], artists[known]
    filtered = _knn(values, labels, artists, rng)
    found = ArtistAudit(plain.value, plain.chance, filtered.value, filtered.chance)
    if _deals(labels, artists) < MIN_DEALS:
        return found
    n_clusters = len(np.unique(labels))
    clusters = clustering.cluster(values, algorithm="k-means", n_clusters=n_clusters, seed=seed)
    by_artist, by_genre = follow(clusters, labels, artists, rng)
    return ArtistAudit(
        *(plain.value, plain.chance, filtered.value, filtered.chance),
        *(by_artist.value, by_artist.chance, by_artist.p),
        *(by_genre.value, by_genre.chance, by_genre.p),
    )


def follow(
    clusters: IntArray, labels: StrArray, artists: StrArray, rng: np.random.Generator
) -> tuple[PermutationTest, PermutationTest]:
    """Test whether clusters follow artists, and whether they follow genres beyond that.

    Parameters
    ----------
    clusters, labels, artists : (n,)
        All known.
    rng
        Draws the permutations.

    Returns
    -------
    by_artist
        AMI of clusters and artists. The null shuffles artists among the tracks of each genre.
    by_genre
        AMI of clusters and the artists' genres (that of most of an artist's tracks). The null deals
        these genres to the artists at random, so that the tracks of each stay together.
    """
    names, owner = np.unique(artists, return_inverse=True)
    genre_of = np.array([_most(labels[owner == number]) for number in range(len(names))])

    def by_artist(owners: IntArray) -> float:
        return adjusted_mutual_info(contingency(names[owners], clusters))

    def by_genre(genres: StrArray) -> float:
        return adjusted_mutual_info(contingency(genres[owner], clusters))

    of_genre = [np.flatnonzero(labels == genre) for genre in np.unique(labels)]
    shuffled, dealt = np.empty(N_PERMUTATIONS), np.empty(N_PERMUTATIONS)
    for draw in range(N_PERMUTATIONS):
        owners = owner.copy()
        for rows in of_genre:
            owners[rows] = owner[rng.permutation(rows)]
        shuffled[draw] = by_artist(owners)
        dealt[draw] = by_genre(rng.permutation(genre_of))
    return (
        PermutationTest.of(by_artist(owner), shuffled),
        PermutationTest.of(by_genre(genre_of), dealt),
    )


def _knn(
    values: npt.NDArray[np.floating], labels: StrArray, artists: StrArray, rng: np.random.Generator
) -> PermutationTest:
    """Leave-one-out accuracy by the nearest neighbours that are not of the track's own artist, and
    its chance level. A tie among genres goes to that of the nearest neighbour among them."""
    from scipy.spatial.distance import cdist

    distances = cdist(values, values)
    same = (artists[:, None] == artists) & (artists != "")
    distances[same | np.eye(len(values), dtype=bool)] = np.inf
    nearest = np.argsort(distances, axis=1, kind="stable")[:, :NEIGHBOURS]
    there = np.isfinite(np.take_along_axis(distances, nearest, axis=1))
    genres, number = np.unique(labels, return_inverse=True)
    # a nearer neighbour's vote weighs a little more, which only a tie can show
    weights = there * (1 - 1e-3 * np.arange(nearest.shape[1]))

    def accuracy(numbers: IntArray) -> float:
        votes = np.zeros((len(values), len(genres)))
        for place in range(nearest.shape[1]):
            np.add.at(
                votes, (np.arange(len(values)), numbers[nearest[:, place]]), weights[:, place]
            )
        return float(np.mean((votes.argmax(axis=1) == numbers) & there.any(axis=1)))

    null = np.array([accuracy(rng.permutation(number)) for _ in range(CHANCE_DRAWS)])
    return PermutationTest.of(accuracy(number), null)


def _deals(labels: StrArray, artists: StrArray) -> float:
    """In how many different ways the genres can be dealt to the artists: genres that have equally
    many artists are interchangeable."""
    genres = [_most(labels[artists == artist]) for artist in np.unique(artists)]
    _, counts = np.unique(genres, return_counts=True)
    _, alike = np.unique(counts, return_counts=True)
    logarithm = math.lgamma(counts.sum() + 1)
    logarithm -= sum(math.lgamma(one + 1) for one in [*counts.tolist(), *alike.tolist()])
    return math.exp(min(logarithm, 700.0))


def _most(labels: StrArray) -> str:
    """The most frequent of some labels, the first of equals."""
    names, counts = np.unique(labels, return_counts=True)
    return str(names[counts.argmax()])
