"""A clip's timbre, harmony, dynamics and rhythm, in 178 numbers.

Seven groups, each a function below with its definition and its source. What librosa has too is
defined as there (``tests/features/test_descriptor.py`` compares the two). All of it is computed
from the STFT that MFCC and mel windows need anyway: `measure` reads each block of its frames,
`describe` summarises the frames of a clip.

A gain changes one number only, ``mfcc_mean_0``, which is loudness: all levels are relative to the
clip's own peak. Frames are summarised where there is sound (`sounding`), so silence in a clip
changes its MFCC, loudness and rhythm, not its harmony and timbre.

Axes: ``t`` frames, ``b`` frames of a block.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import scipy.fft

from genre_vae.collection import audio
from genre_vae.features import rhythm
from genre_vae.features.stft import FRAME_RATE, FREQUENCIES, HOP_LENGTH, N_FFT
from genre_vae.records import Block, FloatArray, Geometry

Floats = npt.NDArray[np.floating]

NYQUIST = audio.SAMPLE_RATE / 2  # Hz
N_MFCC = 20
N_CHROMA = 12
N_CONTRAST = 7
CONTRAST_FMIN = 200.0  # Hz, the upper edge of the lowest band of spectral contrast
CONTRAST_QUANTILE = 0.02  # of a band's bins, the loudest and the softest
ROLL_OFFS = (0.5, 0.85)  # shares of a frame's magnitude
FLOOR_DB = 120.0  # below a sine as high as the clip's peak: its logarithm goes no lower
QUIET_DB = 60.0  # below the loudest frame: what is softer counts as silence
DELTA_FRAMES = 9  # librosa's width of a delta, 0.2 s
CHANGE_FRAMES = 8  # 0.19 s: two frames that share no sample
PERCENTILES = (10, 90)
LOUDNESS_PERCENTILES = (10, 25, 50, 75)

_SUMMARY = ("mean", "deviation", *(f"p{percentile}" for percentile in PERCENTILES))
_SHAPES = (
    *("centroid", "bandwidth", *(f"rolloff_{round(100 * share)}" for share in ROLL_OFFS)),
    *("log_flatness", "zero_crossings"),
)


def _numbered(prefix: str, numbers: range) -> tuple[str, ...]:
    return tuple(f"{prefix}_{number}" for number in numbers)


_NAMES: dict[str, tuple[str, ...]] = {
    "mfcc": _numbered("mfcc_mean", range(N_MFCC)) + _numbered("mfcc_deviation", range(N_MFCC)),
    "delta": _numbered("delta_deviation", range(N_MFCC))
    + _numbered("delta2_deviation", range(N_MFCC)),
    "chroma": (
        *_numbered("chroma_sorted", range(N_CHROMA)),
        *("chroma_entropy_of_mean", "chroma_entropy_mean"),
        *("chroma_strength_mean", "chroma_strength_deviation"),
        *("chroma_change_mean", "chroma_change_deviation"),
        *_numbered("chroma_fourier", range(1, N_CHROMA // 2 + 1)),
    ),
    "contrast": _numbered("contrast_mean", range(N_CONTRAST))
    + _numbered("contrast_deviation", range(N_CONTRAST)),
    "shape": tuple(f"{shape}_{statistic}" for shape in _SHAPES for statistic in _SUMMARY),
    "loudness": (
        "loudness_deviation",
        *(f"loudness_p{percentile}" for percentile in LOUDNESS_PERCENTILES),
        *("loudness_low_share", "loudness_change", "loudness_crest"),
    ),
    "rhythm": (
        *(f"onset_strength_{statistic}" for statistic in _SUMMARY),
        *(f"flux_{statistic}" for statistic in _SUMMARY),
        *("onsets_per_second", "pulse_clarity"),
        *(f"pulse_{round(low)}_{round(high)}" for low, high in pairwise(rhythm.TEMPI.tolist())),
    ),
}
NAMES = tuple(name for names in _NAMES.values() for name in names)
_ENDS = np.cumsum([len(names) for names in _NAMES.values()]).tolist()
GROUPS = {  # where each group lies in the descriptor
    group: slice(end - len(names), end)
    for (group, names), end in zip(_NAMES.items(), _ENDS, strict=True)
}
# A group is a side of the sound, and counts as much as another however many numbers describe it.
# Together they weigh as much as one block of another input.
BLOCKS = tuple(
    Block(f"descriptor {group}", where.stop - where.start, Geometry.STANDARDISED, 1 / len(GROUPS))
    for group, where in GROUPS.items()
)


class Frames(NamedTuple):
    """What `measure` finds in each frame: ``chroma`` (t, 12), ``contrast`` (t, 7) in dB and
    ``shape`` (t, 5), which are centroid, bandwidth, two roll-offs in Hz and log flatness."""

    chroma: FloatArray
    contrast: FloatArray
    shape: FloatArray


def magnitude_floor(waveform: FloatArray) -> float:
    """The magnitude, in the unit of the STFT, that is 120 dB below a sine as high as the clip's
    peak. The rounding of 16-bit samples lies there: the logarithm of less would describe the file,
    not the music."""
    peak = float(np.abs(waveform).max())
    return max(peak * N_FFT / 4 * 10 ** (-FLOOR_DB / 20), 1e-16)  # whose square is still a float32


def measure(power: FloatArray, floor: float) -> Frames:
    """Chroma, contrast and shape of a block of frames: power (b, 1025), the `magnitude_floor`."""
    magnitude = np.sqrt(power)
    return Frames(
        frame_chroma(power), frame_contrast(magnitude, floor), frame_shape(magnitude, floor)
    )


def frame_chroma(power: FloatArray) -> FloatArray:
    """The power in each pitch class, relative to the strongest: (b, 1025) -> (b, 12) from C to B.

    ``librosa.feature.chroma_stft`` with the tuning at A = 440 Hz. A silent frame gives zeros.
    """
    chroma = power @ chroma_filters().T
    strongest = chroma.max(axis=1, keepdims=True)
    relative: FloatArray = chroma / np.maximum(strongest, np.finfo(np.float32).tiny)
    return relative


@cache
def chroma_filters() -> FloatArray:
    """The weight of each bin in each pitch class: (12, 1025).

    A bin's weights are a Gaussian of its distance to the class, a semitone wide in all, and have
    unit length; another Gaussian, two octaves wide, makes most of the octave above middle A.
    ``librosa.filters.chroma`` with its defaults, after Ellis (2007), "Chroma feature analysis and
    synthesis"; here without the second that librosa takes to import.
    """
    frequencies = np.append(FREQUENCIES[1:], NYQUIST + FREQUENCIES[1])  # and the bin after the last
    semitones = 12 * np.log2(frequencies / 27.5)
    semitones = np.insert(semitones, 0, semitones[0] - 18)  # 0 Hz has no pitch: it is spread widely
    width = np.maximum(np.diff(semitones), 1)  # a low bin spans several semitones
    semitones = semitones[:-1]
    classes = np.arange(N_CHROMA)[:, None] - 9  # 27.5 Hz is an A, and the first class is C
    distance = (semitones - classes + 6) % 12 - 6
    weights = np.exp(-0.5 * (2 * distance / width) ** 2)
    weights /= np.linalg.norm(weights, axis=0)
    weights *= np.exp(-0.5 * ((semitones / 12 - 5) / 2) ** 2)
    return weights.astype(np.float32)


def frame_contrast(magnitude: FloatArray, floor: float) -> FloatArray:
    """The level of each band's loudest bins above its softest: (b, 1025) -> (b, 7) dB.

    The bands are octaves from 200 Hz, with one below and the highest up to 11 kHz; the mean
    magnitude of the loudest 2 % of a band's bins, one at least, is compared with that of the
    softest 2 %. A high value is a tone, a low one noise. ``librosa.feature.spectral_contrast``,
    whose decibels are ``10 log10`` of a magnitude; after Jiang, Lu, Zhang, Tao & Cai (2002), "Music
    type classification by spectral contrast feature".
    """
    octaves = CONTRAST_FMIN * 2.0 ** np.arange(N_CONTRAST - 1)
    inner = np.searchsorted(FREQUENCIES, octaves, side="right") - 1
    contrast = np.empty((len(magnitude), N_CONTRAST), dtype=np.float32)
    for band, (start, stop) in enumerate(pairwise((0, *inner, len(FREQUENCIES)))):
        ordered = np.sort(magnitude[:, start:stop], axis=1)
        count = max(1, round(CONTRAST_QUANTILE * (stop - start + 1)))  # librosa counts one bin more
        peak, valley = ordered[:, -count:].mean(axis=1), ordered[:, :count].mean(axis=1)
        contrast[:, band] = 10 * np.log10(np.maximum(peak, floor) / np.maximum(valley, floor))
    return contrast


def frame_shape(magnitude: FloatArray, floor: float) -> FloatArray:
    """Where a spectrum lies and how wide and how flat it is: (b, 1025) -> (b, 5).

    Centroid and bandwidth are the mean and the standard deviation of the frequency, in Hz, weighted
    by magnitude; a roll-off is the frequency in Hz below which a share of the magnitude lies;
    flatness is the ratio of the geometric to the arithmetic mean of the power, here its natural
    logarithm, 0 for a flat spectrum. ``librosa.feature.spectral_centroid`` and its neighbours;
    after Peeters (2004), "A large set of audio features for sound description". A silent frame
    gives zeros.
    """
    cumulative = np.cumsum(magnitude, axis=1)
    total = cumulative[:, -1:]
    roll_offs = [FREQUENCIES[(cumulative >= share * total).argmax(axis=1)] for share in ROLL_OFFS]
    frequencies = (FREQUENCIES / NYQUIST).astype(np.float32)
    weighted = magnitude @ np.stack([frequencies, frequencies**2], axis=1)
    moments = weighted / np.maximum(total, np.finfo(np.float32).tiny)
    spread = np.sqrt(np.maximum(moments[:, 1] - moments[:, 0] ** 2, 0))
    floored = np.maximum(magnitude, np.float32(floor))
    log_flatness = 2 * np.log(floored).mean(axis=1) - np.log((floored**2).mean(axis=1))
    shape = (moments[:, 0] * NYQUIST, spread * NYQUIST, *roll_offs, log_flatness)
    return np.stack(shape, axis=1).astype(np.float32)


def root_mean_square(waveform: FloatArray) -> Floats:
    """The RMS amplitude of each frame: (samples,) -> (t,), as ``librosa.feature.rms``."""
    amplitude: Floats = np.sqrt(_frame_sums(waveform**2) / N_FFT)
    return amplitude


def zero_crossing_rate(waveform: FloatArray) -> Floats:
    """The share of a frame's samples whose sign is not that of the sample before: (samples,) ->
    (t,), as ``librosa.feature.zero_crossing_rate``."""
    negative = waveform < 0
    crossings = np.diff(negative, prepend=negative[:1]).astype(np.float32)
    rate: Floats = _frame_sums(crossings) / N_FFT
    return rate


def _frame_sums(values: FloatArray) -> FloatArray:
    """The sum over each centred frame of the STFT: (samples,) -> (t,). Frames overlap, so each hop
    is summed once."""
    t, hops = 1 + len(values) // HOP_LENGTH, N_FFT // HOP_LENGTH
    padded = np.pad(values, N_FFT // 2)[: (t + hops - 1) * HOP_LENGTH]
    sums = padded.reshape(-1, HOP_LENGTH).sum(axis=1)
    per_frame: FloatArray = np.lib.stride_tricks.sliding_window_view(sums, hops).sum(axis=1)
    return per_frame


def describe(
    waveform: FloatArray, log_mel: FloatArray, mfcc: FloatArray, frames: Frames
) -> FloatArray:
    """The descriptor of a clip.

    Parameters
    ----------
    waveform : (samples,)
    log_mel : (128, t)
        Power in mel bands, in dB.
    mfcc : (20, t)
    frames
        From `measure`, of all frames of the clip.

    Returns
    -------
    (178,) float32
        In the order of `NAMES`.
    """
    rms, crossings = root_mean_square(waveform), zero_crossing_rate(waveform)
    # A frame that reaches past an end of the clip hears a step there which is not in the music.
    half = N_FFT // HOP_LENGTH // 2
    inside = slice(half, -half) if len(rms) > 2 * half + 1 else slice(None)
    rms = rms[inside]
    sounding = rms >= 10 ** (-QUIET_DB / 20) * rms.max()
    shape = np.column_stack([frames.shape, crossings])[inside]
    groups = {
        "mfcc": mfcc_statistics(mfcc),
        "delta": delta_deviations(mfcc),
        "chroma": chroma_statistics(frames.chroma[inside], sounding),
        "contrast": contrast_statistics(frames.contrast[inside][sounding]),
        "shape": summary(shape[sounding]),
        "loudness": loudness_statistics(rms, peak=float(np.abs(waveform).max())),
        "rhythm": rhythm_statistics(log_mel[:, inside]),
    }
    return np.concatenate([groups[group] for group in GROUPS]).astype(np.float32)


def summary(values: Floats) -> Floats:
    """Mean, standard deviation, 10th and 90th percentile of each column: (t, k) -> (4 k,)."""
    statistics = (
        values.mean(axis=0),
        values.std(axis=0),
        *np.percentile(values, PERCENTILES, axis=0),
    )
    return np.stack(statistics, axis=1).ravel()


def mfcc_statistics(mfcc: Floats) -> Floats:
    """The mean of each coefficient over the clip, then the standard deviations: (20, t) -> (40,).

    The envelope of the spectrum, from coarse to fine; the mean of coefficient 0 is the loudness.
    After Davis & Mermelstein (1980) and, for music, Logan (2000), "Mel frequency cepstral
    coefficients for music modeling".
    """
    return np.concatenate([mfcc.mean(axis=1), mfcc.std(axis=1)])


def delta_deviations(mfcc: Floats) -> Floats:
    """The standard deviation of each coefficient's first and second derivative: (20, t) -> (40,).

    How quickly the envelope moves. The derivatives are the slope of a straight line and the
    curvature of a parabola, fitted to 9 frames (Savitzky & Golay, 1964), as
    ``librosa.feature.delta`` has them where there are 4 frames on each side; after Furui (1986),
    "Speaker-independent isolated word recognition using dynamic features of speech spectrum". Zeros
    for fewer than 9 frames.
    """
    if mfcc.shape[1] < DELTA_FRAMES:
        return np.zeros(2 * len(mfcc))
    line = np.arange(DELTA_FRAMES) - DELTA_FRAMES // 2
    parabola = line**2 - np.mean(line**2)
    fits = np.stack([line / (line @ line), 2 * parabola / (parabola @ parabola)], axis=1)
    windows = np.lib.stride_tricks.sliding_window_view(mfcc, DELTA_FRAMES, axis=1)
    deltas: Floats = windows @ fits.astype(np.float32)  # (20, t - 8, 2)
    deviations: Floats = deltas.std(axis=1)
    return deviations.T.ravel()


def chroma_statistics(chroma: Floats, sounding: npt.NDArray[np.bool_]) -> Floats:
    """What is left of the pitch classes when the key is forgotten: (t, 12), (t,) -> (24,).

    The mean of each class, the strongest first; the entropy of the mean profile and the mean
    entropy of the profiles (0 for one class, 1 for all twelve alike); mean and deviation of the
    strongest class's share; mean and deviation of the change within 0.19 s (0 for the same profile,
    1 for no class in common); magnitudes of the Fourier coefficients 1 to 6 of the mean profile,
    which tell chromatic clusters (1), tritones (2), augmented triads (3), diminished sevenths (4),
    fifths (5: diatonic music) and whole tones (6). None of it depends on the key. After Müller
    (2015), "Fundamentals of music processing", chapter 5; Harte, Sandler & Gasser (2006),
    "Detecting harmonic change in musical audio"; Amiot (2016), "Music through Fourier space".

    Parameters
    ----------
    chroma : (t, 12)
        From `frame_chroma`.
    sounding : (t,)
        Which frames have sound; the others are left out.
    """
    profiles = chroma / np.maximum(chroma.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
    both = sounding[CHANGE_FRAMES:] & sounding[:-CHANGE_FRAMES]
    change = np.abs(profiles[CHANGE_FRAMES:] - profiles[:-CHANGE_FRAMES]).sum(axis=1)[both] / 2
    chroma, profiles = chroma[sounding], profiles[sounding]
    profile, strength = profiles.mean(axis=0), profiles.max(axis=1)
    return np.array(
        [
            *np.sort(chroma.mean(axis=0))[::-1],
            *(_entropy(profile), _entropy(profiles).mean()),
            *(strength.mean(), strength.std()),
            *((change.mean(), change.std()) if len(change) else (0, 0)),
            *np.abs(scipy.fft.rfft(profile))[1:],
        ]
    )


def _entropy(profiles: Floats) -> Floats:
    """The entropy of shares (..., 12) that sum to 1, relative to that of equal shares: (...)."""
    shares = np.maximum(profiles, np.finfo(np.float32).tiny)
    entropy: Floats = -(shares * np.log(shares)).sum(axis=-1) / np.log(N_CHROMA)
    return entropy


def contrast_statistics(contrast: Floats) -> Floats:
    """The mean of each band's contrast, then the standard deviations: (t, 7) -> (14,)."""
    return np.concatenate([contrast.mean(axis=0), contrast.std(axis=0)])


def loudness_statistics(rms: Floats, *, peak: float) -> Floats:
    """How the level moves, whatever the gain: (t,) -> (8,).

    The standard deviation of the frames' level; their 10th, 25th, 50th and 75th percentile below
    the loudest frame; the share of frames with less than the mean amplitude (Tzanetakis & Cook,
    2002, "Musical genre classification of audio signals": low energy); the mean change from frame
    to frame; the crest factor, the peak above the whole clip's RMS. All in dB but the share; a
    frame more than 60 dB below the loudest counts as 60.

    Parameters
    ----------
    rms : (t,)
        From `root_mean_square`.
    peak
        The clip's highest absolute sample.
    """
    least = np.finfo(np.float32).tiny
    level = 20 * np.log10(np.maximum(rms, least) / max(rms.max(), least))
    level = np.maximum(level, -QUIET_DB)
    return np.array(
        [
            level.std(),
            *np.percentile(level, LOUDNESS_PERCENTILES),
            (rms < rms.mean()).mean(),
            np.abs(np.diff(level)).mean() if len(level) > 1 else 0,
            20 * np.log10(max(peak, least) / max(np.sqrt((rms**2).mean()), least)),
        ]
    )


def rhythm_statistics(log_mel: Floats) -> Floats:
    """Onsets, flux and pulse: (128, t) -> (28,).

    Mean, deviation, 10th and 90th percentile of onset strength and of flux; onsets a second; the
    highest correlation of the pulse, and its correlation in each band of tempo.
    """
    strength = rhythm.onset_strength(log_mel)
    correlations = rhythm.pulse(strength)
    return np.concatenate(
        [
            summary(strength[:, None]),
            summary(rhythm.flux(log_mel)[:, None]),
            [rhythm.count_onsets(strength) * FRAME_RATE / len(strength), correlations.max()],
            correlations,
        ]
    )
