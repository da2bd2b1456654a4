from __future__ import annotations

import numpy as np
import pytest

from genre_vae.collection import audio
from genre_vae.features.spectral import N_MELS, extract, mel_filters
from genre_vae.records import InputError
from genre_vae.serving.sound import sonify
from tests.helpers import tone


def test_a_spectrogram_sounds_like_what_it_was_made_of() -> None:
    """A tone goes in as mel bands and comes out at its pitch."""
    windows = extract(tone(880, seconds=3), mel_filters()).mel
    wave = sonify(windows[0, 0].astype(np.float32), iterations=8)
    assert wave.dtype == np.float32
    assert np.abs(wave).max() == pytest.approx(0.9)
    spectrum = np.abs(np.fft.rfft(wave))
    peak = spectrum.argmax() * audio.SAMPLE_RATE / len(wave)
    assert windows.shape[2] == N_MELS
    assert abs(peak - 880) < 60  # a mel band of 64 is about this wide there


def test_what_is_no_spectrogram_is_refused() -> None:
    with pytest.raises(InputError, match="two axes, not 3"):
        sonify(np.zeros((1, 64, 128), np.float32))
