"""Vectors that another program computed (OpenL3, CLAP, MERT, MuQ ...), joined to tracks by id.

Axes: ``m`` rows of the file, ``n`` tracks, ``d`` dimensions.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from genre_vae.collection.names import LeftOut, join
from genre_vae.features import vector_files
from genre_vae.features.vector_files import MEAN_OVER_FRAMES, shown
from genre_vae.records import FeatureSet, FloatArray, Geometry, InputError, LabelUse

FEWEST = 4  # tracks with vectors: fewer cannot be clustered


@dataclass(frozen=True, eq=False)
class Vectors:
    """The rows of a file.

    Parameters
    ----------
    name
        The file's stem.
    keys : (m,)
        What the file calls each row. Unique.
    values : (m, d) float32
        Rows may hold values that are not finite; `match` lists them.
    """

    name: str
    keys: tuple[str, ...]
    values: FloatArray

    @cached_property
    def fingerprint(self) -> str:
        """A hash of the values and the keys: equal in whichever form a file holds them."""
        hasher = hashlib.blake2b(self.values.tobytes(), digest_size=8)
        hasher.update("\0".join(self.keys).encode())
        return hasher.hexdigest()


def load(path: Path) -> Vectors:
    """Read a file of vectors.

    Parameters
    ----------
    path
        A file in one of the forms of `genre_vae.features.vector_files.read`.

    Returns
    -------
    Vectors
        A number beyond the range of float32 becomes infinite.

    Raises
    ------
    InputError
        If the file is missing, empty, broken or not in such a form, or an id is empty or occurs
        twice. The message begins with ``input <path>:``.
    """
    try:
        return _checked(path.stem, *vector_files.read(path))
    except InputError as error:
        raise InputError(f"input {path}: {error}") from error


def _checked(name: str, keys: Sequence[str], values: npt.NDArray[Any]) -> Vectors:
    if values.dtype.kind not in "iuf":
        raise InputError(f"expected numbers, found {values.dtype}")
    if values.ndim != 2:
        hint = f"; {MEAN_OVER_FRAMES}" if values.ndim > 2 else ""
        raise InputError(f"expected (tracks, dimensions), found shape {values.shape}{hint}")
    if not len(values):
        raise InputError("no rows")
    if not values.shape[1]:
        raise InputError("no numbers beside the ids")
    if len(keys) != len(values):
        raise InputError(f"{len(keys)} ids for {len(values)} rows")
    for row, key in enumerate(keys, 1):
        if not key.strip():
            raise InputError(f"row {row} has an empty id")
        if key != key.encode("utf-8", "ignore").decode("utf-8"):  # JSON can spell half a character
            raise InputError(f"row {row} has an id that is no text: {shown(key)}")
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise InputError(f"{len(twice)} ids occur twice, such as {shown(twice[0])}")
    with np.errstate(over="ignore"):  # becomes infinite, and match lists the row
        return Vectors(name, tuple(keys), np.ascontiguousarray(values, dtype=np.float32))


def match(
    vectors: Vectors, tracks: FeatureSet, *, label_use: LabelUse = LabelUse.NONE
) -> tuple[FeatureSet, pd.DataFrame, tuple[str, ...]]:
    """Give every track its row.

    Parameters
    ----------
    vectors
        The rows of a file.
    tracks
        Any features of the collection's tracks: their ids and labels are used.
    label_use
        How far genres reached into the vectors, where they did.

    Returns
    -------
    features : FeatureSet named as the vectors, values (n', d)
        The tracks that have a row of finite values, in the order of `tracks`, compared by cosine. A
        row belongs to the track that its key names most precisely (`genre_vae.collection.names`); a
        tie, among tracks or among rows, gives none.
    left_out : DataFrame with the columns name, side, reason
        What was left out, sorted by side and name. Side ``track``: "no row in the file", "several
        rows fit", "its row fits several tracks", "non-finite value in its row". Side ``file``:
        "no such track", "fits several tracks", "another row fits its track".
    report : tuple of str
        The counts of these, a line each.

    Raises
    ------
    InputError
        If fewer than four tracks have a row, or all their rows are equal.
    """
    ids = tracks.ids.tolist()
    rows, left_out, _ = join(vectors.keys, ids)
    finite = set(np.flatnonzero(np.all(np.isfinite(vectors.values), axis=1)).tolist())
    left_out += [
        LeftOut(ids[track], "track", "non-finite value in its row")
        for track, row in rows.items()
        if row not in finite
    ]
    left_out.sort(key=lambda one: (one.side, one.name))
    reasons = _counts(left_out)
    chosen = [track for track, row in rows.items() if row in finite]
    if len(chosen) < FEWEST:
        raise InputError(
            f"input {vectors.name}: {len(chosen)} of {len(ids)} tracks have a usable row, {FEWEST} "
            f"are needed; keys are like {shown(min(vectors.keys))}, tracks like {shown(ids[0])}; "
            + "; ".join(reasons)
        )
    values = vectors.values[[rows[track] for track in chosen]]
    if np.all(values == values[0]):
        raise InputError(
            f"input {vectors.name}: all {len(chosen)} tracks have the same vector; there is "
            "nothing to cluster"
        )
    surplus = sum(one.side == "file" for one in left_out)
    report = (
        f"{len(chosen)} of {len(ids)} tracks have vectors of {values.shape[1]} dimensions; "
        f"{surplus} of {len(vectors.keys)} rows in the file belong to no track",
        *reasons,
    )
    return (
        FeatureSet(
            vectors.name, tracks.ids[chosen], values, tracks.labels[chosen], label_use
        ).compared_by(Geometry.COSINE),
        pd.DataFrame(left_out, columns=["name", "side", "reason"], dtype=str),
        report,
    )


def _counts(left_out: Sequence[LeftOut]) -> list[str]:
    """How many tracks and rows were left out for each reason, with an example."""
    named: dict[str, list[str]] = {}
    for name, side, reason in left_out:
        named.setdefault(f"{'rows' if side == 'file' else 'tracks'}: {reason}", []).append(name)
    return [f"{len(names)} {why}, such as {shown(names[0])}" for why, names in named.items()]
