"""Files of lyrics -> songs: what each is called, its words, and its genre where it is told."""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from genre_vae.records import InputError


@dataclass(frozen=True)
class Song:
    """An entry of a lyrics file: its key there, its words, and its genre where the file has it."""

    key: str
    text: str
    genre: str = ""


@dataclass(frozen=True)
class SongFile:
    """The songs of a lyrics file.

    Parameters
    ----------
    name
        The file's name.
    songs
        Its entries, in the order of the file; their keys differ.
    fingerprint
        A hash of the file's content.
    """

    name: str
    songs: tuple[Song, ...]
    fingerprint: str


def load(
    path: Path, *, id_column: str | None = "filename", text_column: str = "lyrics"
) -> SongFile:
    """Read a lyrics file.

    Parameters
    ----------
    path
        ``.csv`` with a header; or ``.json``: a list of objects, or one object from keys to words
        or to objects. UTF-8. A column (or member) ``genre`` is read where it is there.
    id_column, text_column
        The columns (or members) of the song's key and of its words. With None for the key, the
        songs are numbered, for a match by ``index``.

    Raises
    ------
    InputError
        If the file is missing, empty, not UTF-8 or not in such a form, lacks a column, or has a
        key twice.
    """
    try:
        content = path.read_bytes()
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise InputError(f"lyrics {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"lyrics {path}: not UTF-8 at byte {error.start}; save it so") from error
    if not text.strip():
        raise InputError(f"lyrics {path}: the file is empty")
    rows = _json_rows(path, text, id_column or "key", text_column)
    if rows is None:
        rows = _csv_rows(path, content)
    if not rows:
        raise InputError(f"lyrics {path}: no songs, only a header")
    columns = sorted({name for row in rows for name in row})
    for name in (id_column, text_column):
        if name is not None and name not in columns:
            raise InputError(f"lyrics {path}: no column {name!r}, only {', '.join(columns)}")
    songs = []
    for number, row in enumerate(rows):
        key = str(number) if id_column is None else _text(row.get(id_column)).strip()
        if not key:
            raise InputError(f"lyrics {path}: song {number + 1} has nothing in {id_column!r}")
        words = row.get(text_column)
        if isinstance(words, list):  # a line each
            words = "\n".join(map(_text, words))
        if isinstance(words, dict):
            raise InputError(f"lyrics {path}: the words of {key[:60]!r} are an object, not text")
        songs.append(Song(key, _text(words), _text(row.get("genre"))))
    twice = [key for key, count in Counter(song.key for song in songs).items() if count > 1]
    if twice:
        raise InputError(f"lyrics {path}: {len(twice)} keys occur twice, such as {twice[0]!r}")
    return SongFile(path.name, tuple(songs), hashlib.blake2b(content, digest_size=8).hexdigest())


def _text(value: Any) -> str:
    """A cell as text that can be written: JSON can spell halves of characters, UTF-8 cannot."""
    return ("" if value is None else str(value)).encode("utf-8", "replace").decode("utf-8")


def _csv_rows(path: Path, content: bytes) -> list[dict[str, Any]]:
    try:
        with warnings.catch_warnings():
            # of a row that is longer than the header, pandas would otherwise cut the rest
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                io.BytesIO(content),
                dtype=str,
                keep_default_na=False,
                encoding="utf-8-sig",
                index_col=False,
            )
    except pd.errors.ParserWarning as error:
        raise InputError(
            f"lyrics {path}: rows are longer than the header; words with a comma need quotes"
        ) from error
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"lyrics {path}: not a CSV table: {reason}") from error
    return [{str(k).strip(): v for k, v in row.items()} for row in frame.to_dict("records")]


class _DuplicateKeyError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object, whose keys must differ: ``json`` would silently keep the last."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise _DuplicateKeyError(key)
        found[key] = value
    return found


def _json_rows(
    path: Path, text: str, id_column: str, text_column: str
) -> list[dict[str, Any]] | None:
    """The rows of a JSON file in either form, or None for a file that is not called ``.json``."""
    if path.suffix.lower() != ".json":
        return None
    try:
        value = json.loads(text, object_pairs_hook=_unique)
    except _DuplicateKeyError as error:
        raise InputError(f"lyrics {path}: the key {str(error)!r} occurs twice") from error
    except (ValueError, RecursionError) as error:  # ValueError: also a number too long to read
        raise InputError(f"lyrics {path}: broken JSON: {error}") from error
    if isinstance(value, dict):
        value = [
            {id_column: key} | (inner if isinstance(inner, dict) else {text_column: inner})
            for key, inner in value.items()
        ]
    if not isinstance(value, list) or not all(isinstance(row, dict) for row in value) or not value:
        raise InputError(f"lyrics {path}: expected a list of objects, or one object of songs")
    return value
