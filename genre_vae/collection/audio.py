"""An audio file -> a mono waveform at one sampling rate, or the reason why there is none."""

from __future__ import annotations

import io
import math
import re
from pathlib import Path

import numpy as np
import soundfile
import soxr

from genre_vae.records import FloatArray

SAMPLE_RATE = 22050  # Hz, GTZAN's own
CLIP_SECONDS = 30.0  # a longer file gives its middle: intros and endings are less typical
MIN_SECONDS = 1.0
MIN_RATE = 1_000  # Hz; a lower rate holds no audible music
MAX_VALUES = 25_000_000  # samples of all channels that are read: 30 s of eight at 96 kHz
SILENCE = 1e-4  # peak amplitude, -80 dBFS
MIN_PRESENT = 0.95  # of the length that its header claims; with less, a file is truncated

# libsndfile repairs the sizes in a RIFF header and notes it: "data : 1323588 (should be 661772)"
_REPAIRED_DATA_SIZE = re.compile(r"^ *data *: *(\d+) \(should be (\d+)\)", re.MULTILINE)
_UNKNOWN_SIZES = {0, 0x7FFFFFFF, 0xFFFFFFFF}  # written when a file is streamed to a pipe


class BadAudioError(ValueError):
    """A file that cannot be used; the message is the reason, without the file's name."""


def load(source: str | Path | bytes, *, max_seconds: float = math.inf) -> FloatArray:
    """Decode the middle 30 s of a file to mono at 22,050 Hz.

    Parameters
    ----------
    source
        A path, or a file's content, in any format that libsndfile decodes (wav, au, flac, ogg, mp3)
        and with any rate and channel count.
    max_seconds
        The greatest length that the whole file may have.

    Returns
    -------
    (samples,) float32
        Samples at 22,050 Hz, of 30 s at most; in [-1, 1] for integer formats.

    Raises
    ------
    BadAudioError
        If the file is missing, empty, undecodable, truncated (under 95 % of the length its header
        claims), shorter than 1 s, longer than `max_seconds`, silent (peak under -80 dBFS) or has a
        non-finite sample.
    """
    opened: Path | io.BytesIO
    try:
        if isinstance(source, bytes):
            beginning, opened = source[:1], io.BytesIO(source)
        else:
            with Path(source).open("rb") as file:  # its error has a reason, libsndfile's has none
                beginning, opened = file.read(1), Path(source)
        if not beginning:
            raise BadAudioError("empty file")
        samples, rate = _decode(opened, max_seconds)
    except soundfile.LibsndfileError as error:
        raise BadAudioError(f"cannot be decoded: {error.error_string.rstrip('.')}") from error
    except OSError as error:
        raise BadAudioError(f"cannot be read: {error.strerror}") from error

    if len(samples) < MIN_SECONDS * rate:
        raise BadAudioError(f"too short: {len(samples) / rate:.2f} s, at least {MIN_SECONDS:.0f} s")
    if not np.isfinite(samples).all():
        raise BadAudioError("not finite: the samples contain NaN or infinity")
    mono = samples.mean(axis=1) if samples.ndim == 2 else samples
    if np.abs(mono).max() < SILENCE:
        raise BadAudioError("silent: no sample above -80 dBFS")
    if rate != SAMPLE_RATE:
        mono = soxr.resample(mono, rate, SAMPLE_RATE, quality="HQ")
    return np.ascontiguousarray(mono, dtype=np.float32)


def _decode(source: Path | io.BytesIO, max_seconds: float) -> tuple[FloatArray, int]:
    """The middle of a file, (samples,) or (samples, channels), and its rate in Hz."""
    with soundfile.SoundFile(source) as file:
        seconds = file.frames / file.samplerate
        if seconds > max_seconds:
            raise BadAudioError(f"too long: {seconds:.0f} s, at most {max_seconds:.0f} s")
        if file.samplerate < MIN_RATE:
            raise BadAudioError(f"sampled at {file.samplerate} Hz, at least {MIN_RATE} Hz")
        repaired = _REPAIRED_DATA_SIZE.search(file.extra_info)
        if repaired and int(repaired[1]) not in _UNKNOWN_SIZES:
            _refuse_truncated(present=int(repaired[2]), claimed=int(repaired[1]))
        clip = round(CLIP_SECONDS * file.samplerate)
        surplus = max(0, file.frames - clip)
        if (
            file.frames - surplus
        ) * file.channels > MAX_VALUES:  # a small compressed file can hold a lot
            raise BadAudioError(f"too much: {file.channels} channels at {file.samplerate} Hz")
        if surplus:
            file.seek(surplus // 2)
        # libsndfile converts 16-bit samples to float slowly; the division below is exact and fast.
        is_int16 = file.subtype == "PCM_16"
        samples = file.read(clip, dtype="int16" if is_int16 else "float32")
        _refuse_truncated(present=len(samples), claimed=file.frames - surplus)
        if is_int16:
            samples = samples.astype(np.float32) / np.float32(32768)
        return samples, file.samplerate


def _refuse_truncated(*, present: int, claimed: int) -> None:
    if present < MIN_PRESENT * claimed:
        share = present / claimed
        raise BadAudioError(f"truncated: {share:.0%} of the length its header claims is there")
