"""Standardisation: the statistics of some rows, applied to any rows.

Axes: ``n`` tracks, ``d`` dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genre_vae.records import FloatArray


@dataclass(frozen=True, eq=False)
class Scaler:
    """Standardisation with the statistics of the rows it was fitted on.

    Parameters
    ----------
    mean, scale : (d,)
        What is subtracted from each dimension, and what it is then divided by.
    """

    mean: FloatArray
    scale: FloatArray

    @classmethod
    def fit(cls, values: npt.NDArray[np.floating]) -> Scaler:
        """The mean and the standard deviation of rows (n, d); a constant dimension has scale 1."""
        mean, std = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
        constant = std <= 1e-6 * np.abs(mean)  # below what float32 can tell from a constant
        return cls(mean.astype(np.float32), np.where(constant, 1, std).astype(np.float32))

    @classmethod
    def standardise(cls, values: npt.NDArray[np.floating]) -> FloatArray:
        """Rows (n, d), standardised with their own statistics -> (n, d)."""
        return cls.fit(values).transform(values)

    def transform(self, values: npt.NDArray[np.floating]) -> FloatArray:
        """Rows (n, d) -> (n, d), in standard deviations from the mean."""
        return ((values - self.mean) / self.scale).astype(np.float32)

    def inverse(self, scaled: npt.NDArray[np.floating]) -> FloatArray:
        """What `transform` returned (n, d) -> (n, d), in the original units again."""
        return (scaled * self.scale + self.mean).astype(np.float32)
