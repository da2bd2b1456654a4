"""An audio file -> a mono waveform at one sampling rate, or the reason why there is none.

What a file is follows from its content (`sniff`), what its structure promises is compared with what
is there (`containers`, whose docstring says which formats promise nothing), and its samples come
from libsndfile or FFmpeg (`decoders`). Here the clip is chosen: the middle 30 s, mono.
"""

from __future__ import annotations

import contextlib
import io
import math
import stat
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import soxr

from genre_vae.collection import containers, decoders
from genre_vae.collection.containers import BadAudioError as BadAudioError
from genre_vae.collection.decoders import Source as Source
from genre_vae.records import FloatArray

SAMPLE_RATE = 22050  # Hz, GTZAN's own
CLIP_SECONDS = 30.0  # a longer file gives its middle: intros and endings are less typical
MIN_SECONDS = 1.0
MIN_RATE = 1_000  # Hz; a lower rate holds no audible music
MAX_VALUES = 25_000_000  # samples of all channels that are read: 30 s of eight at 96 kHz
MAX_SEARCHED = 14_400  # s of a file with a silent middle that are searched for music
SILENCE = 1e-4  # peak amplitude, -80 dBFS
CANCELLED = 1e-4  # of the channels' mean power, -40 dB: what a sum keeps of opposite channels


class Clip(NamedTuple):
    """A file's waveform, (samples,) float32 at 22,050 Hz, what file it is of, and what was done to
    have it, ``""`` for nothing."""

    waveform: FloatArray
    source: Source
    note: str


def load(source: str | Path | bytes, *, max_seconds: float = math.inf) -> Clip:
    """Decode the middle 30 s of a file to mono at 22,050 Hz.

    Parameters
    ----------
    source
        A path, or a file's content, in any format that libsndfile or FFmpeg decodes and with any
        rate and channel count. What it is called does not matter.
    max_seconds
        The greatest length that the whole file may have.

    Returns
    -------
    Clip
        At most 30 s; in [-1, 1] for integer formats. Channels are averaged, unless they cancel:
        then the loudest is used. Where the middle is silent and other parts are not, the loudest
        30 s are used.

    Raises
    ------
    BadAudioError
        If the file is missing, empty, something else than audio, protected, undecodable, truncated
        (under 95 % of the length its header claims), damaged (under 95 % of the clip decodes),
        shorter than 1 s, longer than `max_seconds`, silent (peak under -80 dBFS) or has a
        non-finite sample.
    """
    try:
        with _opened(source) as file:
            found = containers.find(file)
            containers.check(file, found)
            for way in decoders.ways(file, found):
                with contextlib.suppress(decoders.UnreliableError), way as track:
                    return _clip(track, max_seconds)
    except OSError as error:
        raise BadAudioError(f"cannot be read: {error.strerror}") from error
    raise AssertionError("the last way gives a clip or a reason")


def _opened(source: str | Path | bytes) -> BinaryIO:
    if isinstance(source, bytes):
        return io.BytesIO(source)
    path = Path(source)
    if not stat.S_ISREG(path.stat().st_mode):  # a pipe would be waited for
        raise BadAudioError("cannot be read: not a regular file")
    return path.open("rb", buffering=0)


def _clip(track: decoders.Track, max_seconds: float) -> Clip:
    """The middle of a track, or what else is to be used of it."""
    about, frames = track.source, track.frames
    rate = about.sample_rate
    if about.seconds > max_seconds:
        raise BadAudioError(f"too long: {about.seconds:.0f} s, at most {max_seconds:.0f} s")
    if rate < MIN_RATE:
        raise BadAudioError(f"sampled at {rate} Hz, at least {MIN_RATE} Hz")
    clip = round(CLIP_SECONDS * rate)
    if min(frames, clip) * about.channels > MAX_VALUES:  # a small compressed file can hold a lot
        raise BadAudioError(f"too much: {about.channels} channels at {rate} Hz")
    if frames < MIN_SECONDS * rate:
        raise BadAudioError(f"too short: {frames / rate:.2f} s, at least {MIN_SECONDS:.0f} s")
    mono, note = _mono(track.read(max(0, frames - clip) // 2, clip))
    is_silent = np.abs(mono).max() < SILENCE
    if is_silent and frames > clip:
        mono, cancelled = _mono(track.read(_loudest(track, clip), clip))
        note = "its middle 30 s are silent: the loudest 30 s are used"
        note += cancelled and f"; {cancelled}"
        is_silent = np.abs(mono).max() < SILENCE
    if is_silent:
        raise BadAudioError("silent: no sample above -80 dBFS")
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
    return Clip(np.ascontiguousarray(mono, dtype=np.float32), about, note)


def _mono(samples: FloatArray) -> tuple[FloatArray, str]:
    """The mean of the channels, or the loudest of them if they cancel: (n,) or (n, channels) ->
    (n,), and what was done."""
    if not np.isfinite(samples).all():
        raise BadAudioError("not finite: the samples contain NaN or infinity")
    if samples.ndim == 1:
        return samples, ""
    mono: FloatArray = samples.mean(axis=1)
    with np.errstate(over="ignore"):  # then nothing has cancelled
        every = samples.ravel()
        has_cancelled = mono @ mono < CANCELLED * (every @ every) / samples.shape[1]
    if not has_cancelled:
        return mono, ""
    power = np.square(samples, dtype=np.float64).sum(axis=0)
    who = "left and right cancel: the louder" if len(power) == 2 else "channels cancel: the loudest"
    return samples[:, power.argmax()], f"{who} channel is used"


def _loudest(track: decoders.Track, clip: int) -> int:
    """Where the `clip` samples with the most power begin, to a second."""
    seconds = islice(track.blocks(), MAX_SEARCHED)
    power = np.array([np.square(block, dtype=np.float64).sum() for block in seconds])
    heard = np.convolve(np.nan_to_num(power), np.ones(round(CLIP_SECONDS)), mode="valid")
    return min(int(heard.argmax()) * track.source.sample_rate, track.frames - clip)
