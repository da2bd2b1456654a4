"""The short-time Fourier transform that MFCC, mel windows and the descriptor share.

Axes: ``t`` frames, ``b`` frames of a block.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.fft

from genre_vae.collection import audio
from genre_vae.records import FloatArray

N_FFT = 2048
HOP_LENGTH = 512
FRAME_RATE = audio.SAMPLE_RATE / HOP_LENGTH  # Hz
FREQUENCIES = np.fft.rfftfreq(N_FFT, 1 / audio.SAMPLE_RATE)  # Hz, of the 1025 bins
BLOCK_FRAMES = 128  # frames transformed at a time, so that the work stays in cache


def power_spectra(
    waveform: FloatArray, *, n_fft: int = N_FFT, hop_length: int = HOP_LENGTH
) -> Iterator[FloatArray]:
    """The power of a zero-padded, centred, Hann-windowed STFT, a block of frames at a time.

    Parameters
    ----------
    waveform : (samples,) float32
    n_fft, hop_length
        Lengths in samples.

    Yields
    ------
    (b, 1 + n_fft // 2) float32
        There are ``t = 1 + samples // hop_length`` frames in all.
    """
    window = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)
    padded = np.pad(waveform, n_fft // 2)
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft)[::hop_length]
    for start in range(0, len(frames), BLOCK_FRAMES):
        spectrum = scipy.fft.rfft(frames[start : start + BLOCK_FRAMES] * window, axis=1)
        yield spectrum.real**2 + spectrum.imag**2
