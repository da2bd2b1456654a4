"""What a file's first bytes say that it is, whatever its name says.

The signatures are those of the formats' own specifications; what they have in common is listed in
https://en.wikipedia.org/wiki/List_of_file_signatures. A stream of MPEG or AAC frames has no
signature: it is told by headers that follow each other at the distances which they state.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

READ = 65536  # bytes that are enough to tell
_FRAMES = 4  # headers in a row: fewer are met by chance
_ID3_HEADER = 10  # bytes

# Where, what, and what a file that has it is. The first that fits is taken.
_SIGNATURES: tuple[tuple[int, bytes, str], ...] = (
    (8, b"WAVE", "wav"),  # in RIFF, RIFX, RF64 or BW64
    (0, b"riff\x2e\x91\xcf\x11", "w64"),
    (8, b"AVI ", "avi"),
    (8, b"WEBP", "image"),
    (8, b"AIFF", "aiff"),
    (8, b"AIFC", "aiff"),
    (0, b".snd", "au"),
    (0, b"dns.", "au"),  # little-endian
    (0, b"caff", "caf"),
    (0, b"fLaC", "flac"),
    (0, b"OggS", "ogg"),
    (4, b"ftypM4", "m4a"),  # M4A, M4B (books) and M4P (protected)
    (4, b"ftypqt", "mov"),
    (4, b"ftyp", "mp4"),
    (4, b"moov", "mov"),
    (4, b"mdat", "mov"),
    (0, b"\x1a\x45\xdf\xa3", "mkv"),  # WebM too
    (0, bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c"), "wma"),  # ASF
    (0, b"wvpk", "wv"),
    (0, b"MAC ", "ape"),
    (0, b"TTA1", "tta"),
    (0, b"TTA2", "tta"),
    (0, b"tBaK", "tak"),
    (0, b"MP+", "mpc"),
    (0, b"MPCK", "mpc"),
    (0, b"DSD ", "dsf"),
    (0, b"FRM8", "dff"),
    (0, b"#!AMR", "amr"),
    (0, b"Creative Voice File", "voc"),
    (0, b"2BIT", "avr"),
    (0, b"NIST_1A", "nist"),
    (0, b"PVF1\n", "pvf"),
    (8, b"8SVX", "svx"),
    (8, b"16SV", "svx"),
    (0, b"FLV\x01", "flv"),
    (0, b".RMF", "rm"),
    (0, b"\x0b\x77", "ac3"),
    (0, b"\x7f\xfe\x80\x01", "dts"),
    (0, b"\x00\x00\x01\xba", "mpeg"),
    (0, b"PK\x03\x04", "zip archive"),
    (0, b"PK\x05\x06", "zip archive"),
    (0, b"Rar!\x1a\x07", "rar archive"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z archive"),
    (0, b"\x1f\x8b\x08", "gzip archive"),
    (257, b"ustar", "tar archive"),
    (0, b"%PDF-", "pdf"),
    (0, b"\xff\xd8\xff", "image"),
    (0, b"\x89PNG\r\n\x1a\n", "image"),
    (0, b"GIF8", "image"),
    (0, b"BM", "image"),
    (0, b"II*\x00", "image"),
    (0, b"MM\x00*", "image"),
    (0, b"MThd", "midi"),
    (0, b"\x00\x05\x16\x07", "macos companion"),
    (0, b"SQLite format 3\x00", "database"),
    (0, b"\x7fELF", "program"),
    (0, b"MZ", "program"),
    (0, b"#EXTM3U", "playlist"),
    (0, b"[playlist]", "playlist"),
)

_WHAT: Mapping[str, str] = MappingProxyType(
    {
        "web page": "a web page",
        "text": "text",
        "zip archive": "a zip archive",
        "rar archive": "a rar archive",
        "7z archive": "a 7z archive",
        "gzip archive": "a gzip archive",
        "tar archive": "a tar archive",
        "pdf": "a PDF document",
        "image": "a picture",
        "midi": "notes (MIDI)",
        "macos companion": "what macOS keeps beside a file",
        "database": "a database",
        "program": "a program",
        "playlist": "a playlist",
        "zeros": "zeros",
    }
)

# MPEG-1 layer II and III, MPEG-2 and 2.5 layer II and III: kbit/s by the index in the header
_MPEG1_LAYER3 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MPEG1_LAYER2 = (0, 32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384)
_MPEG2 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MPEG_RATES = (44100, 48000, 32000)  # Hz in MPEG-1; half of it in MPEG-2, a quarter in 2.5
_AAC_RATES = (
    *(96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350),
)
_CONTROL = frozenset(range(32)) - frozenset(b"\t\n\r\f\x1b")  # none of them stands in a text


class Frame(NamedTuple):
    """What the header of an MPEG or AAC frame states."""

    kind: str  # "mp3", layer II too, or "aac"
    size: int  # bytes
    rate: int  # Hz
    samples: int  # of one channel


def sniff(beginning: bytes) -> str:
    """What a file is, by its first bytes.

    Parameters
    ----------
    beginning
        The first bytes of a file; 64 KiB tell all that can be told, 512 nearly all.

    Returns
    -------
    str
        For audio, and for films that may have a sound track, a short name such as ``"wav"``,
        ``"flac"``, ``"mp3"``, ``"m4a"``, ``"ogg"`` or ``"mkv"``. For what `not_audio` knows, its
        name: ``"web page"``, ``"zip archive"``, ``"image"``, ``"pdf"``, ``"text"``, ... And ``""``
        where nothing is known.
    """
    at = id3_size(beginning)
    if at:
        return sniff(beginning[at:]) if at < len(beginning) else "mp3"
    for where, signature, kind in _SIGNATURES:
        if beginning.startswith(signature, where) and not _is_chance(beginning, kind):
            return kind
    frames = find_frames(beginning)
    if frames:
        return frames[1].kind
    if beginning and not any(beginning):
        return "zeros"
    # MPEG's transport stream has a byte in 188 and no signature
    if len(beginning) > 4 * 188 and set(beginning[: 4 * 188 : 188]) == {0x47}:
        return "ts"
    return _text(beginning)


def not_audio(kind: str) -> str:
    """What a kind of `sniff` is called, with its article, or ``""`` if it may hold audio."""
    return _WHAT.get(kind, "")


def id3_size(beginning: bytes) -> int:
    """The length in bytes of the ID3v2 tag that a file begins with, 0 if it begins with none."""
    if beginning[:3] != b"ID3" or len(beginning) < _ID3_HEADER or max(beginning[6:10]) > 127:
        return 0
    size = 0
    for seven_bits in beginning[6:10]:
        size = size << 7 | seven_bits
    return size + _ID3_HEADER * (2 if beginning[5] & 0x10 else 1)  # some have a footer


def find_frames(beginning: bytes) -> tuple[int, Frame] | None:
    """Where a stream of MPEG or AAC frames begins, and its first frame, or None.

    Junk in front of it is passed.
    """
    for match in re.finditer(rb"\xff[\xe0-\xff]", beginning):
        at, found = match.start(), 0
        while found < _FRAMES:
            next_frame = frame(beginning[at : at + 6])
            if next_frame is None:
                break
            at, found = at + next_frame.size, found + 1
        # at the very beginning, as many as there are in what was given
        enough = found == _FRAMES or (found and not match.start() and at + 6 > len(beginning))
        first = frame(beginning[match.start() : match.start() + 6]) if enough else None
        if first:
            return match.start(), first
    return None


def frame(header: bytes) -> Frame | None:
    """The frame whose first six bytes are `header`, if a frame can begin with them (ISO/IEC
    11172-3, 13818-3 and 13818-7)."""
    if len(header) < 6 or header[0] != 0xFF or header[1] < 0xE0:
        return None
    if header[1] & 0xF6 == 0xF0:  # AAC in ADTS
        rate = header[2] >> 2 & 15
        size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
        return Frame("aac", size, _AAC_RATES[rate], 1024) if size > 7 and rate < 13 else None
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3  # layer 1 here is layer III
    bits, rate = header[2] >> 4, header[2] >> 2 & 3
    if version == 1 or layer not in (1, 2) or rate == 3 or bits in (0, 15):
        return None
    kbps = (_MPEG1_LAYER3 if layer == 1 else _MPEG1_LAYER2) if version == 3 else _MPEG2
    hertz = _MPEG_RATES[rate] >> {3: 0, 2: 1, 0: 2}[version]
    samples = 576 if layer == 1 and version != 3 else 1152
    padding = header[2] >> 1 & 1
    return Frame("mp3", samples * 125 * kbps[bits] // hertz + padding, hertz, samples)


def _is_chance(beginning: bytes, kind: str) -> bool:
    """Whether a signature of two bytes was met in something else."""
    if beginning[:2] == b"BM":  # a bitmap has four zeros where others have anything
        return beginning[6:10] != bytes(4)
    if beginning[:2] == b"MZ":
        return _text(beginning) != ""
    return kind == "ac3" and len(beginning) > 5 and beginning[4] >> 6 == 3


def _text(beginning: bytes) -> str:
    """``"web page"``, ``"playlist"``, ``"text"`` or ``""``."""
    if beginning[:2] in (b"\xff\xfe", b"\xfe\xff"):
        beginning = beginning.decode("utf-16", errors="replace").encode()
    beginning = beginning[:4096]
    if not beginning or not _CONTROL.isdisjoint(beginning):
        return ""
    start = beginning.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head", b"<body")) or b"<html" in start:
        return "web page"
    return "text"
