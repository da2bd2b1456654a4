"""Does a new track sound unlike everything in a collection?

Axes: ``n`` new tracks, ``r`` tracks of the collection, ``d`` dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from genre_vae.records import FeatureSet, FloatArray
from genre_vae.scaling import Scaler

RATE = 0.01  # of new tracks of the same kind that are called unlike anything


@dataclass(frozen=True, eq=False)
class Novelty:
    """How far new tracks are from a collection, calibrated on its own tracks.

    The distance is that to the nearest track of the collection, and each track of the collection
    is measured as if it were new: against the others. A new track of the same kind is then as
    likely to have any rank among them as any other, so its p-value is that of a conformal test
    (Vovk, Gammerman & Shafer, 2005; Laxhammar & Falkman, 2010, for nearest neighbours).

    It is measured in the descriptor, whatever a model reads: a code keeps what tells the
    collection's own tracks apart, and noise or speech may well lie among them there, as they may by
    the angle of a tagger's vectors. Every dimension is standardised and no row is brought to one
    length: how far a track is from the middle is what counts here.

    Parameters
    ----------
    sounds : values (r, d)
        The descriptor of the collection's tracks.
    """

    sounds: FeatureSet

    @cached_property
    def _scaler(self) -> Scaler:
        return Scaler.fit(self.sounds.values)

    @cached_property
    def _placed(self) -> FloatArray:
        return self._scaler.transform(self.sounds.values)

    @cached_property
    def _own(self) -> npt.NDArray[np.float64]:
        """(r,) the distance of each track to the nearest other one, sorted."""
        return np.sort(_nearest(self._placed, self._placed, itself=True))

    def p_values(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.float64]:
        """The share of the collection's tracks that are as far from the others as new tracks are
        from the collection, each new one counted with them: (n, d) -> (n,)."""
        away = _nearest(self._scaler.transform(values), self._placed)
        nearer = np.searchsorted(self._own, away)
        return (1 + len(self._own) - nearer) / (1 + len(self._own))

    def unlike(self, values: npt.NDArray[np.floating]) -> npt.NDArray[np.bool_]:
        """Whether new tracks are unlike anything, (n, d) -> (n,): `RATE` of those of the same kind
        are called so. A collection of fewer than 99 tracks cannot tell as little: there it is one
        new track in r + 1, those that are further away than any of its own."""
        return self.is_unlike(self.p_values(values))

    def is_unlike(self, p_values: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        """`unlike`, of tracks whose p-values (n,) are known."""
        lowest = 1 / (1 + len(self._own))
        return p_values <= max(RATE, lowest)


def _nearest(
    values: FloatArray, among: FloatArray, *, itself: bool = False
) -> npt.NDArray[np.float64]:
    """The distance of each row to the nearest among others, or among the others but itself."""
    from sklearn.neighbors import NearestNeighbors

    distances, _ = NearestNeighbors(n_neighbors=1 + itself).fit(among).kneighbors(values)
    return np.asarray(distances[:, -1], dtype=np.float64)
