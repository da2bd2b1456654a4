"""Standardisation: the statistics of some rows, applied to any."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from genre_vae.records import FloatArray


@dataclass(frozen=True, eq=False)
class Scaler:
    """Standardisation with the statistics of the rows it was fitted on (one per dimension)."""

    mean: FloatArray
    scale: FloatArray

    @classmethod
    def fit(cls, values: npt.NDArray[np.floating]) -> Scaler:
        """(n, d) -> mean and standard deviation (d,); a constant dimension keeps scale 1."""
        mean, std = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
        constant = std <= 1e-6 * np.abs(mean)  # below what float32 can tell from a constant
        return cls(mean.astype(np.float32), np.where(constant, 1, std).astype(np.float32))

    @classmethod
    def standardise(cls, values: npt.NDArray[np.floating]) -> FloatArray:
        """(n, d) -> (n, d) with the statistics of these rows themselves."""
        return cls.fit(values).transform(values)

    def transform(self, values: npt.NDArray[np.floating]) -> FloatArray:
        """(n, d) -> (n, d)."""
        return ((values - self.mean) / self.scale).astype(np.float32)

    def inverse(self, scaled: npt.NDArray[np.floating]) -> FloatArray:
        """(n, d) -> (n, d): what `transform` made of it, in its own units again."""
        return (scaled * self.scale + self.mean).astype(np.float32)
