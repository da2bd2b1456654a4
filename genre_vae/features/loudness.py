"""How loud a clip is, and the same clip at a stated level.

MFCCs, the descriptor and a tagger's input depend on level. A recording's level is what its makers,
and whoever copied it, set; a copy that is louder is the same music. The level is the root of the
mean square of all samples, which a gain moves by itself; perceived loudness (ITU-R BS.1770) would
weigh frequencies and leave out quiet parts, which is more than a gain needs.
"""

from __future__ import annotations

import numpy as np

from genre_vae.records import FloatArray, Loudness

LEVEL = -16.0  # dBFS: near the middle of commercial recordings (GTZAN-mini: -17)


def level(waveform: FloatArray) -> float:
    """The level of a clip (samples,) in dB below full scale; -inf for silence."""
    mean_square = np.square(waveform, dtype=np.float64).mean()
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(mean_square))


def adjusted(waveform: FloatArray, loudness: Loudness) -> FloatArray:
    """A clip (samples,) as its features are measured: at `LEVEL`, or as it is."""
    if loudness is Loudness.AS_IS:
        return waveform
    gain = 10 ** ((LEVEL - level(waveform)) / 20)
    return np.asarray(waveform * gain, dtype=np.float32)
