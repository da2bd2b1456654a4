"""What a conditional model is conditioned on: the genre of each track, or its cluster.

Axes: ``n`` tracks, ``d`` dimensions, ``c`` clusters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genre_vae import clustering
from genre_vae.records import (
    FloatArray,
    InputError,
    IntArray,
    LabelUse,
    StrArray,
    known_genres,
)

UNKNOWN = 0  # the condition of a track whose genre is not known
CONDITION_DROPOUT = 0.25  # share of training examples made unknown, where codes are made so


@dataclass(frozen=True, eq=False)
class Conditioner:
    """Conditions of tracks: whole numbers from 1, and `UNKNOWN`. They are genres or clusters.

    Parameters
    ----------
    genres
        The genres of the training tracks, in the order of their numbers.
    centroids : (c, d), optional
        The centroids of k-means in the scaled values, where conditions are clusters. The condition
        of a track is the number of the nearest.
    """

    genres: tuple[str, ...] = ()
    centroids: FloatArray | None = None

    @classmethod
    def of_genres(cls, labels: StrArray) -> Conditioner:
        """A number for each genre among labels.

        Raises
        ------
        InputError
            If fewer than two genres are known.
        """
        genres = tuple(known_genres(labels))
        if len(genres) < 2:
            raise InputError(
                "a CVAE is conditioned on genres, and fewer than two are known; "
                "condition_on=clusters needs none"
            )
        return cls(genres)

    @classmethod
    def of_clusters(
        cls, values: npt.NDArray[np.floating], *, n_clusters: int, seed: int
    ) -> Conditioner:
        """A number for each k-means cluster of values (n, d)."""
        few = min(n_clusters, len(values) - 1)  # counted in all tracks, of which these are a part
        found = clustering.cluster(values, algorithm="k-means", n_clusters=few, seed=seed)
        # equal rows make fewer clusters as well: the last then stands for the rest
        numbers = np.minimum(np.arange(n_clusters), found.max())
        centroids = clustering.centroids(values, found)[numbers]
        return cls(centroids=centroids.astype(np.float32))

    @property
    def n_conditions(self) -> int:
        """How many numbers there are, `UNKNOWN` with them."""
        return 1 + (len(self.genres) if self.centroids is None else len(self.centroids))

    def numbers(self, labels: StrArray, values: npt.NDArray[np.floating]) -> IntArray:
        """The conditions of tracks with labels (n,) and scaled values (n, d): (n,)."""
        if self.centroids is None:
            known = {genre: number for number, genre in enumerate(self.genres, 1)}
            return np.array([known.get(genre, UNKNOWN) for genre in labels.tolist()], np.int64)
        return clustering.nearest(values, self.centroids)[0] + 1


def label_use(*, condition: str, condition_on: str, encode_as: str) -> LabelUse:
    """How far labels reach into the codes of a conditional model so conditioned."""
    if condition_on == "clusters":
        return LabelUse.NONE
    needs_genre = condition == "encoder+decoder" and encode_as == "genre"
    return LabelUse.ENCODE if needs_genre else LabelUse.TRAIN
