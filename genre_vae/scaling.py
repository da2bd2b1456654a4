"""Geometry: values -> values whose Euclidean distances compare tracks as their blocks say.

Whatever compares tracks (clusterers, silhouette, maps, fusion, dense models, the registered model)
takes its distances from here, so that one geometry serves them all.

Axes: ``n`` tracks, ``d`` dimensions, of which a block has ``w``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from genre_vae.records import Block, FeatureSet, FloatArray, Geometry


@dataclass(frozen=True, eq=False)
class Scaler:
    """A geometry with the statistics of the rows that it was fitted on.

    Parameters
    ----------
    mean, scale : (d,)
        What is subtracted from each dimension, and what it is then divided by.
    unit
        The blocks, each as its first column and the one after its last, whose part of every row is
        then brought to one length. All of them or none.
    lengths
        These lengths.
    """

    mean: FloatArray
    scale: FloatArray
    unit: tuple[tuple[int, int], ...] = ()
    lengths: tuple[float, ...] = ()

    @classmethod
    def fit(cls, values: npt.NDArray[np.floating], blocks: Sequence[Block] | None = None) -> Scaler:
        """The geometry of some blocks on rows (n, d).

        A standardised block has variance 1 in every dimension. A block that is compared by cosine
        or as it is has one scale for all its dimensions, so that those in which nothing happens are
        not blown up; its total variance is its number of dimensions. What is constant, a dimension
        or a whole block, has scale 1.

        By cosine, rows then get one length: it is the cosine about the mean, since what all vectors
        of a network share says nothing about a track. Where several blocks stand together, all of
        them do, so that the weights of the blocks are the same in every track.

        Parameters
        ----------
        values : (n, d)
        blocks
            Of d columns together; with None, all of them are one standardised block.
        """
        d = values.shape[1]
        if blocks is None:
            blocks = [Block("", d, Geometry.STANDARDISED)]
        mean, scale = values.mean(axis=0, dtype=np.float64), values.std(axis=0, dtype=np.float64)
        scale[scale <= 1e-6 * np.abs(mean)] = 0  # below what float32 can tell from a constant
        stops = np.cumsum([block.width for block in blocks]).tolist()
        bounds = tuple(zip([0, *stops[:-1]], stops, strict=True))
        for block, (start, stop) in zip(blocks, bounds, strict=True):
            if block.geometry is not Geometry.STANDARDISED:
                scale[start:stop] = np.sqrt(np.mean(scale[start:stop] ** 2))
        scale[scale == 0] = 1
        scaler = cls(mean.astype(np.float32), scale.astype(np.float32))
        if len(blocks) == 1 and blocks[0].geometry is not Geometry.COSINE:
            return scaler
        weights = sum(block.weight for block in blocks)
        lengths = tuple(float(np.sqrt(d * block.weight / weights)) for block in blocks)
        return replace(scaler, unit=bounds, lengths=lengths)

    @classmethod
    def of(cls, features: FeatureSet, rows: npt.NDArray[np.bool_] | slice = slice(None)) -> Scaler:
        """The geometry of features, values (n, ...) flattened to (n, d), fitted on some rows."""
        values = features.values[rows]
        flat = values.reshape(len(values), -1)
        return cls.fit(flat, features.blocks or [Block("", flat.shape[1], Geometry.AS_IS)])

    @classmethod
    def standardise(cls, values: npt.NDArray[np.floating]) -> FloatArray:
        """Rows (n, d), standardised with their own statistics -> (n, d)."""
        return cls.fit(values).transform(values)

    def transform(self, values: npt.NDArray[np.floating]) -> FloatArray:
        """Rows (n, d) -> (n, d), whose Euclidean distances are those of the geometry."""
        scaled = ((values - self.mean) / self.scale).astype(np.float32)
        for (start, stop), length in zip(self.unit, self.lengths, strict=True):
            part = scaled[:, start:stop]  # a part of zeros has no direction, and stays as it is
            own = np.linalg.norm(part, axis=1, keepdims=True)
            part *= length / np.where(own > 0, own, 1)
        return scaled

    def inverse(self, scaled: npt.NDArray[np.floating]) -> FloatArray:
        """What `transform` returned (n, d) -> (n, d), in the original units again. Where it gave
        rows one length, their own is lost, and they get a typical one."""
        scaled = np.array(scaled, dtype=np.float32)
        for (start, stop), length in zip(self.unit, self.lengths, strict=True):
            scaled[:, start:stop] *= np.sqrt(stop - start) / length
        return (scaled * self.scale + self.mean).astype(np.float32)

    def arrays(self) -> dict[str, npt.NDArray[np.generic]]:
        """It as plain arrays, for a file."""
        unit = np.array(self.unit, dtype=np.int64).reshape(-1, 2)
        return {
            "scaler_mean": self.mean,
            "scaler_scale": self.scale,
            "scaler_unit": unit,
            "scaler_lengths": np.array(self.lengths, dtype=np.float64),
        }

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, npt.NDArray[Any]]) -> Scaler:
        """Read what `arrays` gave, among other arrays."""
        unit = tuple((int(start), int(stop)) for start, stop in arrays["scaler_unit"])
        lengths = tuple(float(length) for length in arrays["scaler_lengths"])
        return cls(arrays["scaler_mean"], arrays["scaler_scale"], unit, lengths)


def in_geometry(features: FeatureSet) -> npt.NDArray[np.floating]:
    """The values (n, d) of features, whose Euclidean distances compare the tracks; those of codes
    are compared as they are."""
    return Scaler.of(features).transform(features.values) if features.blocks else features.values


class Source(Protocol):
    """What holds inputs by their names."""

    def read(self, name: str) -> FeatureSet:
        """An input."""


def read(source: Source, reads: str) -> FeatureSet:
    """An input by its name, which ends in a geometry where that is not the input's own."""
    name, geometry = parsed(reads)
    features = source.read(name)
    return features if geometry is None else features.compared_by(geometry)


def parsed(reads: str) -> tuple[str, Geometry | None]:
    """The name of an input, and the geometry that was given for it: ``musicnn, standardised``."""
    name, _, geometry = reads.rpartition(", ")
    return (name, Geometry(geometry)) if geometry in set(Geometry) else (reads, None)
