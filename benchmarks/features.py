"""How the feature times were measured: python benchmarks/features.py <folder of audio>.

CPU milliseconds per clip on one thread: librosa twice, once for the MFCC and once for the mel
spectrogram, against this project's one pass; then the wall time of the whole folder.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import joblib
import librosa
import numpy as np
from threadpoolctl import threadpool_limits

from genre_vae.collection import audio
from genre_vae.collection.catalog import scan
from genre_vae.features import spectral


def naive(path: str) -> None:
    waveform, rate = librosa.load(path, sr=22050, duration=30)
    mfcc = librosa.feature.mfcc(y=waveform, sr=rate, n_mfcc=20)
    np.concatenate([mfcc.mean(axis=1), mfcc.std(axis=1)])
    waveform, rate = librosa.load(path, sr=22050, duration=30)
    mel = librosa.feature.melspectrogram(y=waveform, sr=rate, n_mels=64)
    librosa.power_to_db(mel, ref=np.max)


def one_pass(path: str) -> None:
    spectral.extract(audio.load(path), spectral.mel_filters())


def cpu_ms(function: Callable[[str], None], path: str) -> float:
    before = time.process_time()
    function(path)
    return 1000 * (time.process_time() - before)


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
    print(f"librosa, two passes  {statistics.median(theirs):6.1f} ms a clip")
    print(
        f"one pass             {statistics.median(ours):6.1f} ms a clip, median ratio {ratio:.1f}"
    )
    started = time.perf_counter()
    spectral.extract_catalog(catalog, workers=joblib.cpu_count())
    wall = time.perf_counter() - started
    print(f"the folder           {wall:6.1f} s for {len(catalog.tracks)} files")


if __name__ == "__main__":
    main()
