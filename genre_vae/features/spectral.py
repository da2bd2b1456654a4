"""A waveform -> MFCC statistics, log-mel windows and the descriptor, from one short-time Fourier
transform.

The definitions are librosa's (``librosa.feature.mfcc`` and ``melspectrogram`` with the constants
below); ``tests/features/test_spectral.py`` compares the two. One pass over the audio serves all:
each block of frames goes through one FFT, one product with both mel filter banks and
`descriptor.measure`, and its magnitudes are not kept.

Axes: ``n`` tracks, ``w`` windows, ``t`` frames.
"""

from __future__ import annotations

import json
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import IO, NamedTuple

import joblib
import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.fft
import scipy.sparse
from threadpoolctl import ThreadpoolController

from genre_vae.collection import audio
from genre_vae.collection.catalog import Catalog
from genre_vae.collection.digests import digest_since
from genre_vae.collection.listing import readable
from genre_vae.features import descriptor, stft
from genre_vae.features.kept import Column, Kept, Row
from genre_vae.features.loudness import adjusted, level
from genre_vae.records import (
    FeatureSet,
    FloatArray,
    Geometry,
    InputError,
    Loudness,
    StrArray,
)

N_FFT, HOP_LENGTH = stft.N_FFT, stft.HOP_LENGTH
N_MFCC = 20
N_MELS_MFCC = 128  # librosa's default under an MFCC
N_MELS = 64  # of the windows
WINDOW_FRAMES = 128  # 2.97 s
N_WINDOWS = 10  # of a 30 s clip
TOP_DB = 80.0  # dynamic range: lower values are raised to the peak minus this
MIN_TRACKS = 4  # fewer can be neither split nor mapped
BANDWIDTH_DB = 70.0  # below the strongest frequency: the noise of 8-bit and 16-bit samples is lower
# Where what is usual ends: telephones at 4 kHz, half and three quarters of GTZAN's rate at 5.5, 8
BAND_EDGES = (4_600.0, 6_400.0, 8_000.0)
BANDS = ("up to 4 kHz", "up to 6 kHz", "up to 8 kHz", "up to 11 kHz")
CHANGED = "changed while it was read"  # the reason why a track has no features
KEPT = (
    Column("reason"),  # why there is nothing; "" where there is
    Column("about"),  # JSON: the fields of `audio.Source`, bandwidth, level and note
    Column("mel", "<f2", (N_WINDOWS, 1, N_MELS, WINDOW_FRAMES)),
    Column("mfcc", "<f4", (2 * N_MFCC,)),
    Column("descriptor", "<f4", (len(descriptor.NAMES),)),
)
FEW = 0.05  # share of tracks: music without treble is in every collection


class Features(NamedTuple):
    """The features of one clip: ``mfcc`` (40,) float32, the mean of each of 20 coefficients, then
    their standard deviations; ``mel`` (10, 1, 64, 128) float16, in dB relative to the clip's peak,
    [-80, 0]; ``descriptor`` (178,) float32, named by `descriptor.NAMES`; ``bandwidth``, the highest
    frequency (Hz) whose mean power is less than 70 dB below that of the strongest."""

    mfcc: FloatArray
    mel: np.ndarray[tuple[int, ...], np.dtype[np.float16]]
    descriptor: FloatArray
    bandwidth: float


class Heard(NamedTuple):
    """What a file gave: its features, what kind of file it is, the clip's own level (dBFS), and
    what had to be done to hear it, ``""`` for nothing."""

    features: Features
    source: audio.Source
    level: float
    note: str


Result = tuple[str, Heard | str]  # the digest of a file, and what it gave


class CatalogFeatures(NamedTuple):
    """The features of a catalog's usable tracks: ``mfcc``, values (n, 40); ``mel``, values (n, 10,
    1, 64, 128), memory-mapped from an unnamed temporary file, so that memory does not grow with the
    collection; ``descriptor``, values (n, 178). ``sources``, what kind of file each of these tracks
    is: track_id, the fields of `audio.Source`, bandwidth (Hz), level (dBFS) and note. And
    ``skipped``, the files that cannot be used, with the columns track_id, genre and reason."""

    mfcc: FeatureSet
    mel: FeatureSet
    descriptor: FeatureSet
    sources: pd.DataFrame
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
    total = np.zeros(len(stft.FREQUENCIES))
    for power in stft.power_spectra(waveform):
        total += power.sum(axis=0)
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
    return Features(
        statistics.astype(np.float32), np.ascontiguousarray(windows), described, _bandwidth(total)
    )


def _bandwidth(power: npt.NDArray[np.float64]) -> float:
    """The highest frequency (Hz) at which there is something, from the power of each (1025,)."""
    there = np.flatnonzero(power > power.max() * 10 ** (-BANDWIDTH_DB / 10))
    return float(stft.FREQUENCIES[there[-1]]) if len(there) else 0.0


def bands(bandwidths: Sequence[float]) -> StrArray:
    """What bandwidths (n,) in Hz tell of where recordings are from, in words: ``up to 4 kHz``.

    Where all but a few are alike (`FEW`), nothing is told: (n,) of ``""``.
    """
    numbers = np.searchsorted(BAND_EDGES, bandwidths, side="right")
    if np.bincount(numbers).max() > (1 - FEW) * len(numbers):
        return np.full(len(numbers), "")
    return np.array(BANDS)[numbers]


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


def hear(source: str | Path, filters: scipy.sparse.csr_array, loudness: Loudness) -> Heard | str:
    """What a file gives, or the reason why there is nothing."""
    try:
        clip = audio.load(source)
        features = extract_checked(adjusted(clip.waveform, loudness), filters)
    except audio.BadAudioError as error:
        return str(error)
    return Heard(features, clip.source, level(clip.waveform), clip.note)


def _heard(
    path: str, filters: scipy.sparse.csr_array, catalog: tuple[Loudness, int], digest: str
) -> tuple[str, Heard | str]:
    """What a file gives, after the digest of the content that gave it."""
    loudness, scanned = catalog
    found = hear(path, filters, loudness)
    return digest_since(Path(path), digest, since=scanned), found


def extract_catalog(
    catalog: Catalog,
    *,
    workers: int,
    kept: Kept | None = None,
    progress: Callable[[Iterable[Result], int], Iterable[Result]] = lambda results, _: results,
) -> CatalogFeatures:
    """Features of every usable track of a catalog.

    Parameters
    ----------
    catalog
        The tracks to read, and how loud they are to be.
    workers
        Number of processes, each with one thread.
    kept
        What was computed before; with None, nothing was.
    progress
        Wraps the stream of results, of which it gets the number, for a progress bar.

    Raises
    ------
    InputError
        If more than half of the files cannot be used, or fewer than four can.
    """
    filters = mel_filters()
    paths, keys = catalog.tracks["path"].tolist(), catalog.tracks["digest"].tolist()

    def compute(places: list[int]) -> Iterator[tuple[str, Row]]:
        about = catalog.loudness, catalog.scanned
        with joblib.parallel_config("loky", n_jobs=workers, inner_max_num_threads=1):
            stream = joblib.Parallel(return_as="generator", batch_size=4)(
                joblib.delayed(_heard)(paths[place], filters, about, keys[place])
                for place in places
            )
            for key, heard in progress(stream, len(places)):
                yield key, _as_row(heard)

    with tempfile.TemporaryDirectory() as own, tempfile.TemporaryFile() as mel_file:
        kept = kept or Kept(Path(own), KEPT)
        places = kept.complete(keys, compute)
        rows = dict(kept.read(places, ("reason", "about", "mfcc", "descriptor")))
        reasons = [rows[key]["reason"] if key in rows else CHANGED for key in keys]
        tracks = catalog.tracks.assign(reason=reasons)
        used, skipped = tracks[tracks["reason"] == ""], tracks[tracks["reason"] != ""]
        if len(skipped) > len(used):
            kinds = Counter(reason.partition(":")[0] for reason in skipped["reason"])
            counts = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(3))
            first = skipped.iloc[0]
            raise InputError(
                f"{catalog.folder}: {len(skipped)} of {len(tracks)} audio files cannot be used "
                f"({counts}); the first is {readable(first['track_id'])}: {first['reason']}"
            )
        if len(used) < MIN_TRACKS:
            raise InputError(
                f"{catalog.folder}: {len(used)} usable tracks, at least {MIN_TRACKS} are needed"
            )
        good = [rows[key] for key in used["digest"]]
        mfcc, described = (np.stack([row[name] for row in good]) for name in ("mfcc", "descriptor"))
        sources = [json.loads(row["about"]) for row in good]
        mel = _mel_of(kept, places, used["digest"].tolist(), mel_file)

    ids, labels = used["track_id"].to_numpy(dtype=str), used["genre"].to_numpy(dtype=str)
    table = pd.DataFrame(sources)
    table.insert(0, "track_id", ids)
    groups = {name: used[name].to_numpy(dtype=str) for name in ("artist", "album")}
    of_artist = zip(groups["artist"].tolist(), groups["album"].tolist(), strict=True)
    groups["album"] = np.array(
        [f"{artist} / {album}" if album else "" for artist, album in of_artist]
    )
    groups["source"] = bands(table["bandwidth"].tolist())
    known = {name: which for name, which in groups.items() if np.any(which != "")}
    of_mel = FeatureSet("mel", ids, mel, labels, groups=known)
    return CatalogFeatures(
        of_mel.derive("mfcc", mfcc).compared_by(Geometry.STANDARDISED),
        of_mel,
        replace(of_mel.derive("descriptor", described), blocks=descriptor.BLOCKS),
        table,
        skipped[["track_id", "genre", "reason"]].reset_index(drop=True),
    )


def _as_row(heard: Heard | str) -> Row:
    """What is kept of a track."""
    if isinstance(heard, str):
        nothing = dict.fromkeys(("mfcc", "mel", "descriptor"))
        return {"reason": heard, "about": "", **nothing}
    features = heard.features
    about = heard.source._asdict() | {"bandwidth": features.bandwidth}
    about |= {"level": heard.level, "note": heard.note}
    return {
        "reason": "",
        "about": json.dumps(about),
        "mfcc": features.mfcc,
        "mel": features.mel,
        "descriptor": features.descriptor,
    }


def _mel_of(
    kept: Kept, places: Mapping[str, tuple[Path, int]], keys: Sequence[str], file: IO[bytes]
) -> npt.NDArray[np.float16]:
    """The mel windows of the tracks with `keys` in a file, memory-mapped, a shard at a time."""
    shape = (len(keys), N_WINDOWS, 1, N_MELS, WINDOW_FRAMES)
    file.truncate(math.prod(shape) * 2)
    mel: npt.NDArray[np.float16] = np.memmap(file, dtype=np.float16, mode="r+", shape=shape)
    rows: dict[str, list[int]] = {}
    for number, key in enumerate(keys):
        rows.setdefault(key, []).append(number)
    for key, row in kept.read({key: places[key] for key in rows}, ("mel",)):
        mel[rows.pop(key)] = row["mel"]
    if rows:
        raise InputError("features that were kept are gone meanwhile: run it again")
    return mel


def mean_spectrum(mel: FeatureSet) -> FeatureSet:
    """The mean over a clip's windows and frames: (n, w, 1, mel, t) -> (n, mel), in dB."""
    means = [row.mean(axis=(0, 1, 3), dtype=np.float32) for row in mel.values]
    return mel.derive(f"mean {mel.name}", np.stack(means))
