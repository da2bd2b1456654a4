"""A waveform -> MFCC statistics and log-mel windows, from one short-time Fourier transform.

The definitions are librosa's (``librosa.feature.mfcc`` and ``melspectrogram`` with the constants
below); ``tests/features/test_spectral.py`` compares the two. One pass over the audio serves both:
each block of frames goes through one FFT and one product with both mel filter banks, and its
magnitudes are not kept.

Axes: ``n`` tracks, ``w`` windows, ``t`` frames.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import joblib
import numpy as np
import pandas as pd
import scipy.fft
import scipy.sparse

from genre_vae.collection import audio
from genre_vae.collection.catalog import Catalog
from genre_vae.records import FeatureSet, FloatArray, InputError

N_FFT = 2048
HOP_LENGTH = 512
N_MFCC = 20
N_MELS_MFCC = 128  # librosa's default under an MFCC
N_MELS = 64  # of the windows
WINDOW_FRAMES = 128  # 2.97 s
N_WINDOWS = 10  # of a 30 s clip
TOP_DB = 80.0  # dynamic range: lower values are raised to the peak minus this
MIN_TRACKS = 4  # fewer can be neither split nor mapped
BLOCK_FRAMES = 128  # frames transformed at a time, so that the work stays in cache


class Features(NamedTuple):
    """The features of one clip: ``mfcc`` (40,) float32, the mean of each of 20 coefficients, then
    their standard deviations; ``mel`` (10, 1, 64, 128) float16, in dB relative to the clip's peak,
    [-80, 0]."""

    mfcc: FloatArray
    mel: np.ndarray[tuple[int, ...], np.dtype[np.float16]]


@cache
def mel_filters() -> scipy.sparse.csr_array:
    """Both mel filter banks, one above the other: (128 + 64, 1025) float32, mostly zeros."""
    import librosa.filters  # 1 s to import, and only this function needs it

    banks = [
        librosa.filters.mel(sr=audio.SAMPLE_RATE, n_fft=N_FFT, n_mels=n_mels)
        for n_mels in (N_MELS_MFCC, N_MELS)
    ]
    return scipy.sparse.csr_array(np.concatenate(banks))


def mel_power(
    waveform: FloatArray,
    filters: scipy.sparse.csr_array,
    *,
    n_fft: int = N_FFT,
    hop_length: int = HOP_LENGTH,
) -> FloatArray:
    """Power in mel bands of a zero-padded, centred, Hann-windowed STFT.

    Parameters
    ----------
    waveform : (samples,) float32
    filters : (bands, 1 + n_fft // 2)
    n_fft, hop_length
        Lengths in samples.

    Returns
    -------
    (bands, t) float32
        ``t = 1 + samples // hop_length``.
    """
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
    padded = np.pad(waveform, n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length]
    power = np.empty((filters.shape[0], len(frames)), dtype=np.float32)
    for start in range(0, len(frames), BLOCK_FRAMES):
        spectrum = scipy.fft.rfft(frames[start : start + BLOCK_FRAMES] * window, axis=1)
        magnitude2 = spectrum.real**2 + spectrum.imag**2
        power[:, start : start + BLOCK_FRAMES] = filters @ magnitude2.T
    return power


def power_to_db(power: FloatArray, *, ref: float) -> FloatArray:
    """``10 log10(power / ref)``, no lower than 80 dB below its peak (librosa.power_to_db)."""
    amin = 1e-10
    db = 10 * np.log10(np.maximum(power, amin)) - 10 * np.log10(max(ref, amin))
    floored: FloatArray = np.maximum(db, db.max() - TOP_DB).astype(np.float32)
    return floored


def extract(waveform: FloatArray, filters: scipy.sparse.csr_array) -> Features:
    """MFCC statistics and mel windows of one clip.

    The windows of a clip that is shorter than 30 s are padded with -80 dB at the end.
    """
    power = mel_power(waveform, filters)
    log_mel = power_to_db(power[:N_MELS_MFCC], ref=1.0)
    mfcc = scipy.fft.dct(log_mel, axis=0, type=2, norm="ortho")[:N_MFCC]
    statistics = np.concatenate([mfcc.mean(axis=1), mfcc.std(axis=1)])

    power = power[N_MELS_MFCC:]
    db = power_to_db(power, ref=float(power.max()))[:, : N_WINDOWS * WINDOW_FRAMES]
    padded = np.full((N_MELS, N_WINDOWS * WINDOW_FRAMES), -TOP_DB, dtype=np.float16)
    padded[:, : db.shape[1]] = db
    # (mel, w * t) -> (mel, w, t) -> (w, mel, t) -> (w, 1, mel, t)
    windows = padded.reshape(N_MELS, N_WINDOWS, WINDOW_FRAMES).transpose(1, 0, 2)[:, None]
    return Features(statistics.astype(np.float32), np.ascontiguousarray(windows))


def extract_source(
    source: str | Path | bytes, filters: scipy.sparse.csr_array, *, max_seconds: float = math.inf
) -> Features | str:
    """The features of a file or of its content (as for `audio.load`), or the reason why there are
    none."""
    try:
        with np.errstate(over="ignore", invalid="ignore"):  # checked below
            features = extract(audio.load(source, max_seconds=max_seconds), filters)
    except audio.BadAudioError as error:
        return str(error)
    finite = np.isfinite(features.mfcc).all() and np.isfinite(features.mel).all()
    return features if finite else "too loud: its power overflows"


def extract_catalog(
    catalog: Catalog,
    *,
    workers: int,
    progress: Callable[[Iterable[Features | str]], Iterable[Features | str]] = iter,
) -> tuple[FeatureSet, FeatureSet, pd.DataFrame]:
    """Features of every usable track of a catalog.

    Parameters
    ----------
    catalog
        The tracks to read.
    workers
        Number of processes, each with one thread.
    progress
        Wraps the stream of results, for a progress bar.

    Returns
    -------
    mfcc : FeatureSet, values (n, 40)
    mel : FeatureSet, values (n, 10, 1, 64, 128)
        Memory-mapped from an unnamed temporary file: memory does not grow with the collection.
    skipped : DataFrame with the columns track_id, genre, reason
        The files that cannot be used.

    Raises
    ------
    InputError
        If more than half of the files cannot be used, or fewer than four can.
    """
    paths = catalog.tracks["path"]
    filters = mel_filters()
    mfcc, reasons = [], []
    with (
        joblib.parallel_config("loky", n_jobs=workers, inner_max_num_threads=1),
        tempfile.TemporaryFile() as mel_file,
    ):
        stream = joblib.Parallel(return_as="generator", batch_size=4)(
            joblib.delayed(extract_source)(path, filters) for path in paths
        )
        for result in progress(stream):  # in the order of the catalog
            if isinstance(result, str):
                reasons.append(result)
            else:
                reasons.append("")
                mfcc.append(result.mfcc)
                mel_file.write(result.mel.tobytes())
        mel_file.flush()
        tracks = catalog.tracks.assign(reason=reasons)
        used, skipped = tracks[tracks["reason"] == ""], tracks[tracks["reason"] != ""]
        if len(skipped) > len(used):
            first = skipped.iloc[0]
            raise InputError(
                f"{catalog.folder}: {len(skipped)} of {len(tracks)} audio files cannot be used, "
                f"the first is {first['track_id']}: {first['reason']}"
            )
        if len(used) < MIN_TRACKS:
            raise InputError(
                f"{catalog.folder}: {len(used)} usable tracks, at least {MIN_TRACKS} are needed"
            )
        shape = (len(used), N_WINDOWS, 1, N_MELS, WINDOW_FRAMES)
        mel = np.memmap(mel_file, dtype=np.float16, mode="r", shape=shape)

    ids, labels = used["track_id"].to_numpy(dtype=str), used["genre"].to_numpy(dtype=str)
    return (
        FeatureSet("mfcc", ids, np.stack(mfcc), labels),
        FeatureSet("mel", ids, mel, labels),
        skipped[["track_id", "genre", "reason"]].reset_index(drop=True),
    )


def mean_spectrum(mel: FeatureSet) -> FeatureSet:
    """The mean over a clip's windows and frames: (n, w, 1, mel, t) -> (n, mel), in dB."""
    means = [row.mean(axis=(0, 1, 3), dtype=np.float32) for row in mel.values]
    return mel.derive(f"mean {mel.name}", np.stack(means))
