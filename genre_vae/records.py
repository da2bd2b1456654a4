"""The records that stages exchange: features of tracks, and clusters. An embedding over seeds is in
`genre_vae.embedding`.

Rows travel with their ids. The records refuse bad data when they are built, so what reads one
need not check it again. Axes: ``n`` tracks, ``d`` dimensions, ``w`` windows.
"""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import numpy as np
import numpy.typing as npt

from genre_vae.files import write_array, write_json

FloatArray = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
StrArray = npt.NDArray[np.str_]


class InputError(ValueError):
    """Something the user gave cannot be used. The message is one line that says what and where."""


class LabelUse(enum.IntEnum):
    """How far genre labels reached into some values. The result of an operation has the highest
    use of its inputs: ``max(a, b)``."""

    NONE = 0  # no label touched the values
    TRAIN = 1  # labels were used in training only
    ENCODE = 2  # labels were needed to encode
    FEATURE = 3  # the label, or text made from it, is in the values

    def __str__(self) -> str:
        return self.name.lower()


class Geometry(enum.StrEnum):
    """How the values of a block are compared. `genre_vae.scaling` makes distances of it."""

    STANDARDISED = "standardised"  # measurements: every dimension counts the same
    COSINE = "cosine"  # pretrained vectors: the angle counts, and the length does not
    AS_IS = "as-is"  # learned codes: the Euclidean distance of the values themselves


class Loudness(enum.StrEnum):
    """How loud a clip is when its features are measured."""

    NORMALISED = "normalised"  # at one mean level, whatever the recording's
    AS_IS = "as-is"


class Block(NamedTuple):
    """Columns of a FeatureSet that belong together: what they are, how many, how compared, and
    their weight in the squared distances beside that of other blocks."""

    name: str
    width: int
    geometry: Geometry
    weight: float = 1.0


def _checked_ids(ids: StrArray, owner: str) -> None:
    if ids.ndim != 1 or ids.dtype.kind != "U":
        raise ValueError(f"{owner}: ids must be a 1-d array of str, got {ids.dtype} {ids.shape}")
    unique, counts = np.unique(ids, return_counts=True)
    if len(unique) != len(ids):
        raise ValueError(f"{owner}: duplicate id {str(unique[counts > 1][0])!r}")


def known_genres(labels: StrArray) -> list[str]:
    """The genres among labels, sorted; ``""`` is none."""
    return sorted(set(labels.tolist()) - {""})


Groups = Mapping[str, StrArray]


class _Rows(TypedDict):
    name: str
    ids: StrArray
    labels: StrArray
    label_use: LabelUse


def _save_rows(
    folder: Path, stem: str, values: npt.NDArray[np.generic], record: FeatureSet | Assignment
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    genre_map = {genre: number for number, genre in enumerate(known_genres(record.labels))}
    y = np.array([genre_map.get(genre, -1) for genre in record.labels.tolist()], dtype=np.int64)
    write_array(folder / f"{stem}.npy", values)
    write_array(folder / "y.npy", y)
    write_json(folder / "genre_map.json", genre_map)
    write_json(folder / "track_ids.json", record.ids.tolist())
    about: dict[str, object] = {"name": record.name, "label_use": str(record.label_use)}
    if isinstance(record, FeatureSet):
        about |= {"pretrained": record.pretrained, "blocks": record.blocks}
        groups = {name: which.tolist() for name, which in record.groups.items()}
        write_json(folder / "groups.json", groups)
    write_json(folder / f"{stem}.json", about)


def _load_rows(
    folder: Path, stem: str, *, mmap: bool = False
) -> tuple[npt.NDArray[Any], _Rows, dict[str, Any]]:
    """The values, what both records have, and what the file beside says of them."""

    def read(name: str) -> Any:
        return json.loads((folder / name).read_text("utf-8"))

    about = read(f"{stem}.json")
    genres = {number: genre for genre, number in read("genre_map.json").items()} | {-1: ""}
    y = np.load(folder / "y.npy", allow_pickle=False)
    values = np.load(folder / f"{stem}.npy", allow_pickle=False, mmap_mode="r" if mmap else None)
    rows: _Rows = {
        "name": about["name"],
        "ids": np.array(read("track_ids.json"), dtype=str),
        "labels": np.array([genres[number] for number in y.tolist()], dtype=str),
        "label_use": LabelUse[about["label_use"].upper()],
    }
    return values, rows, about


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """Values for tracks: measured features or an embedding of them.

    Parameters
    ----------
    name
        What the values are, e.g. ``"mfcc"`` or ``"vae(mfcc)"``.
    ids : (n,) str
        Track ids, unique.
    values : (n, d) or (n, w, 1, mel, time), float32 or float16
        Finite. A memory-mapped array is kept as it is.
    labels : (n,) str
        Genre names, ``""`` where unknown.
    label_use
        How far the labels reached into the values.
    pretrained
        Whether a model that was trained on other data had a part in the values.
    blocks
        How the values are compared, block by block from the first column on. Without blocks they
        are compared as they are.
    groups : each (n,) str
        What tracks have in common beside a genre, by what it is: ``artist``, ``album``, ``source``;
        ``""`` where unknown. Nothing that is unknown of all tracks is in it.

    Raises
    ------
    ValueError
        For duplicate ids, lengths that differ, a non-float dtype, a non-finite value, or blocks
        that do not cover the columns.
    """

    name: str
    ids: StrArray
    values: npt.NDArray[np.floating]
    labels: StrArray
    label_use: LabelUse = LabelUse.NONE
    pretrained: bool = False
    blocks: tuple[Block, ...] = ()
    groups: Groups = field(default_factory=dict)

    def __post_init__(self) -> None:
        _checked_ids(self.ids, self.name)
        if not len(self.ids) == len(self.values) == len(self.labels):
            raise ValueError(
                f"{self.name}: {len(self.ids)} ids, {len(self.values)} rows of values and "
                f"{len(self.labels)} labels; the three must be equal"
            )
        for name, which in self.groups.items():
            if len(which) != len(self.ids):
                raise ValueError(f"{self.name}: {len(self.ids)} ids, {len(which)} of {name}")
        if self.values.dtype not in (np.float32, np.float16) or self.values.ndim < 2:
            raise ValueError(
                f"{self.name}: values must be float32 (or float16) with two axes or more, "
                f"got {self.values.dtype} {self.values.shape}"
            )
        widths = [block.width for block in self.blocks]
        if widths and (self.values.ndim > 2 or sum(widths) != self.values.shape[1]):
            raise ValueError(
                f"{self.name}: blocks of {widths} columns for values {self.values.shape}"
            )
        for start in range(0, len(self.values), 256):  # in blocks: values may be memory-mapped
            finite = np.isfinite(self.values[start : start + 256])
            if not finite.all():
                row = start + int(np.argmin(finite.all(axis=tuple(range(1, finite.ndim)))))
                raise ValueError(
                    f"{self.name}: non-finite value in the row of {str(self.ids[row])!r}"
                )

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def has_labels(self) -> bool:
        """Whether at least two genres are known. Tracks without one are left out of what needs
        genres."""
        return len(known_genres(self.labels)) > 1

    def derive(
        self,
        name: str,
        values: npt.NDArray[np.floating],
        label_use: LabelUse = LabelUse.NONE,
    ) -> FeatureSet:
        """The same tracks with other values, compared as they are; `label_use` can only rise."""
        use = max(self.label_use, label_use)
        return replace(self, name=name, values=values, label_use=use, blocks=())

    def compared_by(self, geometry: Geometry) -> FeatureSet:
        """The same values, compared in another way: in one block, where there are none yet."""
        blocks = self.blocks or (Block(self.name, self.values.shape[1], geometry),)
        return replace(self, blocks=tuple(one._replace(geometry=geometry) for one in blocks))

    def select(self, ids: Sequence[str] | StrArray) -> FeatureSet:
        """The rows of `ids`, in that order; ``KeyError`` names the first id that is not here."""
        where = {track_id: row for row, track_id in enumerate(self.ids.tolist())}
        rows = [where[str(track_id)] for track_id in ids]
        return replace(
            self,
            ids=self.ids[rows],
            values=self.values[rows],
            labels=self.labels[rows],
            groups={name: which[rows] for name, which in self.groups.items()},
        )

    def save(self, folder: Path, stem: str) -> None:
        """Write ``<stem>.npy`` and, beside it, ``track_ids.json``, ``y.npy`` (genre numbers, -1
        where unknown), ``genre_map.json``, ``groups.json`` and ``<stem>.json``: name, label use,
        pretrained, blocks."""
        _save_rows(folder, stem, self.values, self)

    @classmethod
    def load(cls, folder: Path, stem: str, *, mmap: bool = False) -> FeatureSet:
        """Read what `save` wrote; ``mmap=True`` leaves the values on disk."""
        values, rows, about = _load_rows(folder, stem, mmap=mmap)
        blocks = tuple(
            Block(name, width, Geometry(geometry), weight)
            for name, width, geometry, weight in about["blocks"]
        )
        groups: dict[str, StrArray] = {}
        if (folder / "groups.json").exists():  # models that were registered earlier have none
            known = json.loads((folder / "groups.json").read_text("utf-8"))
            groups = {name: np.array(which, dtype=str) for name, which in known.items()}
        return cls(
            values=values, **rows, pretrained=about["pretrained"], blocks=blocks, groups=groups
        )


@dataclass(frozen=True, eq=False)
class Assignment:
    """Tracks put into clusters, once per seed.

    Parameters
    ----------
    name
        The method, e.g. ``"VAE + k-means"``.
    ids : (n,) str
        Track ids, unique.
    clusters : (seeds, n) int
        Cluster numbers from 0; -1 is DBSCAN's noise.
    labels : (n,) str
        Genre names, ``""`` where unknown.
    label_use
        That of the features which were clustered.
    """

    name: str
    ids: StrArray
    clusters: IntArray
    labels: StrArray
    label_use: LabelUse = LabelUse.NONE

    def __post_init__(self) -> None:
        _checked_ids(self.ids, self.name)
        if self.clusters.ndim != 2 or not (
            len(self.ids) == self.clusters.shape[1] == len(self.labels)
        ):
            raise ValueError(
                f"{self.name}: {len(self.ids)} ids and {len(self.labels)} labels do not fit "
                f"clusters of shape {self.clusters.shape}"
            )
        if self.clusters.dtype != np.int64 or (self.clusters.size and self.clusters.min() < -1):
            raise ValueError(f"{self.name}: clusters must be int64, -1 or more")

    def save(self, folder: Path, stem: str = "clusters") -> None:
        """Write ``<stem>.npy`` (n, seeds) and what `FeatureSet.save` writes beside it."""
        _save_rows(folder, stem, self.clusters.T, self)

    @classmethod
    def load(cls, folder: Path, stem: str = "clusters") -> Assignment:
        """Read what `save` wrote."""
        values, rows, _ = _load_rows(folder, stem)
        return cls(clusters=values.T, **rows)
