"""Vectors that another program computed (OpenL3, CLAP, MERT, MuQ ...), joined to tracks by id.

A file holds a row of numbers for each track and says which track it is of. Rows are never joined by
their place. Nothing in a file is unpickled. Axes: ``m`` rows of the file, ``n`` tracks, ``d``
dimensions.
"""

from __future__ import annotations

import csv
import json
import math
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from genre_vae.collection.catalog import plain, spellings
from genre_vae.records import FeatureSet, FloatArray, InputError, LabelUse

ID_COLUMNS = ("track_id", "filename", "file", "path", "id")
LABEL_COLUMNS = ("genre", "label", "labels", "class", "target")  # no dimensions of a vector
FEWEST = 4  # tracks with vectors: with fewer there is nothing to cluster
_NAMELESS = re.compile(r"(Unnamed: \d+|__index_level_\d+__)?")  # how pandas writes row numbers
_GAPS = frozenset({"", "na", "n/a", "<na>", "null", "none"})  # how programs write "no number"
_POOL = "for one row per track, take the mean over frames first"

_Read = tuple[list[str], npt.NDArray[Any]]  # what each row is called, and the rows
_LeftOut = tuple[str, str, str]  # name, side, reason
_Called = dict[str, list[int]]  # a name, and the tracks that have it


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


def load(path: Path) -> Vectors:
    """Read a file of vectors.

    Parameters
    ----------
    path
        By its suffix, in any case:

        ``.npy``: (m, d) numbers. The ids lie beside it, in the first of ``<stem>_ids.json`` (a
        list), ``<stem>_ids.txt`` (one a line, UTF-8), ``<stem>_ids.npy`` and ``track_ids.json``
        (what this project's stages write).

        ``.npz``: one array of text (m,), the ids, and one of numbers (m, d), by any names. Arrays
        of other kinds are passed over.

        ``.csv``: UTF-8, with a header. Ids are in the first of the columns `ID_COLUMNS` that is
        there, in any case, else in the first column. The others are numbers; an empty cell, NA or
        NaN is none. Row numbers that pandas wrote beside the ids are left out; a column of
        `LABEL_COLUMNS` is refused.

        ``.parquet``: the same. The ids may also be the index, and the vectors one column of lists.

    Returns
    -------
    Vectors
        A number beyond the range of float32 becomes infinite.

    Raises
    ------
    InputError
        If the file is missing, empty, broken or not in such a form, or an id is empty or there
        twice. Its line begins ``input <path>:``.
    """
    suffix = path.suffix.lower()
    try:
        if not path.is_file():
            raise InputError("a folder, not a file" if path.is_dir() else "no such file")
        if suffix not in _READERS:
            raise InputError(f"expected a file called {', '.join(_READERS)}, not {suffix!r}")
        if not path.stat().st_size:
            raise InputError("the file is empty")
        keys, values = _READERS[suffix](path)
        return _checked(path.stem, keys, values)
    except InputError as error:
        raise InputError(f"input {path}: {error}") from error
    except Exception as error:  # breaking files made the libraries raise a dozen kinds
        system = error.strerror if isinstance(error, OSError) else None
        reason = system or f"not read as {suffix}: {_short(str(error) or repr(error))}"
        raise InputError(f"input {path}: {reason}") from error


def _checked(name: str, keys: Sequence[str], values: npt.NDArray[Any]) -> Vectors:
    if values.dtype.kind not in "iuf":
        raise InputError(f"expected numbers, found {values.dtype}")
    if values.ndim != 2:
        hint = f"; {_POOL}" if values.ndim > 2 else ""
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
            raise InputError(f"row {row} has an id that is no text: {_shown(key)}")
    twice = [key for key, count in Counter(keys).items() if count > 1]
    if twice:
        raise InputError(f"{len(twice)} ids occur twice, such as {_shown(twice[0])}")
    with np.errstate(over="ignore"):  # becomes infinite, and match lists the row
        return Vectors(name, tuple(keys), np.ascontiguousarray(values, dtype=np.float32))


def _shown(text: str) -> str:
    """Text from a file, quoted, on one line and not too long."""
    return repr(text if len(text) <= 80 else f"...{text[-77:]}")


def _short(reason: str) -> str:
    """A library's message on one line."""
    return " ".join(reason.split())[:200]


def _texts(array: npt.NDArray[Any]) -> list[str]:
    """(m,) str -> list; a broken file can hold characters that do not exist, and Python fails on
    them anywhere."""
    codes = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("=")).view(np.uint32)
    if codes.size and codes.max() > 0x10FFFF:
        raise InputError("the ids are broken text")
    return [str(key) for key in array.tolist()]


# NumPy's formats


def _array(path: Path) -> npt.NDArray[Any]:
    with path.open("rb") as file:
        if file.read(len(np.lib.format.MAGIC_PREFIX)) != np.lib.format.MAGIC_PREFIX:
            raise InputError("not a NumPy array")  # np.load would advise to unpickle it
        file.seek(0)
        array: npt.NDArray[Any] = np.load(file, allow_pickle=False)
        return array


def _npy(path: Path) -> _Read:
    values = _array(path)
    beside = [f"{path.stem}_ids{suffix}" for suffix in (".json", ".txt", ".npy")]
    beside.append("track_ids.json")
    found = next((name for name in beside if path.with_name(name).exists()), None)
    if found is None:
        raise InputError(f"no ids beside it, as one of {', '.join(beside)}")
    try:
        return _ids(path.with_name(found)), values
    except InputError as error:
        raise InputError(f"{found}: {error}") from error
    except Exception as error:  # as in load
        raise InputError(f"{found}: {_short(str(error) or repr(error))}") from error


def _ids(path: Path) -> list[str]:
    """The ids in a file beside an array."""
    if path.suffix == ".npy":
        array = _array(path)
        if array.ndim != 1 or array.dtype.kind != "U":
            raise InputError(f"expected a 1-d array of text, found {array.dtype} {array.shape}")
        return _texts(array)
    text = path.read_text("utf-8-sig")
    if path.suffix == ".txt":
        return text.rstrip("\n").split("\n")  # splitlines also splits at what names may hold
    ids = json.loads(text)
    if not isinstance(ids, list) or not all(isinstance(key, str) for key in ids):
        raise InputError("expected a list of text")
    return ids


def _npz(path: Path) -> _Read:
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise InputError("no .npz archive, or one that was cut short")
        file.seek(0)
        with np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    # a member that is no array comes as bytes
    arrays = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
    ids = [array for array in arrays.values() if array.ndim == 1 and array.dtype.kind == "U"]
    numbers = [array for array in arrays.values() if array.dtype.kind in "iuf"]
    tables = [array for array in numbers if array.ndim == 2]
    if len(ids) != 1 or len(tables) != 1:
        found = ", ".join(f"{name} {one.dtype} {one.shape}" for name, one in arrays.items())
        hint = f"; {_POOL}" if any(array.ndim > 2 for array in numbers) else ""
        raise InputError(
            "expected one 1-d array of text and one 2-d array of numbers, found "
            f"{_short(found) or 'none'}{hint}"
        )
    return _texts(ids[0]), tables[0]


# Tables


def _id_column(names: Sequence[str]) -> int | None:
    lower = [name.lower() for name in names]
    return next((lower.index(name) for name in ID_COLUMNS if name in lower), None)


def _refuse_labels(names: Sequence[str]) -> None:
    """A genre written as a number would pass for a dimension, and among others the audit would not
    see it."""
    labels = [name for name in names if name.lower() in LABEL_COLUMNS]
    if labels:
        raise InputError(f"column {_shown(labels[0])} is a label, no part of a vector; take it out")


def _without_row_numbers(
    names: Sequence[str], values: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """Without pandas' index: a nameless column of whole numbers that all differ."""
    kept = [
        not _NAMELESS.fullmatch(name)
        or len(np.unique(column)) < len(column)
        or not np.array_equal(column, np.round(column))
        for name, column in zip(names, values.T, strict=True)
    ]
    return values[:, kept]


def _csv(path: Path) -> _Read:
    keys, rows = [], []
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            reader = csv.reader(file, strict=True)
            lines = (line for line in reader if line)
            names = [name.strip() for name in next(lines, [])]
            proper = _id_column(names)
            at = proper or 0
            others = names[:at] + names[at + 1 :]
            _refuse_labels(others)
            for line in lines:
                if len(line) != len(names):  # pandas would shift a longer one and fill a shorter
                    raise InputError(
                        f"line {reader.line_num} has {len(line)} cells, the header {len(names)}"
                    )
                keys.append(line.pop(at))
                rows.append(_numbers(others, line, names[at]))
        except UnicodeDecodeError as error:
            raise InputError("not UTF-8; save it so") from error
    if not rows:
        raise InputError("no rows")
    values = np.stack(rows)
    return keys, values if proper is None else _without_row_numbers(others, values)


def _numbers(names: Sequence[str], cells: Sequence[str], key: str) -> npt.NDArray[np.float64]:
    """The numbers of one row; `key` is the column that its id was in."""
    numbers = []
    for name, cell in zip(names, cells, strict=True):
        try:
            numbers.append(_number(cell))
        except ValueError as error:
            raise InputError(
                f"column {_shown(name)} holds {_shown(cell)}, which is no number; "
                f"ids are read from column {_shown(key)}"
            ) from error
    return np.array(numbers, dtype=np.float64)


def _number(cell: str) -> float:
    if "_" in cell:  # Python would read a name such as 2020_01 as a number
        raise ValueError(cell)
    return math.nan if cell.strip().lower() in _GAPS else float(cell)


def _parquet(path: Path) -> _Read:
    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except ImportError as error:
        raise InputError("this needs pyarrow: pip install pyarrow") from error
    names = [str(name).strip() for name in frame.columns]
    at = _id_column(names)
    named = True
    if at is not None:
        ids: pd.Series[Any] = frame.iloc[:, at]
    elif frame.index.name is not None or frame.index.inferred_type == "string":
        ids = frame.index.to_series()
    elif names:
        at, named = 0, False
        ids = frame.iloc[:, 0]
    else:
        raise InputError("no columns")
    if not len(frame):
        raise InputError("no rows")
    keys = [_key(value) for value in ids]
    rest = [column for column in range(len(names)) if column != at]
    columns = [(names[column], frame.iloc[:, column]) for column in rest]
    _refuse_labels([name for name, _ in columns])
    if len(columns) == 1 and isinstance(columns[0][1].iloc[0], np.ndarray):
        return keys, _lists(*columns[0])
    for name, column in columns:
        if column.dtype.kind not in "iuf":
            raise InputError(
                f"column {_shown(name)} holds {_shown(str(column.iloc[0]))}, which is no number "
                f"({column.dtype}); ids are read from {_shown(str(ids.name))}"
            )
    if not columns:
        raise InputError("no numbers beside the ids")
    values = np.column_stack([one.to_numpy(np.float64, na_value=np.nan) for _, one in columns])
    return keys, _without_row_numbers([name for name, _ in columns], values) if named else values


def _key(value: object) -> str:
    """An id in a typed table. Whole numbers are names too, as they are in text."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    raise InputError(f"the id {_shown(str(value))} is no text")


def _lists(name: str, column: pd.Series[Any]) -> npt.NDArray[np.float64]:
    lists = column.tolist()
    for row, one in enumerate(lists, 1):
        if not isinstance(one, np.ndarray) or one.ndim != 1 or one.dtype.kind not in "iuf":
            raise InputError(
                f"column {_shown(name)} holds no list of numbers in row {row}; if it has a list of "
                f"lists there: {_POOL}"
            )
    lengths = sorted({len(one) for one in lists})
    if len(lengths) > 1:
        raise InputError(
            f"lists of {lengths[0]} to {lengths[-1]} numbers in column {_shown(name)}; {_POOL}"
        )
    return np.stack(lists).astype(np.float64)


_READERS: dict[str, Callable[[Path], _Read]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".parquet": _parquet,
}


def match(
    vectors: Vectors, tracks: FeatureSet, *, label_use: LabelUse = LabelUse.NONE
) -> tuple[FeatureSet, pd.DataFrame, tuple[str, ...]]:
    """Give every track its row.

    Parameters
    ----------
    vectors
        From `load`.
    tracks
        Any values of the collection's tracks: their ids and labels are used.
    label_use
        How far genres reached into the vectors, where they did.

    Returns
    -------
    FeatureSet
        Named as the vectors, values (n', d): the tracks that have a row of finite values, in the
        order of `tracks`.

        A row is of the track whose id it is called, or whose `spellings`: its id, its path within
        the genres' folder, or its file name, with or without an audio suffix and in any case. A
        longer path, with ``/`` or ``\\``, is of the track whose id or path within the genres'
        folder it ends in. The most telling of these counts: for a row that fits several tracks,
        and for a track that several rows fit. Where it is not one, there is none.
    DataFrame with the columns name, side, reason
        What was left out, sorted by side and name. Side ``track``: "no row in the file", "several
        rows fit", "its row fits several tracks", "non-finite value in its row". Side ``file``:
        "no such track", "fits several tracks", "another row fits its track".
    tuple of str
        The same in figures, a line each.

    Raises
    ------
    InputError
        If fewer than four tracks have a row, or all their rows are equal.
    """
    ids = tracks.ids.tolist()
    rows, left_out = _join(vectors.keys, ids)
    finite = set(np.flatnonzero(np.all(np.isfinite(vectors.values), axis=1)).tolist())
    left_out += [
        (ids[track], "track", "non-finite value in its row")
        for track, row in rows.items()
        if row not in finite
    ]
    left_out.sort(key=lambda one: (one[1], one[0]))
    reasons = _in_figures(left_out)
    chosen = [track for track, row in rows.items() if row in finite]
    if len(chosen) < FEWEST:
        raise InputError(
            f"input {vectors.name}: {len(chosen)} of {len(ids)} tracks have a usable row, {FEWEST} "
            f"are needed; keys are like {_shown(min(vectors.keys))}, tracks like {_shown(ids[0])}; "
            + "; ".join(reasons)
        )
    values = vectors.values[[rows[track] for track in chosen]]
    if np.all(values == values[0]):
        raise InputError(
            f"input {vectors.name}: all {len(chosen)} tracks have the same vector; there is "
            "nothing to cluster"
        )
    surplus = sum(side == "file" for _, side, _ in left_out)
    report = (
        f"{len(chosen)} of {len(ids)} tracks have vectors of {values.shape[1]} dimensions; "
        f"{surplus} of {len(vectors.keys)} rows in the file belong to no track",
        *reasons,
    )
    return (
        FeatureSet(vectors.name, tracks.ids[chosen], values, tracks.labels[chosen], label_use),
        pd.DataFrame(left_out, columns=["name", "side", "reason"], dtype=str),
        report,
    )


def _in_figures(left_out: Sequence[_LeftOut]) -> list[str]:
    named: dict[str, list[str]] = {}
    for name, side, reason in left_out:
        named.setdefault(f"{'rows' if side == 'file' else 'tracks'}: {reason}", []).append(name)
    return [f"{len(names)} {why}, such as {_shown(names[0])}" for why, names in named.items()]


def _join(keys: Sequence[str], ids: Sequence[str]) -> tuple[dict[int, int], list[_LeftOut]]:
    """The row of each track that has one, in the order of tracks; and all else of either side."""
    called: tuple[_Called, ...] = ({}, {}, {}, {})
    for track, track_id in enumerate(ids):
        for tracks, name in zip(called, (track_id, *spellings(_slashed(track_id))), strict=True):
            tracks.setdefault(name, []).append(track)
    claims: dict[int, list[tuple[int, int]]] = {}
    shared: set[int] = set()
    left_out = []
    for row, key in enumerate(keys):
        rank, tracks_of = _fitting(key, called)
        if len(tracks_of) == 1:
            claims.setdefault(tracks_of[0], []).append((rank, row))
        else:
            shared.update(tracks_of)
            left_out.append((key, "file", "fits several tracks" if tracks_of else "no such track"))
    rows = {}
    for track, track_id in enumerate(ids):
        claim = sorted(claims.get(track, []))
        best = [row for rank, row in claim if rank == claim[0][0]]
        if len(best) == 1:
            rows[track] = best[0]
        elif best:
            left_out.append((track_id, "track", "several rows fit"))
        else:
            reason = "its row fits several tracks" if track in shared else "no row in the file"
            left_out.append((track_id, "track", reason))
        left_out += [
            (keys[row], "file", "another row fits its track")
            for _, row in claim
            if row != rows.get(track)
        ]
    return rows, left_out


def _fitting(key: str, called: tuple[_Called, ...]) -> tuple[int, list[int]]:
    """The tracks that a key names best, and how tellingly (0 is most) that is."""
    ids, plain_ids, within_genres, names = called
    if key in ids:
        return 0, ids[key]
    parts = plain(_slashed(key)).split("/")
    for start in range(len(parts)):  # the longest ending first
        ending = "/".join(parts[start:])
        for rank, tracks in enumerate((plain_ids, within_genres), 1 if start == 0 else 3):
            if ending in tracks:
                return rank, tracks[ending]
    return 5, names.get("/".join(parts), [])


def _slashed(name: str) -> str:
    """A path as catalog writes it, whatever system it is from."""
    parts = name.strip().replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in ("", "."))
