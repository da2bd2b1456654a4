"""How the feature times were measured: python benchmarks/features.py <folder of audio>.

CPU milliseconds per clip on one thread, medians: librosa twice, once for the MFCC and once for the
mel spectrogram, against this project's one pass; then each group of the descriptor as it is
computed here, from the STFT that MFCC and mel windows need anyway, beside librosa's own functions;
then the wall time of the whole folder.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple, TypeVar

import joblib
import librosa
import numpy as np
import scipy.fft
from threadpoolctl import threadpool_limits

from genre_vae.collection import audio
from genre_vae.collection.catalog import scan
from genre_vae.features import descriptor, spectral, stft
from genre_vae.records import FloatArray

T = TypeVar("T")


def naive(path: str) -> None:
    waveform, rate = librosa.load(path, sr=22050, duration=30)
    mfcc = librosa.feature.mfcc(y=waveform, sr=rate, n_mfcc=20)
    np.concatenate([mfcc.mean(axis=1), mfcc.std(axis=1)])
    waveform, rate = librosa.load(path, sr=22050, duration=30)
    mel = librosa.feature.melspectrogram(y=waveform, sr=rate, n_mels=64)
    librosa.power_to_db(mel, ref=np.max)


def one_pass(path: str) -> None:
    spectral.extract(audio.load(path).waveform, spectral.mel_filters())


class Clip(NamedTuple):
    """What the groups read: the spectra in blocks, as `spectral.extract` has them."""

    waveform: FloatArray
    powers: list[FloatArray]
    magnitudes: list[FloatArray]
    log_mel: FloatArray
    mfcc: FloatArray


def read(path: str) -> Clip:
    waveform = audio.load(path).waveform
    powers = list(stft.power_spectra(waveform))
    mel = spectral.mel_power(waveform, spectral.mel_filters())[: spectral.N_MELS_MFCC]
    log_mel = spectral.power_to_db(mel, ref=1.0)
    mfcc = scipy.fft.dct(log_mel, axis=0, type=2, norm="ortho")[: spectral.N_MFCC]
    return Clip(waveform, powers, [np.sqrt(power) for power in powers], log_mel, mfcc)


def chroma(clip: Clip) -> None:
    frames = np.concatenate([descriptor.frame_chroma(power) for power in clip.powers])
    descriptor.chroma_statistics(frames, np.ones(len(frames), dtype=bool))


def contrast(clip: Clip) -> None:
    floor = descriptor.magnitude_floor(clip.waveform)
    blocks = [descriptor.frame_contrast(magnitude, floor) for magnitude in clip.magnitudes]
    descriptor.contrast_statistics(np.concatenate(blocks))


def shape(clip: Clip) -> None:
    floor = descriptor.magnitude_floor(clip.waveform)
    blocks = [descriptor.frame_shape(magnitude, floor) for magnitude in clip.magnitudes]
    crossings = descriptor.zero_crossing_rate(clip.waveform)
    descriptor.summary(np.column_stack([np.concatenate(blocks), crossings]))


def loudness(clip: Clip) -> None:
    rms = descriptor.root_mean_square(clip.waveform)
    descriptor.loudness_statistics(rms, peak=float(np.abs(clip.waveform).max()))


OURS: dict[str, Callable[[Clip], object]] = {
    "delta": lambda clip: descriptor.delta_deviations(clip.mfcc),
    "chroma": chroma,
    "contrast": contrast,
    "shape": shape,
    "loudness": loudness,
    "rhythm": lambda clip: descriptor.rhythm_statistics(clip.log_mel),
}


def librosa_delta(y: FloatArray) -> None:
    mfcc = librosa.feature.mfcc(y=y)
    for order in (1, 2):
        librosa.feature.delta(mfcc, order=order)


def librosa_shape(y: FloatArray) -> None:
    librosa.feature.spectral_centroid(y=y)
    librosa.feature.spectral_bandwidth(y=y)
    for share in descriptor.ROLL_OFFS:
        librosa.feature.spectral_rolloff(y=y, roll_percent=share)
    librosa.feature.spectral_flatness(y=y)
    librosa.feature.zero_crossing_rate(y=y)


def librosa_rhythm(y: FloatArray) -> None:
    strength = librosa.onset.onset_strength(y=y)
    librosa.onset.onset_detect(onset_envelope=strength)
    librosa.autocorrelate(strength)


THEIRS: dict[str, Callable[[FloatArray], object]] = {
    "delta": librosa_delta,
    "chroma": lambda y: librosa.feature.chroma_stft(y=y, tuning=0),
    "contrast": lambda y: librosa.feature.spectral_contrast(y=y),
    "shape": librosa_shape,
    "loudness": lambda y: librosa.feature.rms(y=y),
    "rhythm": librosa_rhythm,
}


def cpu_ms(function: Callable[[T], object], argument: T) -> float:
    before = time.process_time()
    function(argument)
    return 1000 * (time.process_time() - before)


def groups(paths: list[str]) -> None:
    """Print the time of each group of the descriptor, ours and librosa's."""
    clips = [read(path) for path in paths]
    print("beside the STFT         ours   librosa, ms a clip")
    for name in OURS:
        OURS[name](clips[0])  # imports and caches
        THEIRS[name](clips[0].waveform)
        ours = [cpu_ms(OURS[name], clip) for clip in clips]
        theirs = [cpu_ms(THEIRS[name], clip.waveform) for clip in clips]
        print(f"{name:<20} {statistics.median(ours):7.1f} {statistics.median(theirs):9.1f}")


def main() -> None:
    catalog = scan(Path(sys.argv[1]))
    paths = catalog.tracks["path"].tolist()[:40]
    for function in (naive, one_pass):
        function(paths[0])  # imports and caches
    ours, theirs = [], []
    with threadpool_limits(1):
        for path in paths:  # in turn, so that the machine's drift affects both
            theirs.append(cpu_ms(naive, path))
            ours.append(cpu_ms(one_pass, path))
        ratio = statistics.median(a / b for a, b in zip(theirs, ours, strict=True))
        print(
            f"librosa, two passes, without descriptor  {statistics.median(theirs):6.1f} ms a clip"
        )
        print(
            f"one pass, with descriptor                {statistics.median(ours):6.1f} ms a clip, "
            f"median ratio {ratio:.1f}"
        )
        groups(paths[:10])
    started = time.perf_counter()
    spectral.extract_catalog(catalog, workers=joblib.cpu_count())
    wall = time.perf_counter() - started
    print(f"the folder           {wall:6.1f} s for {len(catalog.tracks)} files")


if __name__ == "__main__":
    main()
