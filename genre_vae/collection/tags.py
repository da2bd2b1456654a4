"""What an audio file says of itself: genres, artist, album, title and words, from its tags.

The file's content decides what kind of tags are looked for, not its name. Tags are read by mutagen
(ID3, Vorbis comments, MP4, APEv2, ASF); the text chunks of wav and aiff by libsndfile, where no
others are there; those of Matroska by PyAV.
"""

from __future__ import annotations

import os
import re
import struct
import unicodedata
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from genre_vae.collection.stamps import unstamped

Fields = list[tuple[str, str]]  # what a field holds, such as "genre", and one of its values


class Tags(NamedTuple):
    """What a file's tags say, ``()`` or ``""`` where they do not."""

    genres: tuple[str, ...] = ()
    artist: str = ""
    album: str = ""
    title: str = ""


def read(path: Path) -> Tags:
    """Read a file's tags; those of a file that has none, or cannot be read, are empty.

    Returns
    -------
    Tags
        ``genres`` are all those of all fields, in order, as `genres` splits them. ``artist`` is
        the album's where it has a single one, since that is the same for all tracks of an album;
        otherwise the track's.
    """
    fields = _fields(path)
    return Tags(
        genres(value for name, value in fields if name == "genre"),
        _first(fields, "albumartist", _NOBODY) or _first(fields, "artist", _NOBODY),
        _first(fields, "album"),
        _first(fields, "title"),
    )


def lyrics(path: Path) -> str:
    """The words in a file's tags, without time stamps; ``""`` where there are none."""
    fields = _fields(path)
    for kind in ("lyrics", "syncedlyrics"):
        for name, value in fields:
            words = unstamped(value).strip("\0 \r\n\t") if name == kind else ""
            if words:
                return words
    return ""


def genres(values: Iterable[str]) -> tuple[str, ...]:
    """The genres that tags name, each once, in order, as they are first spelled.

    Values are split at ``; | \\ / ,`` and NUL, but names with such a character in them that ID3's
    or Discogs' list has stay whole. ID3's numbers become names, and values that say nothing, such
    as "Other" or a number beyond ID3's, are dropped.
    """
    found: dict[str, str] = {}
    for value in values:
        for part in _split(unicodedata.normalize("NFC", value)):
            for name in _named(part):
                if not _NOTHING.fullmatch(name):
                    found.setdefault(name.casefold(), name)
    return tuple(found.values())


# Names with a separator in them. "Folk/Rock" and the like are ID3's as other lists spell them.
_WHOLE = {"pop/funk", "folk/rock", "jazz/funk", "folk, world, & country", "funk / soul", "n/a"}
_COMMA = re.compile(r"(?:(?<=,)|^)\s*(folk, world, & country)\s*(?:,|$)|,(?!\d)", re.IGNORECASE)
_NOTHING = re.compile(
    r"[\W_]*(?:(?:unknown|other|misc(?:ellaneous)?|none|no|default|undefined|unclassifiable|"
    r"not set|n/a)?[\W_]*(?:genres?)?)[\W_]*|\d+",
    re.IGNORECASE,
)
_NOBODY = re.compile(
    r"[\W_]*(?:v\W?a\W?|various(?: artists?)?|(?:various|multiple) performers|unknown(?: artist)?|"
    r"verschiedene(?: interpreten| künstler)?|varios(?: artistas)?|artistes divers)[\W_]*",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"\(([0-9]{1,3}|RX|CR)\)")


def _split(value: str) -> Iterator[str]:
    for part in re.split(r"[;|\\\0]", value):
        for piece in _at_commas(part):
            if piece.casefold() in _WHOLE:
                yield piece
            else:
                yield from (" ".join(one.split()) for one in piece.split("/"))


def _at_commas(value: str) -> Iterator[str]:
    start = 0
    for comma in _COMMA.finditer(value):
        yield " ".join(value[start : comma.start()].split())
        if comma[1]:
            yield comma[1]
        start = comma.end()
    yield " ".join(value[start:].split())


def _named(value: str) -> Iterator[str]:
    """The names in one value: ID3v2.3 writes references in brackets before the name, if any."""
    while reference := _REFERENCE.match(value):
        yield _of_number(reference[1])
        value = value[reference.end() :].strip()
    yield _of_number(value[1:] if value.startswith("((") else value)


def _of_number(value: str) -> str:
    from mutagen.id3 import TCON

    if value in ("RX", "CR"):
        return "Remix" if value == "RX" else "Cover"
    if value.isascii() and value.isdigit() and len(value) < 4 and int(value) < len(TCON.GENRES):
        return str(TCON.GENRES[int(value)])
    return value


def _first(fields: Fields, kind: str, not_these: re.Pattern[str] | None = None) -> str:
    for name, value in fields:
        text = " ".join(unicodedata.normalize("NFC", value.split("\0")[0]).split())
        if name == kind and text and not (not_these and not_these.fullmatch(text)):
            return text
    return ""


_KINDS = {  # what formats call a field, in lower case, without spaces, underscores and "WM/"
    "genre": ("genre", "tcon", "©gen"),
    "artist": ("artist", "tpe1", "©art", "author"),
    "albumartist": ("albumartist", "tpe2", "aart"),
    "album": ("album", "talb", "©alb", "albumtitle"),
    "title": ("title", "tit2", "©nam"),
    "lyrics": ("lyrics", "unsyncedlyrics", "uslt", "©lyr"),
    "syncedlyrics": ("syncedlyrics", "sylt"),
}
_KIND_OF = {name: kind for kind, names in _KINDS.items() for name in names}

# What damaged tags make readers raise: mutagen passes on what its parsers stumble over.
_DAMAGE = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    EOFError,
    MemoryError,
    RuntimeError,
    struct.error,
    zlib.error,
)


def _fields(path: Path) -> Fields:
    """The fields that `_KINDS` names, those of every kind of tags that the file has."""
    import mutagen

    if not path.is_file():  # a pipe would wait for its writer
        return []
    fields: Fields = []
    try:
        with path.open("rb") as file:
            for reader in _readers(file):
                if fields and reader is _chunks:
                    break
                file.seek(0)
                try:
                    found = [(_kind(name), value) for name, value in reader(file)]
                except (mutagen.MutagenError, *_DAMAGE):
                    continue
                fields += [(kind, value) for kind, value in found if kind]
    except OSError:
        return fields
    return fields


def _kind(name: str) -> str:
    name = name.casefold().removeprefix("wm/").rpartition(":")[2]  # "----:com.apple.iTunes:LYRICS"
    return _KIND_OF.get(re.sub("[ _-]", "", name), "")


Reader = Callable[[IO[bytes]], Iterable[tuple[str, str]]]


def _readers(file: IO[bytes]) -> tuple[Reader, ...]:
    """How the tags of a file with this beginning are read, those first whose values come first."""
    from mutagen.id3 import BitPaddedInt

    start = file.read(64)
    if start[:3] == b"ID3" and len(start) >= 10:  # some writers put it before any other format
        file.seek(10 + BitPaddedInt(start[6:10]))
        if file.read(4) == b"fLaC":
            return _flac, _id3
        return _id3, _ape
    if start[:4] == b"fLaC":
        return _flac, _id3
    if start[:4] == b"OggS":
        return (_ogg,)
    if start[:4] in (b"RIFF", b"RF64", b"riff"):
        return _wave, _chunks
    if start[:4] == b"FORM":
        return _aiff, _chunks
    if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"):
        return (_mp4,)
    if start[:4] == b"\x30\x26\xb2\x75":
        return (_asf,)
    if start[:4] == b"\x1a\x45\xdf\xa3":
        return (_matroska,)
    # mp3, aac, WavPack, Monkey's Audio, Musepack: an ID3v1 tag cuts names at 30 bytes
    return _ape, _id3


def _id3(file: IO[bytes]) -> Fields:
    from mutagen.id3 import ID3

    return _frames(ID3(file))


def _frames(tags: Any) -> Fields:
    fields: Fields = []
    for frame in tags.values() if tags else ():
        if frame.FrameID == "SYLT":
            fields.append(("sylt", "".join(text for text, _ in frame.text)))
        elif frame.FrameID == "USLT":
            fields.append(("uslt", frame.text))
        elif frame.FrameID == "TXXX":
            fields += [(frame.desc, value) for value in frame.text]
        elif frame.FrameID in _ID3_TEXTS:
            fields += [(frame.FrameID, str(value)) for value in frame.text]
    return fields


_ID3_TEXTS = ("TCON", "TPE1", "TPE2", "TALB", "TIT2")


def _ape(file: IO[bytes]) -> Fields:
    from mutagen.apev2 import APETextValue, APEv2

    return [
        (name, one)
        for name, value in APEv2(file).items()
        if isinstance(value, APETextValue)
        for one in value
    ]


def _pairs(tags: Any) -> Fields:
    return [(str(name), str(value)) for name, value in tags or ()]


def _flac(file: IO[bytes]) -> Fields:
    from mutagen.flac import FLAC

    return _pairs(FLAC(file).tags)


def _ogg(file: IO[bytes]) -> Fields:
    from mutagen.oggflac import OggFLAC
    from mutagen.oggopus import OggOpus
    from mutagen.oggspeex import OggSpeex
    from mutagen.oggvorbis import OggVorbis

    start = file.read(64)
    file.seek(0)
    kinds: dict[bytes, Any] = {b"OpusHead": OggOpus, b"\x7fFLAC": OggFLAC, b"Speex   ": OggSpeex}
    reader = next((kind for magic, kind in kinds.items() if magic in start), OggVorbis)
    return _pairs(reader(file).tags)


def _wave(file: IO[bytes]) -> Fields:
    from mutagen.wave import WAVE

    return _frames(WAVE(file).tags)


def _aiff(file: IO[bytes]) -> Fields:
    from mutagen.aiff import AIFF

    return _frames(AIFF(file).tags)


def _chunks(file: IO[bytes]) -> Fields:
    import soundfile

    # not the Python file: of a damaged one, soundfile would print what its own callbacks raise
    descriptor = os.dup(file.fileno())
    os.lseek(descriptor, 0, os.SEEK_SET)
    with soundfile.SoundFile(descriptor) as sound:
        return [(name, getattr(sound, name)) for name in ("genre", "artist", "album", "title")]


def _mp4(file: IO[bytes]) -> Fields:
    from mutagen.mp4 import MP4

    tags: Any = MP4(file).tags
    return [
        (name, one.decode("utf-8", "replace") if isinstance(one, bytes) else str(one))
        for name, value in (tags or {}).items()
        if _kind(name)
        for one in (value if isinstance(value, list) else [value])
    ]


def _asf(file: IO[bytes]) -> Fields:
    from mutagen.asf import ASF

    return _pairs(ASF(file).tags)


def _matroska(file: IO[bytes]) -> Fields:
    import av

    try:
        with av.open(file, metadata_errors="replace") as container:
            return list(container.metadata.items())
    except av.FFmpegError as error:
        raise ValueError(str(error)) from error
