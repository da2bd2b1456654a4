"""The instruments of the demo corpus: functions of a frequency (Hz) and a length (s) that return
samples at 22,050 Hz."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np

from genre_vae.collection.audio import SAMPLE_RATE as RATE
from genre_vae.records import FloatArray


def _envelope(length: float, attack: float, decay: float, release: float = 0.03) -> FloatArray:
    """Linear attack, exponential decay (times in s), and a release that ends without a click."""
    t = np.arange(int(RATE * length)) / RATE
    shape = np.minimum(t / attack, 1) * np.exp(-np.maximum(t - attack, 0) / decay)
    return np.asarray(shape * np.clip((length - t) / release, 0, 1), dtype=np.float32)


def _tone(
    frequency: float, length: float, partials: tuple[float, ...], *, vibrato: float = 0.0
) -> FloatArray:
    """A sum of harmonics below the Nyquist frequency."""
    t = np.arange(int(RATE * length)) / RATE
    phase = 2 * np.pi * frequency * t + vibrato * np.sin(2 * np.pi * 5.5 * t)
    below = [(k, a) for k, a in enumerate(partials, 1) if k * frequency < 0.45 * RATE]
    return np.asarray(sum(a * np.sin(k * phase) for k, a in below), dtype=np.float32)


def _plucked(frequency: float, length: float, damping: float, seed: int) -> FloatArray:
    """Karplus & Strong (1983): a burst of noise in a delay line that loses its highs."""
    from scipy.signal import lfilter

    delay = max(2, round(RATE / frequency - 0.5))
    burst = np.zeros(int(RATE * length))
    burst[: min(delay, len(burst))] = np.random.default_rng(seed).uniform(-1, 1, delay)[
        : len(burst)
    ]
    feedback = np.zeros(delay + 2)
    feedback[0], feedback[delay : delay + 2] = 1, -damping / 2
    string = lfilter([1], feedback, burst)
    return np.asarray(string, dtype=np.float32)


@cache
def _noise() -> FloatArray:
    return np.random.default_rng(5).normal(size=RATE * 3).astype(np.float32)


def _kick(frequency: float, length: float) -> FloatArray:
    t = np.arange(int(RATE * length)) / RATE
    sweep = np.sin(2 * np.pi * (45 * t + 3.5 * (1 - np.exp(-t * 40))))
    return np.asarray(sweep * np.exp(-t * 14), dtype=np.float32)


def _snare(frequency: float, length: float) -> FloatArray:
    noise = _noise()[: int(RATE * length)]
    return 0.4 * noise * _envelope(length, 0.001, 0.06) + 0.5 * _tone(190, length, (1.0,)) * (
        _envelope(length, 0.001, 0.05)
    )


def _hat(frequency: float, length: float) -> FloatArray:
    noise = np.diff(_noise()[: int(RATE * length) + 1], n=1)
    return np.asarray(0.4 * noise * _envelope(length, 0.001, 0.035), dtype=np.float32)


def _saw(n: int) -> tuple[float, ...]:
    return tuple(0.6 / k for k in range(1, n + 1))


def _pitched(
    partials: tuple[float, ...], attack: float, decay: float, vibrato: float = 0.0
) -> Callable[[float, float], FloatArray]:
    """An instrument of harmonics: its spectrum, and how its notes begin and fade (s)."""

    def note(frequency: float, length: float) -> FloatArray:
        wave = _tone(frequency, length, partials, vibrato=vibrato)
        return wave * _envelope(length, attack, decay, release=0.05)

    return note


def _string(damping: float, fade: float, seed: int) -> Callable[[float, float], FloatArray]:
    """A plucked instrument: how dull its string is, and how soon it fades (s)."""
    return lambda frequency, length: (
        _plucked(frequency, length, damping, seed) * _envelope(length, 0.001, fade)
    )


def _power_chord(frequency: float, length: float) -> FloatArray:
    """Root and fifth an octave below, rich in harmonics: what a distorted guitar plays."""
    root, fifth = (_tone(ratio * frequency, length, _saw(14)) for ratio in (0.5, 0.75))
    return 0.5 * (root + fifth) * _envelope(length, 0.003, 0.9)


INSTRUMENTS: dict[str, Callable[[float, float], FloatArray]] = {
    "kick": _kick,
    "snare": _snare,
    "hat": _hat,
    "pluck": _string(0.994, 2.0, 1),
    "banjo": _string(0.985, 0.25, 2),
    "upright": _string(0.975, 0.6, 3),
    "sub": _pitched((1.2, 0.2), 0.01, 0.8),
    "synth": _pitched(_saw(12), 0.004, 0.3),
    "piano": _pitched((1, 0.5, 0.3, 0.15, 0.1, 0.05), 0.004, 0.6),
    "epiano": _pitched((1, 0.1, 0.25, 0.02), 0.006, 0.7),
    "organ": _pitched((1, 0.8, 0.5, 0.4, 0, 0.3), 0.008, 0.15),
    "strings": _pitched(_saw(10), 0.12, 3.0, 0.15),
    "pad": _pitched((0.7, 0.3, 0.2, 0.1, 0.1), 0.05, 2.0, 0.1),
    "brass": _pitched(_saw(16), 0.04, 1.0),
    "reed": _pitched((1, 0.1, 0.6, 0.08, 0.35, 0.05, 0.2), 0.03, 1.5, 0.3),
    "voice": _pitched((1, 0.7, 0.9, 0.3, 0.1, 0.1), 0.05, 2.0, 0.5),
    "power": _power_chord,
}
