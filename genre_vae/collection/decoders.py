"""An opened audio file -> its samples: libsndfile where that is right, FFmpeg (PyAV) for the rest.

libsndfile reads wav, au, aiff, flac, caf, w64 and Ogg Vorbis: fast, to the bit, and by seeking.
What it does not read, and MP3 (whose length it guesses, and whose decoder writes to the terminal),
goes to FFmpeg, which counts a file's packets before any is decoded: where the middle is follows
from what is there and not from a header. Neither is given a path, so that neither looks beside it,
and FFmpeg is kept to formats that name no other file.
"""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import MappingProxyType, SimpleNamespace
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
import soundfile

from genre_vae.collection.containers import (
    MIN_PRESENT,
    BadAudioError,
    Found,
    frame_count,
    refuse_truncated,
)
from genre_vae.records import FloatArray

if TYPE_CHECKING:
    from av import AudioFrame, AudioStream, Packet
    from av.container import InputContainer

# What libsndfile reads, by its kind, and what it leaves to FFmpeg: a name within the first bytes.
_SNDFILE = frozenset(
    {"wav", "w64", "au", "aiff", "flac", "caf", "ogg", "voc", "avr", "nist", "pvf", "svx"}
)
_NOT_SNDFILE = re.compile(
    rb"OpusHead|Speex   |descalac|desc.{8}alac|fmt .{4}[\x50\x55]\0", re.DOTALL
)
# FFmpeg's name of a kind, where the two differ.
_FFMPEG = MappingProxyType(
    {
        **dict.fromkeys(("m4a", "mp4", "mov"), "mov"),
        "mkv": "matroska",
        "wma": "asf",
        "dff": "iff",
        "ts": "mpegts",
    }
)
# These FFmpeg tells apart better, and they are tried where nothing is known of a file.
_PROBED = "ac3,eac3,mpc,mpc8,mp3,aac,loas,truehd,mlp,dts,dtshd,shn,mov,matroska,mpegts,mpeg,wv,ape"
_PROBED_KINDS = frozenset({"", "ac3", "mpc", "dts"})
# A header of these states the length in samples; elsewhere FFmpeg may have estimated it.
_STATED = frozenset({"flac", "wv", "ape", "tta", "tak", "mpc"})
_BY_FRAME = frozenset({"mp3", "aac"})  # bare frames: the time of each is that of all before it
_PREROLL = 0.5  # s that are decoded before what is wanted, for what a frame needs of those before
_PRIMING = 0.15  # s that an encoder may have put around the music
_FAR = 60.0  # s; to a place behind it one seeks, up to it one reads
_UNKNOWN = 1 << 48  # samples; libsndfile gives such a number for a length not stated


class UnreliableError(Exception):
    """One way of reading a file has failed, and the next may not."""


Samples = npt.NDArray[np.generic]


class Source(NamedTuple):
    """What a file is: the short names of its container and its codec, its rate in Hz, its number of
    channels and the length of the whole in seconds, counted rather than claimed."""

    container: str
    codec: str
    sample_rate: int
    channels: int
    seconds: float


class Track(NamedTuple):
    """A file that can be read, all of it or in parts.

    ``read(start, count)`` gives `count` samples of each channel from one on, and ``blocks()`` all
    of them, a second at a time: (samples, channels) float32.
    """

    source: Source
    frames: int  # samples of one channel
    read: Callable[[int, int], FloatArray]
    blocks: Callable[[], Iterator[FloatArray]]


def ways(file: BinaryIO, found: Found) -> Iterator[AbstractContextManager[Track]]:
    """The ways in which a file may be read, the best first.

    Opening and reading raise `UnreliableError` where the next is to be tried, and `BadAudioError`
    where the file is at fault.
    """
    file.seek(found.start)
    beginning = file.read(512)
    # libsndfile counts a tag in front as audio, and leaves out as much at the end
    if found.kind in _SNDFILE and not found.start and not _NOT_SNDFILE.search(beginning):
        yield _sndfile(file, found)
    counted = frame_count(file, found) if found.kind == "mp3" else None
    if counted and counted.is_constant and _agree(counted.size, found.size - found.start):
        yield _ffmpeg(file, found, counted.seconds)
    yield _ffmpeg(file, found, None)


def _agree(one: float, other: float) -> bool:
    return abs(one - other) < (1 - MIN_PRESENT) * one


@contextmanager
def _sndfile(file: BinaryIO, found: Found) -> Iterator[Track]:
    """A file as libsndfile reads it."""
    file.seek(0)  # an unbuffered file, so that its descriptor is there too
    # A descriptor has no name: beside a path, libsndfile would look for macOS's ._name.
    opened = _guarded(file, found) if isinstance(file, io.BytesIO) else file.fileno()
    try:
        with soundfile.SoundFile(opened, closefd=False) as sound:
            if not 0 < sound.frames < _UNKNOWN:
                raise UnreliableError
            # libsndfile converts 16-bit samples to float slowly; this division is exact and fast.
            is_int16 = sound.subtype == "PCM_16"
            kind, codec = sound.format.lower(), sound.subtype.lower()

            def read(start: int, count: int) -> FloatArray:
                if start:
                    sound.seek(start)
                samples: Samples = sound.read(count, "int16" if is_int16 else "float32")
                if kind == "flac" and start + count < sound.frames:
                    # the end may be missing even so; what is there, FFmpeg counts
                    sound.seek(int(MIN_PRESENT * sound.frames))
                    if not len(sound.read(1)):
                        raise UnreliableError
                if len(samples) < MIN_PRESENT * min(count, sound.frames - start):
                    raise UnreliableError
                if is_int16:
                    samples = samples.astype(np.float32) / np.float32(32768)
                return samples.astype(np.float32, copy=False)

            def blocks() -> Iterator[FloatArray]:
                sound.seek(0)
                yield from sound.blocks(sound.samplerate, dtype="float32")

            rate = sound.samplerate
            source = Source(
                kind, kind if kind == "flac" else codec, rate, sound.channels, sound.frames / rate
            )
            yield Track(source, sound.frames, read, blocks)
    except soundfile.LibsndfileError as error:
        raise UnreliableError from error


@contextmanager
def _ffmpeg(file: BinaryIO, found: Found, stated: float | None) -> Iterator[Track]:
    """A file as FFmpeg reads it; `stated` is the length in seconds where a header is believed."""
    length = _measure(file, found, stated)
    rate, channels = length.source.sample_rate, length.source.channels

    def read(start: int, count: int) -> FloatArray:
        wanted = min(count, length.frames - start)
        begin = start / rate
        parts: list[Samples] = []
        have, kept, lost = 0, 0, 0
        surplus: int | None = None  # samples that come before what is wanted
        with _stream(file, found) as (container, stream):
            for clock, seconds, packet in _timed(container, stream, found, begin, length):
                if clock + seconds <= begin - _PREROLL:
                    continue
                if surplus is None:
                    # the decoder leaves the padding out by itself
                    surplus = max(0, round((begin - max(clock, 0.0)) * rate))
                frames = _decoded(stream, packet, rate, channels)
                if frames is None:
                    lost += packet.size
                    surplus = max(0, surplus - round(seconds * rate))
                    continue
                kept += packet.size
                for samples in frames:
                    parts.append(samples[surplus:])
                    surplus = max(0, surplus - len(samples))
                    have += len(parts[-1])
                if have >= count:
                    break
            else:
                parts.extend(_decoded(stream, None, rate, channels) or [])
        have = sum(map(len, parts))
        share = min(kept / max(kept + lost, 1), (have + _PRIMING * rate) / wanted)
        if share < MIN_PRESENT:
            if stated is not None:
                raise UnreliableError
            raise BadAudioError(f"damaged: {min(share, have / wanted):.0%} of it decodes")
        return _as_float(np.concatenate(parts)[:count])

    def blocks() -> Iterator[FloatArray]:
        waiting: list[Samples] = []
        with _stream(file, found) as (container, stream):
            for packet in _packets(container, stream):
                waiting += _decoded(stream, packet, rate, channels) or []
                if sum(map(len, waiting)) >= rate:
                    joined = np.concatenate(waiting)
                    whole = len(joined) // rate * rate
                    for start in range(0, whole, rate):
                        yield _as_float(joined[start : start + rate])
                    waiting = [joined[whole:]]
        if waiting:
            yield _as_float(np.concatenate(waiting))

    yield Track(length.source, length.frames, read, blocks)


class _Length(NamedTuple):
    source: Source
    frames: int
    pace: float  # seconds for each second of the packets' own durations, which are rounded
    priming: float  # s that an encoder has put before the music, and the decoder leaves out


def _measure(file: BinaryIO, found: Found, stated: float | None) -> _Length:
    """What a file is and how long, by the packets that are in it."""
    frame: AudioFrame | None = None
    packet: Packet[AudioStream] | None = None
    total = duration = last = priming = 0
    first: int | None = None
    with _stream(file, found) as (container, stream):
        for packet in _packets(container, stream):
            if first is None:
                first, priming = packet.pts or 0, _left_out(packet)[0]
            if frame is None:
                frame = next(iter(_frames(stream, packet) or []), None)
            if frame is not None and stated is not None:
                break
            duration = packet.duration or duration
            total += duration
            last = packet.pts or last
        tick = _tick(stream)
        claimed = (stream.duration or 0) * tick
        name, codec = container.format.name, stream.codec_context.codec.canonical_name
    if frame is None or packet is None:
        raise BadAudioError("cannot be decoded: nothing in it is whole")
    rate, pace = frame.sample_rate, 1.0
    if stated is not None:  # in whole frames; FFmpeg knows what of the last is music
        length = claimed if abs(claimed - stated) < _PRIMING else stated - priming / rate
    else:
        span = last + duration - (first or 0)
        if total and _agree(total, span):
            pace = span / total
        length = total * pace * tick - (priming + _left_out(packet)[1]) / rate
        refuse_truncated(length, claimed if found.kind in _STATED else 0.0)
    container_name = name.split(",")[0] if found.kind in _PROBED_KINDS else found.kind
    source = Source(container_name, codec, rate, frame.layout.nb_channels, length)
    return _Length(source, round(length * rate), pace, priming / rate)


def _guarded(file: BinaryIO, found: Found) -> SimpleNamespace:
    """A file for a decoder that is not its own: without a name, which would be taken for a hint,
    beginning behind tags and junk, and silent where a damaged file asks for a place that is none:
    an error there would be printed."""

    def seek(offset: int, whence: int = 0) -> int:
        end = found.size - found.start
        place = offset + (0, file.tell() - found.start, end)[whence]
        return file.seek(found.start + min(place, end)) - found.start if place >= 0 else -1

    return SimpleNamespace(read=file.read, seek=seek, tell=lambda: file.tell() - found.start)


@contextmanager
def _stream(file: BinaryIO, found: Found) -> Iterator[tuple[InputContainer, AudioStream]]:
    """A file's container, and its audio stream."""
    import av  # 50 ms, and most files do without it
    from av.stream import Discard

    file.seek(found.start)
    is_probed = found.kind in _PROBED_KINDS
    try:
        container = av.open(
            _guarded(file, found),
            "r",
            format=None if is_probed else _FFMPEG.get(found.kind, found.kind),
            options={"format_whitelist": _PROBED} if is_probed else {},
            metadata_errors="replace",
        )
    except av.FFmpegError as error:
        what = f"damaged, though it begins as {found.kind}" if found.kind else "no format of audio"
        raise BadAudioError(f"cannot be decoded: {what}") from error
    with container:
        if not container.streams.audio:
            is_film = bool(container.streams.video)
            raise BadAudioError("no audio in it" + (" (video only)" if is_film else ""))
        stream = container.streams.audio[0]
        if stream.codec_context is None:
            raise BadAudioError("no decoder for what it holds")
        stream.codec_context.thread_count = 1  # as many run as there are workers
        for other in container.streams:
            if other.index != stream.index:
                other.discard = Discard.all
        yield container, stream


def _packets(container: InputContainer, stream: AudioStream) -> Iterator[Packet[AudioStream]]:
    """The packets that can be read; where a file is cut off or damaged they end."""
    import av

    packets = container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except (av.FFmpegError, IndexError):  # the latter at the end, if damage has made streams
            return
        if packet is None:
            return
        if packet.size:  # an empty one marks the end
            yield packet


def _timed(
    container: InputContainer, stream: AudioStream, found: Found, begin: float, length: _Length
) -> Iterator[tuple[float, float, Packet[AudioStream]]]:
    """Packets with their times and lengths in seconds, from before `begin` on."""
    import av

    clock, seconds, tick = -length.priming, 0.0, _tick(stream)
    is_sought = found.kind in _BY_FRAME and begin > _FAR
    if is_sought:
        with suppress(av.FFmpegError):  # then it is read up to there
            container.seek(int((begin - 2 * _PREROLL) / tick), stream=stream)
    for packet in _packets(container, stream):
        seconds = (packet.duration or 0) * tick * length.pace or seconds
        if is_sought:
            clock, is_sought = (packet.pts or 0) * tick - length.priming, False
        yield clock, seconds, packet
        clock += seconds


def _tick(stream: AudioStream) -> float:
    """The unit of a stream's times in seconds, as a float: exact fractions take longer to multiply
    than a packet takes to read."""
    return float(stream.time_base or 0)


def _left_out(packet: Packet[AudioStream]) -> tuple[int, int]:
    """How many samples a decoder leaves out at a packet's start and end: an encoder's padding."""
    if not packet.has_sidedata("skip_samples"):
        return 0, 0
    start, end = struct.unpack_from("<2I", bytes(packet.get_sidedata("skip_samples")))
    return start, end


def _frames(stream: AudioStream, packet: Packet[AudioStream] | None) -> list[AudioFrame] | None:
    """What a packet decodes to, or what is left in the decoder; None if it is damaged."""
    import av

    try:
        return stream.codec_context.decode(packet)
    except av.FFmpegError:
        return None


def _decoded(
    stream: AudioStream, packet: Packet[AudioStream] | None, rate: int, channels: int
) -> list[Samples] | None:
    """The samples of a packet, each part (samples, channels); None if it is damaged, as one that
    suddenly has another rate is."""
    frames = _frames(stream, packet)
    if frames is None:
        return None
    parts: list[Samples] = []
    for frame in frames:
        if (frame.sample_rate, frame.layout.nb_channels) != (rate, channels):
            return None
        samples = frame.to_ndarray()
        parts.append(samples.T if frame.format.is_planar else samples.reshape(-1, channels))
    return parts


def _as_float(samples: Samples) -> FloatArray:
    """Samples of any type as float32, whole numbers divided by their full scale."""
    if np.issubdtype(samples.dtype, np.floating):
        return samples.astype(np.float32, copy=False)
    scale = np.float32(1 << 8 * samples.dtype.itemsize - 1)
    centre = np.float32(0 if samples.dtype.kind == "i" else scale)
    scaled: FloatArray = (samples.astype(np.float32) - centre) / scale
    return scaled
