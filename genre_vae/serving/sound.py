"""Spectrograms made audible."""

from __future__ import annotations

import numpy as np

from genre_vae.collection import audio
from genre_vae.features import spectral
from genre_vae.records import FloatArray, InputError


def sonify(mel: FloatArray, *, iterations: int = 64) -> FloatArray:
    """The sound of a log-mel spectrogram, by the algorithm of Griffin & Lim (1984).

    A spectrogram has no phase; the algorithm finds one from a random start.

    Parameters
    ----------
    mel : (mel, t)
        Power in dB relative to the peak.
    iterations
        Number of iterations.

    Returns
    -------
    (samples,) float32
        Sampled at 22,050 Hz, with a peak of 0.9.

    Raises
    ------
    InputError
        If the spectrogram does not have two axes.
    """
    import librosa

    if mel.ndim != 2:
        raise InputError(f"a spectrogram has two axes, not {mel.ndim}")
    power = librosa.db_to_power(np.asarray(mel, dtype=np.float32))
    wave = librosa.feature.inverse.mel_to_audio(
        power,
        sr=audio.SAMPLE_RATE,
        n_fft=spectral.N_FFT,
        hop_length=spectral.HOP_LENGTH,
        n_iter=iterations,
    )
    peak = np.abs(wave).max()
    return np.asarray(0.9 * wave / peak if peak > 0 else wave, dtype=np.float32)
