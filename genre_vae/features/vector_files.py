"""Readers of the files in which other programs keep vectors: ``.npy``, ``.npz``, ``.csv``,
``.parquet``.

Nothing in a file is unpickled. What a library raises when a file is broken becomes an `InputError`
at the library's call, and nowhere else, so that an error of this program stays one.

Axes: ``m`` rows of a file, ``d`` dimensions.
"""

from __future__ import annotations

import csv
import json
import lzma
import math
import re
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import numpy.typing as npt
import pandas as pd

from genre_vae.records import InputError

ID_COLUMNS = ("track_id", "filename", "file", "path", "id")
LABEL_COLUMNS = ("genre", "label", "labels", "class", "target")  # no dimensions of a vector
MEAN_OVER_FRAMES = "for one row per track, take the mean over frames first"
_NAMELESS = re.compile(r"(Unnamed: \d+|__index_level_\d+__)?")  # how pandas writes row numbers
_GAPS = frozenset({"", "na", "n/a", "<na>", "null", "none"})  # how programs write "no number"

# What the libraries raise at broken files. NumPy parses a header as Python; pandas keeps notes in a
# Parquet file and trusts them.
_BROKEN_ARRAY = (
    *(ValueError, EOFError, OverflowError, MemoryError, RecursionError),
    *(SyntaxError, TypeError, LookupError, tokenize.TokenError),
)
_BROKEN_ARCHIVE = (
    *_BROKEN_ARRAY,
    *(zipfile.BadZipFile, NotImplementedError, RuntimeError, struct.error),
    *(zlib.error, lzma.LZMAError),
)
_BROKEN_PARQUET = (
    *(ValueError, LookupError, TypeError, AttributeError, AssertionError),
    *(NotImplementedError, RecursionError, OverflowError, MemoryError),
)

Rows = tuple[list[str], npt.NDArray[Any]]  # what a file calls each row, and the rows


class _UnreadableError(InputError):
    """A library cannot read a file; the message is the library's, on one line."""


@contextmanager
def _reading(*broken: type[Exception]) -> Iterator[None]:
    """Around the call of a library: report what it raises of a broken file as the file's error."""
    try:
        yield
    except broken as error:
        raise _UnreadableError(one_line(str(error) or repr(error))) from error


def read(path: Path) -> Rows:
    """Read the rows of a file, and what it calls each.

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

    Raises
    ------
    InputError
        If the file is missing, empty, broken or not in such a form. The message does not name it.
    """
    suffix = path.suffix.lower()
    try:
        if not path.is_file():
            raise InputError("a folder, not a file" if path.is_dir() else "no such file")
        if suffix not in _READERS:
            raise InputError(f"expected a file called {', '.join(_READERS)}, not {suffix!r}")
        if not path.stat().st_size:
            raise InputError("the file is empty")
        return _READERS[suffix](path)
    except _UnreadableError as error:
        raise InputError(f"not read as {suffix}: {error}") from error
    except OSError as error:  # pyarrow's have no strerror
        reason = error.strerror or f"not read as {suffix}: {one_line(str(error))}"
        raise InputError(reason) from error


def shown(text: str) -> str:
    """Text from a file, quoted, on one line and not too long."""
    return repr(text if len(text) <= 80 else f"...{text[-77:]}")


def one_line(message: str) -> str:
    """A library's message on one line and not too long."""
    return " ".join(message.split())[:200]


def _texts(array: npt.NDArray[Any]) -> list[str]:
    """(m,) str -> list. A broken file can hold code points that do not exist, on which Python fails
    wherever they are touched."""
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
        with _reading(*_BROKEN_ARRAY):
            array: npt.NDArray[Any] = np.load(file, allow_pickle=False)
        return array


def _npy(path: Path) -> Rows:
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
    except OSError as error:
        raise InputError(f"{found}: {error.strerror or one_line(str(error))}") from error


def _ids(path: Path) -> list[str]:
    """The ids in a file beside an array."""
    if path.suffix == ".npy":
        array = _array(path)
        if array.ndim != 1 or array.dtype.kind != "U":
            raise InputError(f"expected a 1-d array of text, found {array.dtype} {array.shape}")
        return _texts(array)
    with _reading(UnicodeDecodeError):
        text = path.read_text("utf-8-sig")
    if path.suffix == ".txt":
        return text.rstrip("\n").split("\n")  # splitlines also splits at what names may hold
    with _reading(ValueError, RecursionError):
        ids = json.loads(text)
    if not isinstance(ids, list) or not all(isinstance(key, str) for key in ids):
        raise InputError("expected a list of text")
    return ids


def _npz(path: Path) -> Rows:
    with path.open("rb") as file:
        if not zipfile.is_zipfile(file):
            raise InputError("no .npz archive, or one that was cut short")
        file.seek(0)
        with _reading(*_BROKEN_ARCHIVE), np.load(file, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    # a member that is no array comes as bytes
    arrays = {name: array for name, array in arrays.items() if isinstance(array, np.ndarray)}
    ids = [array for array in arrays.values() if array.ndim == 1 and array.dtype.kind == "U"]
    numbers = [array for array in arrays.values() if array.dtype.kind in "iuf"]
    tables = [array for array in numbers if array.ndim == 2]
    if len(ids) != 1 or len(tables) != 1:
        found = ", ".join(f"{name} {one.dtype} {one.shape}" for name, one in arrays.items())
        hint = f"; {MEAN_OVER_FRAMES}" if any(array.ndim > 2 for array in numbers) else ""
        raise InputError(
            "expected one 1-d array of text and one 2-d array of numbers, found "
            f"{one_line(found) or 'none'}{hint}"
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
        raise InputError(f"column {shown(labels[0])} is a label, no part of a vector; take it out")


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


def _csv(path: Path) -> Rows:
    keys, rows = [], []
    with path.open(encoding="utf-8-sig", newline="") as file:
        lines = _lines(file)
        _, header = next(lines, (0, []))
        names = [name.strip() for name in header]
        proper = _id_column(names)
        at = proper or 0
        others = names[:at] + names[at + 1 :]
        _refuse_labels(others)
        for number, line in lines:
            if len(line) != len(names):  # pandas would shift a longer one and fill a shorter
                raise InputError(f"line {number} has {len(line)} cells, the header {len(names)}")
            keys.append(line.pop(at))
            rows.append(_numbers(others, line, names[at]))
    if not rows:
        raise InputError("no rows")
    values = np.stack(rows)
    return keys, values if proper is None else _without_row_numbers(others, values)


def _lines(file: TextIO) -> Iterator[tuple[int, list[str]]]:
    """The number and the cells of each line that is not empty."""
    reader = csv.reader(file, strict=True)
    try:
        for line in reader:
            if line:
                yield reader.line_num, line
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8; save it so") from error
    except csv.Error as error:
        raise _UnreadableError(one_line(str(error))) from error


def _numbers(names: Sequence[str], cells: Sequence[str], key: str) -> npt.NDArray[np.float64]:
    """The numbers of one row; `key` is the column that its id was in."""
    numbers = []
    for name, cell in zip(names, cells, strict=True):
        try:
            numbers.append(_number(cell))
        except ValueError as error:
            raise InputError(
                f"column {shown(name)} holds {shown(cell)}, which is no number; "
                f"ids are read from column {shown(key)}"
            ) from error
    return np.array(numbers, dtype=np.float64)


def _number(cell: str) -> float:
    if "_" in cell:  # Python would read a name such as 2020_01 as a number
        raise ValueError(cell)
    return math.nan if cell.strip().lower() in _GAPS else float(cell)


def _parquet(path: Path) -> Rows:
    try:
        from pyarrow import ArrowException
    except ImportError as error:
        raise InputError("this needs pyarrow: pip install pyarrow") from error
    with _reading(ArrowException, *_BROKEN_PARQUET):
        frame = pd.read_parquet(path, engine="pyarrow")
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
    rest = [column for column in range(len(names)) if column != at]
    columns = [(names[column], frame.iloc[:, column]) for column in rest]
    with _reading(UnicodeDecodeError):  # pyarrow decodes text only where it is looked at
        keys = [_key(value) for value in ids]
        examples = [column.iloc[0] for _, column in columns]
    _refuse_labels([name for name, _ in columns])
    if len(columns) == 1 and isinstance(examples[0], np.ndarray):
        return keys, _lists(*columns[0])
    for (name, column), example in zip(columns, examples, strict=True):
        if column.dtype.kind not in "iuf":
            raise InputError(
                f"column {shown(name)} holds {shown(str(example))}, which is no number "
                f"({column.dtype}); ids are read from {shown(str(ids.name))}"
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
    raise InputError(f"the id {shown(str(value))} is no text")


def _lists(name: str, column: pd.Series[Any]) -> npt.NDArray[np.float64]:
    lists = column.tolist()
    for row, one in enumerate(lists, 1):
        if not isinstance(one, np.ndarray) or one.ndim != 1 or one.dtype.kind not in "iuf":
            raise InputError(
                f"column {shown(name)} holds no list of numbers in row {row}; if it has a list of "
                f"lists there: {MEAN_OVER_FRAMES}"
            )
    lengths = sorted({len(one) for one in lists})
    if len(lengths) > 1:
        raise InputError(
            f"lists of {lengths[0]} to {lengths[-1]} numbers in column {shown(name)}; "
            f"{MEAN_OVER_FRAMES}"
        )
    return np.stack(lists).astype(np.float64)


_READERS: dict[str, Callable[[Path], Rows]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".csv": _csv,
    ".parquet": _parquet,
}
