"""What was computed of single tracks, kept for all collections on this machine.

A row belongs to the content of a file and to the settings and code that made it, never to a path: a
track that was moved, or is in two collections, is computed once. Rows lie in shards, Parquet files
of a batch of tracks each. Parquet, since it is read by everything, has a checksum for every page,
and gives single columns, so that MFCC are read without the mel windows beside them; an array that
grows in place (zarr, HDF5) would need a lock that a killed writer leaves behind.

A shard is written beside and renamed when it is whole, under a name of its own. So a killed run
loses one batch at most, and any number of writers cannot disturb each other: of two that compute
the same track, either row will do. Shards that were not used for longest go first when the store is
larger than its limit.
"""

from __future__ import annotations

import math
import os
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genre_vae.files import replacing
from genre_vae.records import InputError

BATCH = 128  # tracks of a shard
LIMIT = 20e9  # bytes of all kinds: some 150,000 tracks
KEY = "key"
SUFFIX = ".parquet"

Row = Mapping[str, Any]  # by column: an array, or a text


class Column(NamedTuple):
    """A column of arrays of one shape; of texts, where `dtype` is ``""``."""

    name: str
    dtype: str = ""
    shape: tuple[int, ...] = ()


def default_folder() -> Path:
    """Where rows are kept: ``GENRE_VAE_CACHE``, or this user's folder for caches."""
    import platformdirs

    named = os.environ.get("GENRE_VAE_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("genre-vae"))


class Kept:
    """Rows of one kind, by the digests of files' contents.

    Parameters
    ----------
    folder
        Where the shards of this kind lie: one for each kind and settings.
    columns
        What a row has.
    """

    def __init__(self, folder: Path, columns: Sequence[Column]) -> None:
        self.folder = folder
        self.columns = {column.name: column for column in columns}

    def find(self, keys: Iterable[str]) -> dict[str, tuple[Path, int]]:
        """The shard, and the row in it, of each key that is kept."""
        wanted = set(keys)
        found: dict[str, tuple[Path, int]] = {}
        for shard in sorted(self.folder.glob(f"*{SUFFIX}")):
            if shard.name.startswith("."):  # one that is being written
                continue
            table = _read(shard, [KEY])
            for row, key in enumerate([] if table is None else table[KEY].to_pylist()):
                if key in wanted:
                    found.setdefault(key, (shard, row))
        return found

    def complete(
        self, keys: Sequence[str], compute: Callable[[list[int]], Iterable[tuple[str, Row]]]
    ) -> dict[str, tuple[Path, int]]:
        """Compute what is not kept, and say where all of it is.

        Parameters
        ----------
        keys
            Of which some may be equal.
        compute
            Gives the rows of some places in `keys`, one by one, each with its key: that of a file
            which has changed meanwhile is another. A batch is kept as soon as it is there.

        Returns
        -------
        dict
            As `find` gives it, also of rows that came with another key. A key whose row was not
            computed is missing.

        Raises
        ------
        InputError
            If nothing can be written.
        """
        found = self.find(keys)
        first = {key: place for place, key in reversed(list(enumerate(keys)))}
        missing = sorted(place for key, place in first.items() if key not in found)
        if not missing:
            return found
        rows = iter(compute(missing))
        try:
            while batch := dict(islice(rows, BATCH)):
                shard = self.add(batch)
                found |= {key: (shard, row) for row, key in enumerate(batch)}
        except OSError as error:
            raise InputError(
                f"features cannot be kept in {self.folder.parent}: {error.strerror}; "
                "GENRE_VAE_CACHE names another folder"
            ) from error
        return found

    def add(self, rows: Mapping[str, Row]) -> Path:
        """Keep rows, by their keys, as one shard.

        Raises
        ------
        OSError
            If nothing can be written there.
        """
        import pyarrow as pa
        import pyarrow.parquet

        arrays = {KEY: pa.array(list(rows), pa.string())}
        for name, column in self.columns.items():
            cells = [row[name] for row in rows.values()]
            if column.dtype:
                cells = [_bytes(cell, column) for cell in cells]
            arrays[name] = pa.array(cells, pa.binary() if column.dtype else pa.string())
        self.folder.mkdir(parents=True, exist_ok=True)
        shard = self.folder / f"{uuid.uuid4().hex}{SUFFIX}"
        with replacing(shard) as temporary:
            pyarrow.parquet.write_table(
                pa.table(arrays),
                temporary,
                compression="zstd",
                use_dictionary=False,
                write_page_checksum=True,
                write_statistics=False,
            )
        return shard

    def read(
        self, places: Mapping[str, tuple[Path, int]], names: Sequence[str]
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Rows, shard by shard.

        Parameters
        ----------
        places
            From `find`.
        names
            The columns to read.

        Yields
        ------
        key, row
            None of a shard that is gone or damaged: its tracks are to be computed again.
        """
        by_shard: dict[Path, list[tuple[str, int]]] = {}
        for key, (shard, row) in places.items():
            by_shard.setdefault(shard, []).append((key, row))
        for shard, wanted in by_shard.items():
            table = _read(shard, names)
            if table is None:
                continue
            with suppress(OSError):
                os.utime(shard)  # it was used
            cells = {name: table[name] for name in names}
            for key, row in wanted:
                yield key, {name: self._value(cells[name][row], name) for name in names}

    def _value(self, cell: Any, name: str) -> Any:
        column = self.columns[name]
        if not column.dtype or not cell.is_valid:
            return cell.as_py()
        flat = np.frombuffer(cell.as_buffer(), dtype=column.dtype)
        return flat.reshape(column.shape)


def trim(root: Path, *, limit: float) -> tuple[int, int]:
    """Delete the shards that were not used for longest, until all are below a limit.

    Parameters
    ----------
    root
        The folder of all kinds.
    limit
        Bytes; 0 deletes all.

    Returns
    -------
    deleted, left
        Bytes.
    """
    shards = []
    for shard in root.glob(f"*/*{SUFFIX}"):
        with suppress(OSError):  # another process trims too
            status = shard.stat()
            shards.append((status.st_mtime_ns, status.st_size, shard))
    total, deleted = sum(size for _, size, _ in shards), 0
    for _, size, shard in sorted(shards):
        if total - deleted <= limit:
            break
        with suppress(FileNotFoundError):
            shard.unlink()
        deleted += size
    for folder in root.glob("*/"):
        with suppress(OSError):  # it is not empty
            folder.rmdir()
    return deleted, total - deleted


def _read(shard: Path, names: Sequence[str]) -> Any:
    """Some columns of a shard; None of one that is gone. A damaged one is deleted."""
    import pyarrow as pa
    import pyarrow.parquet

    try:
        return pyarrow.parquet.read_table(
            shard, columns=list(names), page_checksum_verification=True
        )
    except FileNotFoundError:
        return None
    except (OSError, pa.ArrowException):
        with suppress(OSError):
            shard.unlink()
        return None


def _bytes(cell: npt.NDArray[Any] | None, column: Column) -> bytes | None:
    if cell is None:
        return None
    array = np.ascontiguousarray(cell, dtype=column.dtype)
    assert array.size == math.prod(column.shape), f"{column.name}: {array.shape}"
    return array.tobytes()
