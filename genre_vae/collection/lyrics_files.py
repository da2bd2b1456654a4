"""Files of lyrics, and audio files' tags -> songs: what each is called, and its words.

Tables are read as people have them: saved by a spreadsheet, by pandas, or from Kaggle and Genius,
with columns called by any of the usual names, in any case, with spaces or underscores.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from genre_vae.collection import tags
from genre_vae.collection.stamps import unstamped
from genre_vae.collection.tables import Table, csv_table, decoded, json_table, plain
from genre_vae.records import InputError, StrArray

ID_COLUMN, TEXT_COLUMN = "filename", "lyrics"  # the defaults: other usual names will do as well
_FILES = ("file", "path", "filepath")
_IDS = ("trackid", "id")
_TITLES = ("title", "song", "track", "songtitle", "tracktitle", "songname", "trackname", "name")
_ARTISTS = ("artist", "artistname", "trackartist", "performer", "band", "singer")
_TEXTS = ("lyric", "text", "words", "seq", "songlyrics", "plainlyrics")
_LINES, _ALONE = (".jsonl", ".ndjson"), (".lrc", ".txt")


@dataclass(frozen=True)
class Song:
    """An entry of a lyrics file.

    Parameters
    ----------
    key
        What names its track there; not unique.
    text
        Its words.
    genre, artist, title
        ``""`` where the file does not have them.
    tracks
        Ids of the tracks whose tags have its title and artist.
    """

    key: str
    text: str
    genre: str = ""
    artist: str = ""
    title: str = ""
    tracks: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        """How people name files of it, ``Artist - Title``; ``""`` without a title."""
        return " - ".join(filter(None, (self.artist, self.title))) if self.title else ""


@dataclass(frozen=True)
class SongFile:
    """The songs of a lyrics file, in its order.

    Parameters
    ----------
    name
        The file's name.
    songs
        Its entries.
    notes
        What had to be guessed or was left out, a line each.
    """

    name: str
    songs: tuple[Song, ...]
    notes: tuple[str, ...] = ()

    @cached_property
    def fingerprint(self) -> str:
        """A hash of songs and notes: equal in whichever form a file holds them."""
        hasher = hashlib.blake2b("\0".join(self.notes).encode(), digest_size=8)
        for song in self.songs:
            parts = (song.key, song.text, song.genre, song.artist, song.title, *song.tracks)
            hasher.update(("\0".join(parts) + "\1").encode())
        return hasher.hexdigest()


def load(
    path: Path, *, id_column: str | None = ID_COLUMN, text_column: str = TEXT_COLUMN
) -> SongFile:
    """Read a lyrics file, or a folder of them.

    Parameters
    ----------
    path
        ``.csv``, ``.tsv``, ``.txt``: a table with a header, between commas, semicolons, tabs or
        bars. ``.json``: a list of objects, or one object from keys to words or to objects.
        ``.jsonl``, ``.ndjson``: an object a line. ``.lrc``: one song. A folder: an ``.lrc`` or
        ``.txt`` file for each song, called as its track. UTF-8, UTF-16 or, where it is neither,
        Windows-1252, which a note says. Time stamps are taken off. A column ``genre`` is read where
        it is there, and so are title and artist.
    id_column, text_column
        The columns (or members) of the song's key and of its words, in any case, with spaces or
        underscores; where they are the defaults and not there, other usual names will do, and for
        the key the only column beside the words. With None for the key, the songs are numbered, for
        a match by ``index``.

    Returns
    -------
    SongFile
        Rows with nothing in their key are left out, which a note says.

    Raises
    ------
    InputError
        If the file is missing, empty, no text or not in such a form, lacks a column, or has several
        that could be meant. The message begins with ``lyrics <path>:``.
    """
    try:
        if path.is_dir():
            return _folder(path)
        text, note = decoded(path.read_bytes())
        notes = [note] if note else []
        if not text.strip():
            raise InputError("the file is empty")
        suffix = path.suffix.lower()
        if suffix == ".lrc":
            songs = [Song(path.stem, unstamped(text))]
        else:
            wanted = id_column or ID_COLUMN, text_column
            if suffix in (".json", *_LINES):
                table = json_table(text, *wanted, lines=suffix in _LINES)
            else:
                table = csv_table(text, (*map(plain, wanted), *_FILES, *_IDS, *_TITLES, *_TEXTS))
            songs = _songs(table, id_column, text_column, notes)
        return SongFile(path.name, tuple(songs), tuple(notes))
    except InputError as error:
        raise InputError(f"lyrics {path}: {error}") from error
    except OSError as error:
        raise InputError(f"lyrics {path}: {error.strerror}") from error


def in_tags(folder: Path, ids: StrArray) -> SongFile:
    """The words in the tags of a folder's tracks, each called by the track's id (n,).

    Raises
    ------
    InputError
        If none has words in its tags.
    """
    texts = [(track_id, tags.lyrics(folder / track_id)) for track_id in ids.tolist()]
    songs = tuple(Song(track_id, _text(text)) for track_id, text in texts if text)
    if not songs:
        raise InputError(f"lyrics=tags: none of {len(ids)} files has words in its tags")
    return SongFile("tags", songs)


def _folder(path: Path) -> SongFile:
    """A song of each ``.lrc`` and ``.txt`` file below a folder."""
    songs, unread, guessed = [], [], 0
    for directory, folders, files in os.walk(path):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for file in sorted(files):
            one = Path(directory, file)
            if file.startswith(".") or one.suffix.lower() not in _ALONE or not one.is_file():
                continue
            key = _text(one.relative_to(path).with_suffix("").as_posix())
            try:
                text, note = decoded(one.read_bytes())
            except (OSError, InputError) as error:
                unread.append(f"{_text(file)}: {error}")
                continue
            guessed += bool(note)
            songs.append(Song(key, unstamped(text)))
    notes = [f"{len(unread)} files cannot be read, such as {unread[0]}"] if unread else []
    if guessed:
        notes.append(f"{guessed} files are not UTF-8, and read as Windows-1252")
    if not songs:
        raise InputError(". ".join(["no .lrc or .txt file in the folder that can be read", *notes]))
    return SongFile(f"{path.name}/", tuple(songs), tuple(notes))


# Columns


def _songs(table: Table, id_column: str | None, text_column: str, notes: list[str]) -> list[Song]:
    if not table.rows:
        raise InputError("no songs, only a header")
    places = {plain(name): place for place, name in reversed(list(enumerate(table.columns)))}

    def first(names: Sequence[str]) -> int | None:
        return next((places[name] for name in names if name in places), None)

    genre, artist, title = first(("genre",)), first(_ARTISTS), first(_TITLES)
    words = _column(table.columns, "text", text_column, TEXT_COLUMN, _TEXTS)
    if words is None:
        raise _missing(table.columns, "words", "text")
    key, by_title = None, False
    if id_column is not None:
        key = _column(table.columns, "id", id_column, ID_COLUMN, _FILES)
        if key is None:
            key = first((*_IDS, *_TITLES))
            by_title = key is not None and key == title and artist is not None
        if key is None and len(table.columns) == 2:
            key = 1 - words
        if key is None:
            raise _missing(table.columns, "songs' names", "id")
        named = [repr(table.columns[key])]
        if title is not None and artist is not None:
            named.append(f"{table.columns[artist]!r} and {table.columns[title]!r}")
        if (table.columns[key], table.columns[words]) != (id_column, text_column):
            notes.append(
                f"songs are named by {' or '.join(named[by_title:])}, "
                f"their words are {table.columns[words]!r}"
            )
    songs, nameless = [], 0
    for number, row in enumerate(table.rows):
        own = [_text(row[at]).strip() if at is not None else "" for at in (genre, artist, title)]
        name = str(number) if key is None else _text(row[key]).strip()
        text = _lyric(row[words], name)
        if not name:
            nameless += bool(text.strip())
            continue
        song = Song(name, text, genre=own[0], artist=own[1], title=own[2])
        songs.append(replace(song, key=song.file_name) if by_title and song.title else song)
    if nameless:
        assert key is not None
        notes.append(f"{nameless} songs have nothing in {table.columns[key]!r}, and are left out")
    if not songs:
        raise InputError(notes[-1] if nameless else "no songs, only empty rows")
    return songs


def _column(
    columns: Sequence[str], option: str, given: str, default: str, usual: Sequence[str]
) -> int | None:
    """The place of the column that is meant; None where the default is not there, nor a usual one.

    InputError where a column that was asked for is not there, or several could be meant.
    """
    exactly = [place for place, name in enumerate(columns) if name == given]
    alike = [place for place, name in enumerate(columns) if plain(name) == plain(given)]
    found = exactly or alike
    if not found and given == default:
        found = [place for place, name in enumerate(columns) if plain(name) in usual]
    elif not found:
        raise InputError(f"no column {given!r}, {_only(columns, option)}")
    if len(found) > 1:
        raise InputError(
            f"columns {' and '.join(repr(columns[place]) for place in found)} could both be meant, "
            f"{_only(columns, option)}"
        )
    return found[0] if found else None


def _missing(columns: Sequence[str], what: str, option: str) -> InputError:
    return InputError(f"no column of {what}, {_only(columns, option)}")


def _only(columns: Sequence[str], option: str) -> str:
    shown = [name if len(name) <= 40 else f"{name[:37]}..." for name in columns[:20]]
    listed = ", ".join(" ".join(name.split()) for name in shown)
    more = f" and {len(columns) - 20} more" if len(columns) > 20 else ""
    return f"only {listed}{more}; type -P lyrics_{option}=<one of them>"


def _text(value: Any) -> str:
    """A cell as text that can be written: JSON can spell halves of characters, UTF-8 cannot."""
    return ("" if value is None else str(value)).encode("utf-8", "replace").decode("utf-8")


def _lyric(value: Any, key: str) -> str:
    lines = value if isinstance(value, list) else [value]
    if any(isinstance(line, (dict, list)) for line in lines):
        raise InputError(f"the words of {key[:60]!r} are an object, not text")
    return unstamped("\n".join(map(_text, lines)))
