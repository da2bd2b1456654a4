"""Tables of genres that people have beside their music: a track and a genre in each row.

Text tables with a header, JSON, or Parquet. The Free Music Archive's ``tracks.csv`` has two header
rows and a third with the index's name; its tracks are numbers, and its files those numbers with
zeros in front. Rows are joined to tracks by name (`genre_vae.collection.names`), never by place.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from genre_vae.collection import names
from genre_vae.collection.genres import CHOICES
from genre_vae.collection.tables import csv_table, decoded, json_table, plain
from genre_vae.records import InputError

FMA = "tracks.csv"  # of the Free Music Archive's metadata
PLACES = ("", "fma_metadata", "../fma_metadata", "..")  # where it lies, from the folder of audio


class Columns(NamedTuple):
    """What a table's columns may be called, each the first that is there, without case, spaces and
    underscores; and the option that names the table."""

    key: tuple[str, ...]
    value: tuple[str, ...]
    option: str


TRACKS = Columns(
    ("track_id", "filename", "file", "path", "filepath", "track", "id", "name", "song"),
    ("genre", "genretop", "label", "genres", "class", "category", "style"),
    "genres",
)
PARENTS = Columns(("genre", "child", "subgenre", "name"), ("parent", "top"), "genre_parents")
FACTS = {"artist": ("artist", "artistname"), "album": ("album", "albumtitle"), "title": ("title",)}


@dataclass(frozen=True, eq=False)
class GenreTable:
    """A table of genres.

    Parameters
    ----------
    name
        The file's name.
    rows : columns track, genre, artist, album, title
        Text, ``""`` where unknown.
    """

    name: str
    rows: pd.DataFrame

    @classmethod
    def load(cls, path: Path, columns: Columns = TRACKS) -> GenreTable:
        """Read a table of tracks, or of parent genres, whose genres are then in place of tracks.

        Raises
        ------
        InputError
            If the file is missing, unreadable, or has no column of tracks or of genres.
        """
        if not path.is_file():
            what = "a folder, not a table" if path.is_dir() else "no such file"
            words = f" (or one of {', '.join(CHOICES)})" if columns is TRACKS else ""
            raise InputError(f"{columns.option} {path}: {what}{words}")
        try:
            frame = _read(path, columns)
        except (OSError, ValueError) as error:  # InputError is one
            first = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise InputError(
                f"{columns.option} {path}: cannot be read as a table: {first}"
            ) from error
        there = {plain(str(column)): column for column in reversed(frame.columns)}
        found: dict[str, Any] = {}
        for name, called in {"track": columns.key, "genre": columns.value, **FACTS}.items():
            column = next((there[plain(one)] for one in called if plain(one) in there), None)
            if column is None and name not in FACTS:
                listed = ", ".join(map(str, frame.columns[:12]))
                raise InputError(
                    f"{columns.option} {path}: no column of {columns.option.partition('_')[0]}s; "
                    f"one may be called {', '.join(called[:4])}; there are {listed}"
                    if name == "genre"
                    else f"{columns.option} {path}: no column of names; one may be called "
                    f"{', '.join(called[:4])}; there are {listed}"
                )
            found[name] = "" if column is None else frame[column]
        rows = pd.DataFrame(found).astype(str).apply(lambda column: column.str.strip())
        return cls(path.name, rows)

    @classmethod
    def beside(cls, folder: Path, ids: Sequence[str]) -> GenreTable | None:
        """The Free Music Archive's table, where it lies with audio in the Archive's layout."""
        if not all(track_id.rpartition("/")[2].partition(".")[0].isdecimal() for track_id in ids):
            return None
        found = (folder / place / FMA for place in PLACES)
        path = next((path for path in found if path.is_file() and _is_fma(path)), None)
        return None if path is None else cls.load(path)

    def of(self, ids: Sequence[str]) -> pd.DataFrame:
        """The rows of tracks, in their order, empty where a track has none.

        Raises
        ------
        InputError
            If no row names a track.
        """
        keys = self.rows["track"].tolist()
        joined = names.join(keys, ids)
        if not joined.key_of and all(key.isdecimal() for key in keys):
            # numbers stand for files that have zeros in front of them
            width = max(len(names.name_variants(track_id)[2]) for track_id in ids)
            joined = names.join([key.zfill(width) for key in keys], ids)
        if not joined.key_of:
            raise InputError(
                f"genres {self.name}: none of its {len(keys)} rows names a track: it has "
                f"'{keys[0]}', the collection '{ids[0]}'"
            )
        rows = [joined.key_of.get(number, -1) for number in range(len(ids))]
        return self.rows.reindex(rows, fill_value="").reset_index(drop=True)


def _read(path: Path, columns: Columns) -> pd.DataFrame:
    if path.suffix.lower() == ".parquet":
        frame = pd.read_parquet(path)
        named = frame.reset_index() if frame.index.name else frame
        return named.astype(object).where(named.notna(), "")
    if _is_fma(path):
        wanted = {("track", "genre_top"): "genre", ("artist", "name"): "artist"}
        wanted |= {("album", "title"): "album", ("track", "title"): "title"}
        frame = pd.read_csv(path, header=[0, 1], index_col=0, dtype=str, keep_default_na=False)
        there = {pair: name for pair, name in wanted.items() if pair in frame.columns}
        found = frame[list(there)].set_axis(list(there.values()), axis=1)
        return found.rename_axis("track_id").reset_index()
    text, _ = decoded(path.read_bytes())
    if path.suffix.lower() in (".json", ".jsonl", ".ndjson"):
        lines = path.suffix.lower() != ".json"
        table = json_table(text, columns.key[0], columns.value[0], lines=lines)
    else:
        if not text.strip():
            raise InputError("it is empty")
        table = csv_table(text, map(plain, (*columns.key, *columns.value)))
    frame = pd.DataFrame(table.rows, columns=table.columns, dtype=object)
    return frame.where(frame.notna(), "")


def _is_fma(path: Path) -> bool:
    with path.open(encoding="utf-8", errors="replace") as file:
        first, second = file.readline(), file.readline()
    return first.startswith(",") and "genre_top" in second.split(",")
