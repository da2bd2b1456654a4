"""What a file's own structure promises, against what is there.

Sizes that a header states are compared with the file: RIFF, RF64, Wave64, AIFF, AU, CAF, MP4, ASF,
Matroska, DSF, and MP3 with a Xing or VBRI header. An Ogg stream is whole if its last page says that
it is the last. A size that was not known when the file was written (streamed to a pipe) is no
promise. Nothing is promised by MP3 without such a header, by raw AAC, AC-3, DTS and AMR, or by a
Matroska file or a fragmented MP4 that was streamed.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from genre_vae.collection import sniff

MIN_PRESENT = 0.95  # of what its header promises; with less, a file is truncated
_MAX_CHUNKS = 10_000  # a damaged file could seem to have millions
_MAX_HEADER = 1 << 26  # bytes; the index of a film of hours is smaller
_NOWHERE = 1 << 40  # behind the end of any file, and a place that every file system can seek to
_OGG_TAIL = 1 << 17  # bytes; two pages at their greatest

_FILE_PROPERTIES = bytes.fromhex("a1dcab8c47a9cf118ee400c00c205365")  # of ASF
_ASF_ENCRYPTION = (
    bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"),  # Content Encryption Object
    bytes.fromhex("14e68a292226174cb935dae07ee9289c"),  # Extended Content Encryption Object
)
_MP4_ENCRYPTED = (b"drms", b"enca", b"aavd")  # sample entries of iTunes, of MPEG and of Audible


class BadAudioError(ValueError):
    """A file that cannot be used; the message is the reason, without the file's name."""


class Found(NamedTuple):
    """Where audio begins behind tags and junk, in bytes, and its kind (`sniff.sniff`)."""

    start: int
    kind: str
    size: int  # bytes of the whole file


class FrameCount(NamedTuple):
    """What the first frame of an MP3 file states about the whole."""

    seconds: float
    size: int  # bytes, 0 if it does not say
    is_constant: bool  # whether its frames are all as long as the second, by these two


def find(file: BinaryIO) -> Found:
    """Find where the audio of a file begins.

    Raises
    ------
    BadAudioError
        If the file is empty or something else than audio.
    """
    size = file.seek(0, 2)
    if not size:
        raise BadAudioError("empty file")
    start = 0
    while True:
        beginning = _at(file, start, sniff.READ)
        length = sniff.id3_size(beginning)
        if beginning[:8] == b"APETAGEX" and len(beginning) >= 32:
            length = 32 + int.from_bytes(beginning[12:16], "little")
        if not length:
            break
        start += length
    if start >= size:
        raise BadAudioError("tags without audio")
    kind = sniff.sniff(beginning)
    what = sniff.not_audio(kind)
    if what:
        raise BadAudioError(f"{what}, not audio")
    frames = sniff.find_frames(beginning) if kind in ("mp3", "aac") else None
    if frames:
        start += frames[0]
    return Found(start, kind, size)


def check(file: BinaryIO, found: Found) -> None:
    """Refuse a file that is protected, or of which less is there than it promises.

    Raises
    ------
    BadAudioError
        With the reason.
    """
    if found.kind == "wav":
        _check_riff(file, found)
    elif found.kind == "w64":
        _check_chunks(_chunks(file, found, 40, _W64), b"data", found)
    elif found.kind == "aiff":
        _check_chunks(_chunks(file, found, 12, _AIFF), b"SSND", found)
    elif found.kind == "caf":
        _check_chunks(_chunks(file, found, 8, _CAF), b"data", found)
    elif found.kind == "au":
        _check_au(file, found)
    elif found.kind in ("m4a", "mp4", "mov"):
        _check_mp4(file, found)
    elif found.kind == "wma":
        _check_asf(file, found)
    elif found.kind == "mkv":
        _check_matroska(file, found)
    elif found.kind == "ogg":
        _check_ogg(file, found)
    elif found.kind == "avi":
        size = int.from_bytes(_at(file, found.start + 4, 4), "little")
        refuse_truncated(found.size - found.start - 8, _known(size, 4))
    elif found.kind == "dsf":
        size = int.from_bytes(_at(file, found.start + 12, 8), "little")
        refuse_truncated(found.size - found.start, _known(size, 8))
    elif found.kind == "mp3":
        counted = frame_count(file, found)
        if counted:
            refuse_truncated(found.size - found.start, counted.size)


def refuse_truncated(present: float, promised: float) -> None:
    """Refuse a file of which less than 95 % is there.

    Raises
    ------
    BadAudioError
        With the share.
    """
    if promised > 0 and present < MIN_PRESENT * promised:
        share = max(present, 0) / promised
        raise BadAudioError(f"truncated: {share:.0%} of the length its header claims is there")


def frame_count(file: BinaryIO, found: Found) -> FrameCount | None:
    """What the Xing, Info or VBRI header in the first frame of an MP3 file states, if it has one
    with a number of frames."""
    first = _at(file, found.start, 200)
    frame = sniff.frame(first[:6])
    if frame is None or len(first) < 200:
        return None
    is_mono = first[3] >> 6 == 3
    side = (17, 32) if frame.samples == 1152 else (9, 17)  # bytes of side information
    at = 4 + side[0 if is_mono else 1]
    count = size = 0
    if first[at : at + 4] in (b"Xing", b"Info"):
        flags, one, other = struct.unpack(">3I", first[at + 4 : at + 16])
        count = one if flags & 1 else 0
        size = (other if flags & 1 else one) if flags & 2 else 0
    elif first[36:40] == b"VBRI":
        size, count = struct.unpack(">2I", first[46:54])
    if not count:
        return None
    second = sniff.frame(_at(file, found.start + frame.size, 6))
    is_constant = second is not None and abs(size / count / second.size - 1) < 0.01
    return FrameCount(count * frame.samples / frame.rate, size, is_constant)


class _Layout(NamedTuple):
    """How chunks are written: the bytes of a name and of a size, the size's order, whether it
    counts its own header, and what the next chunk's place is a multiple of."""

    name: int
    size: int
    order: str
    inclusive: bool
    align: int


_RIFF, _RIFX = _Layout(4, 4, "<", False, 2), _Layout(4, 4, ">", False, 2)
_W64, _AIFF, _CAF = (
    _Layout(16, 8, "<", True, 8),
    _Layout(4, 4, ">", False, 2),
    _Layout(4, 8, ">", False, 1),
)


class _Chunk(NamedTuple):
    name: bytes
    start: int  # of its body, in the file
    size: int  # of its body; 0 if not known


def _at(file: BinaryIO, offset: int, count: int) -> bytes:
    file.seek(min(offset, _NOWHERE))
    return file.read(count)


def _known(size: int, width: int) -> int:
    """A size, or 0 if it is one of those that are written for a size not known."""
    return size if size < (0x7FFF0000 if width == 4 else 1 << 62) else 0


def _chunks(file: BinaryIO, found: Found, offset: int, layout: _Layout) -> Iterator[_Chunk]:
    """The chunks of a file from an offset on, as far as they can be followed."""
    at, header = found.start + offset, layout.name + layout.size
    for _ in range(_MAX_CHUNKS):
        head = _at(file, at, header)
        if len(head) < header:
            return
        code = layout.order + ("I" if layout.size == 4 else "Q")
        (stated,) = struct.unpack(code, head[layout.name :])
        size = _known(stated, layout.size) - (header if layout.inclusive else 0)
        yield _Chunk(head[: layout.name], at + header, max(size, 0))
        if size < 0 or stated != _known(stated, layout.size):
            return
        at += header + size
        at += -(at - found.start) % layout.align


def _check_chunks(chunks: Iterator[_Chunk], name: bytes, found: Found) -> None:
    for chunk in chunks:
        if chunk.name[:4] == name:
            refuse_truncated(found.size - chunk.start, chunk.size)
            return


def _check_riff(file: BinaryIO, found: Found) -> None:
    long_size = 0
    layout = _RIFX if _at(file, found.start, 4) == b"RIFX" else _RIFF
    for chunk in _chunks(file, found, 12, layout):
        if chunk.name == b"ds64":
            long_size = int.from_bytes(_at(file, chunk.start + 8, 8), "little")
        if chunk.name == b"data":
            refuse_truncated(found.size - chunk.start, chunk.size or _known(long_size, 8))
            return


def _check_au(file: BinaryIO, found: Found) -> None:
    head = _at(file, found.start, 12)
    if len(head) == 12:
        offset, size = struct.unpack(">2I" if head[:4] == b".snd" else "<2I", head[4:])
        refuse_truncated(found.size - found.start - offset, _known(size, 4))


def _check_mp4(file: BinaryIO, found: Found) -> None:
    """Every box must lie within the file, and one of them is the index."""
    at, has_index = found.start, False
    for _ in range(_MAX_CHUNKS):
        head = _at(file, at, 16)
        if len(head) < 8:
            break
        size, name = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1 and len(head) == 16:
            size = int.from_bytes(head[8:], "big")
        if size < 8:  # 0: it reaches to the end
            break
        refuse_truncated(found.size - found.start, at + size - found.start)
        if name == b"moov":
            has_index = True
            _refuse_protected(_at(file, at, min(size, _MAX_HEADER)))
        at += size
    if not has_index:
        raise BadAudioError("truncated or damaged: its index (moov) is not there")


def _refuse_protected(index: bytes) -> None:
    at = index.find(b"stsd")
    while at >= 0:
        if index[at + 16 : at + 20] in _MP4_ENCRYPTED:
            raise BadAudioError("protected (DRM)")
        at = index.find(b"stsd", at + 4)


def _check_asf(file: BinaryIO, found: Found) -> None:
    size = int.from_bytes(_at(file, found.start + 16, 8), "little")
    header = _at(file, found.start, min(size, _MAX_HEADER))
    if any(guid in header for guid in _ASF_ENCRYPTION):
        raise BadAudioError("protected (DRM)")
    at = header.find(_FILE_PROPERTIES)
    if at >= 0 and len(header) >= at + 92:
        (promised,) = struct.unpack("<Q", header[at + 40 : at + 48])
        is_broadcast = header[at + 88] & 1  # then its sizes say nothing
        refuse_truncated(found.size - found.start, 0 if is_broadcast else _known(promised, 8))


def _check_matroska(file: BinaryIO, found: Found) -> None:
    """The segment behind the EBML header holds all else."""
    header = _at(file, found.start, 4096)
    at = header.find(b"\x18\x53\x80\x67")
    if at < 0 or len(header) < at + 12 or not header[at + 4]:
        return
    width = 9 - header[at + 4].bit_length()  # of the size: as many bytes as it has leading zeros
    size = int.from_bytes(header[at + 4 : at + 4 + width], "big") & ((1 << 7 * width) - 1)
    is_known = size != (1 << 7 * width) - 1
    refuse_truncated(found.size - found.start - at - 4 - width, size if is_known else 0)


def _check_ogg(file: BinaryIO, found: Found) -> None:
    tail = _at(file, max(found.start, found.size - _OGG_TAIL), _OGG_TAIL)
    at = tail.rfind(b"OggS")
    if at < 0 or len(tail) < at + 27:
        raise BadAudioError("truncated: its last page is not there")
    segments = tail[at + 27 : at + 27 + tail[at + 26]]
    is_whole = len(tail) >= at + 27 + tail[at + 26] + sum(segments)
    if not is_whole or not tail[at + 5] & 4:
        raise BadAudioError("truncated: its last page is not there")
