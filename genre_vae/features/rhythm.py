"""Onsets, flux and pulse of a log-mel spectrogram.

Axes: ``t`` frames.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy.ndimage

from genre_vae.features.stft import FRAME_RATE

Floats = npt.NDArray[np.floating]

N_TEMPI = 18
TEMPI = 40.0 * 2 ** (np.arange(N_TEMPI + 1) / 6)  # beats a minute, the edges of the bands
MIN_PRODUCTS = 16  # frames, 0.37 s: an autocorrelation of fewer products says nothing
ONSET_DB = 1.0  # by which an onset stands out of its surroundings
LEAST_RHYTHM_DB = 0.1  # standard deviation of an onset strength that is not taken for constant
ONSET_FRAMES = 4  # 0.1 s on each side, an onset's surroundings


def onset_strength(log_mel: Floats) -> Floats:
    """The mean rise over the mel bands, in dB from one frame to the next; a fall counts as none:
    (128, t) -> (t - 1,).

    ``librosa.onset.onset_strength``, without its shift; after Böck & Widmer (2013), "Maximum filter
    vibrato suppression for onset detection".
    """
    strength: Floats = np.maximum(np.diff(log_mel, axis=1), 0).mean(axis=0)
    return strength


def flux(log_mel: Floats) -> Floats:
    """How much the distribution of magnitude over the mel bands changes from one frame to the next,
    0 for not at all and 1 for entirely: (128, t) -> (t - 1,).

    Tzanetakis & Cook (2002), here of mel bands instead of bins, and of absolute differences.
    """
    magnitude = np.exp((log_mel - log_mel.max()) * (np.log(10) / 20))
    share = magnitude / magnitude.sum(axis=0)
    change: Floats = np.abs(np.diff(share, axis=1)).sum(axis=0) / 2
    return change


def count_onsets(strength: Floats) -> int:
    """The number of onsets in an onset strength (t,).

    An onset is the highest value within 0.1 s, and at least 1 dB above the mean within 0.1 s: the
    rule of Böck, Krebs & Schedl (2012), "Evaluating the online capabilities of onset detection
    methods", with a threshold in dB, which no louder passage elsewhere in the clip can raise.
    """
    width = 2 * ONSET_FRAMES + 1
    highest = scipy.ndimage.maximum_filter1d(strength, width)
    mean = scipy.ndimage.uniform_filter1d(strength, width)
    return int(((strength == highest) & (strength >= mean + ONSET_DB)).sum())


def pulse(strength: Floats) -> Floats:
    """The autocorrelation of an onset strength in 18 bands of tempo: (t,) -> (18,).

    The bands are sixths of an octave from 40 to 320 beats a minute (lags of 1.5 to 0.19 s), and a
    band's value is the highest correlation coefficient among the lags in it: near 1 for a strict
    beat of that tempo, around 0 for none. A tempo's half and third are periods too. A band whose
    lags leave fewer than 16 pairs of frames is 0, which happens in clips of under 2 s. A rhythm of
    less than 0.1 dB counts as none. After Grosche, Müller & Kurth (2010), "Cyclic tempogram", and
    Tzanetakis & Cook (2002): beat histogram.
    """
    centred = strength - strength.mean()
    found = np.zeros(N_TEMPI)
    for band, lags in enumerate(tempo_lags()):
        usable = [lag for lag in lags if len(centred) - lag >= MIN_PRODUCTS]
        found[band] = max((_correlation(centred, lag) for lag in usable), default=0)
    return found


def tempo_lags() -> list[list[int]]:
    """The lags in each band of tempo, in frames; each has one at least."""
    lags = np.arange(1, 2 * round(FRAME_RATE))
    band = np.searchsorted(TEMPI, 60 * FRAME_RATE / lags, side="right") - 1
    return [lags[band == number].tolist() for number in range(N_TEMPI)]


def _correlation(centred: Floats, lag: int) -> float:
    earlier, later = centred[:-lag], centred[lag:]
    least = len(earlier) * LEAST_RHYTHM_DB**2
    energy = np.sqrt((earlier @ earlier + least) * (later @ later + least))
    return float(earlier @ later / energy)
