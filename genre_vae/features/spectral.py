"""A waveform -> MFCC statistics, log-mel windows and the descriptor, from one short-time Fourier
transform.

The definitions are librosa's (``librosa.feature.mfcc`` and ``melspectrogram`` with the constants
below); ``tests/features/test_spectral.py`` compares the two. One pass over the audio serves all:
each block of frames goes through one FFT, one product with both mel filter banks and
`descriptor.measure`, and its magnitudes are not kept.

Axes: ``n`` tracks, ``w`` windows, ``t`` frames.
"""

from __future__ import annotations

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
from threadpoolctl import ThreadpoolController

from genre_vae.collection import audio
from genre_vae.collection.catalog import Catalog
from genre_vae.features import descriptor, stft
from genre_vae.records import FeatureSet, FloatArray, Geometry, InputError

N_FFT, HOP_LENGTH = stft.N_FFT, stft.HOP_LENGTH
N_MFCC = 20
N_MELS_MFCC = 128  # librosa's default under an MFCC
N_MELS = 64  # of the windows
WINDOW_FRAMES = 128  # 2.97 s
N_WINDOWS = 10  # of a 30 s clip
TOP_DB = 80.0  # dynamic range: lower values are raised to the peak minus this
MIN_TRACKS = 4  # fewer can be neither split nor mapped


class Features(NamedTuple):
    """The features of one clip: ``mfcc`` (40,) float32, the mean of each of 20 coefficients, then
    their standard deviations; ``mel`` (10, 1, 64, 128) float16, in dB relative to the clip's peak,
    [-80, 0]; ``descriptor`` (178,) float32, named by `descriptor.NAMES`."""

    mfcc: FloatArray
    mel: np.ndarray[tuple[int, ...], np.dtype[np.float16]]
    descriptor: FloatArray


class CatalogFeatures(NamedTuple):
    """The features of a catalog's usable tracks: ``mfcc``, values (n, 40); ``mel``, values (n, 10,
    1, 64, 128), memory-mapped from an unnamed temporary file, so that memory does not grow with the
    collection; ``descriptor``, values (n, 178). And ``skipped``, the files that cannot be used,
    with the columns track_id, genre and reason."""

    mfcc: FeatureSet
    mel: FeatureSet
    descriptor: FeatureSet
    skipped: pd.DataFrame


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
    blocks = stft.power_spectra(waveform, n_fft=n_fft, hop_length=hop_length)
    return np.concatenate([filters @ power.T for power in blocks], axis=1)


def power_to_db(power: FloatArray, *, ref: float) -> FloatArray:
    """``10 log10(power / ref)``, no lower than 80 dB below its peak (librosa.power_to_db)."""
    amin = 1e-10
    db = 10 * np.log10(np.maximum(power, amin)) - 10 * np.log10(max(ref, amin))
    floored: FloatArray = np.maximum(db, db.max() - TOP_DB).astype(np.float32)
    return floored


def extract(waveform: FloatArray, filters: scipy.sparse.csr_array) -> Features:
    """MFCC statistics, mel windows and the descriptor of one clip.

    The windows of a clip that is shorter than 30 s are padded with -80 dB at the end.
    """
    floor = descriptor.magnitude_floor(waveform)
    mel_blocks, measured = [], []
    for power in stft.power_spectra(waveform):
        mel_blocks.append(filters @ power.T)
        measured.append(descriptor.measure(power, floor))
    mel = np.concatenate(mel_blocks, axis=1)
    log_mel = power_to_db(mel[:N_MELS_MFCC], ref=1.0)
    mfcc = scipy.fft.dct(log_mel, axis=0, type=2, norm="ortho")[:N_MFCC]
    statistics = np.concatenate([mfcc.mean(axis=1), mfcc.std(axis=1)])
    frames = descriptor.Frames(*map(np.concatenate, zip(*measured, strict=True)))
    described = descriptor.describe(waveform, log_mel, mfcc, frames)

    mel = mel[N_MELS_MFCC:]
    db = power_to_db(mel, ref=float(mel.max()))[:, : N_WINDOWS * WINDOW_FRAMES]
    padded = np.full((N_MELS, N_WINDOWS * WINDOW_FRAMES), -TOP_DB, dtype=np.float16)
    padded[:, : db.shape[1]] = db
    # (mel, w * t) -> (mel, w, t) -> (w, mel, t) -> (w, 1, mel, t)
    windows = padded.reshape(N_MELS, N_WINDOWS, WINDOW_FRAMES).transpose(1, 0, 2)[:, None]
    return Features(statistics.astype(np.float32), np.ascontiguousarray(windows), described)


@cache
def _threads() -> ThreadpoolController:
    """The libraries that multiply matrices, looked for once: that takes longer than a clip's
    products."""
    return ThreadpoolController()


def extract_checked(waveform: FloatArray, filters: scipy.sparse.csr_array) -> Features:
    """The features of one clip.

    Raises
    ------
    BadAudioError
        If the clip is so loud that its power overflows float32.
    """
    # One thread: with more, a product is split and rounds differently, and then the number of
    # workers would show in the features. Infinite values are looked for below.
    with (
        _threads().limit(limits=1),
        np.errstate(over="ignore", invalid="ignore", divide="ignore"),
    ):
        features = extract(waveform, filters)
    if not all(np.isfinite(values).all() for values in features):
        raise audio.BadAudioError("too loud: its power overflows")
    return features


def extract_source(path: str | Path, filters: scipy.sparse.csr_array) -> Features | str:
    """The features of a file, or the reason why there are none."""
    try:
        return extract_checked(audio.load(path).waveform, filters)
    except audio.BadAudioError as error:
        return str(error)


def extract_catalog(
    catalog: Catalog,
    *,
    workers: int,
    progress: Callable[[Iterable[Features | str]], Iterable[Features | str]] = iter,
) -> CatalogFeatures:
    """Features of every usable track of a catalog.

    Parameters
    ----------
    catalog
        The tracks to read.
    workers
        Number of processes, each with one thread.
    progress
        Wraps the stream of results, for a progress bar.

    Raises
    ------
    InputError
        If more than half of the files cannot be used, or fewer than four can.
    """
    paths = catalog.tracks["path"]
    filters = mel_filters()
    mfcc, described, reasons = [], [], []
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
                described.append(result.descriptor)
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
    return CatalogFeatures(
        FeatureSet("mfcc", ids, np.stack(mfcc), labels).compared_by(Geometry.STANDARDISED),
        FeatureSet("mel", ids, mel, labels),
        FeatureSet("descriptor", ids, np.stack(described), labels, blocks=descriptor.BLOCKS),
        skipped[["track_id", "genre", "reason"]].reset_index(drop=True),
    )


def mean_spectrum(mel: FeatureSet) -> FeatureSet:
    """The mean over a clip's windows and frames: (n, w, 1, mel, t) -> (n, mel), in dB."""
    means = [row.mean(axis=(0, 1, 3), dtype=np.float32) for row in mel.values]
    return mel.derive(f"mean {mel.name}", np.stack(means))
