from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import numpy.typing as npt
import pytest
import scipy.signal

from genre_vae.collection import audio
from genre_vae.features import descriptor, rhythm, spectral, stft
from genre_vae.features.descriptor import GROUPS, NAMES
from genre_vae.records import FloatArray
from tests.helpers import tone

RATE = audio.SAMPLE_RATE
KEYLESS = ("chroma_sorted", "chroma_entropy", "chroma_strength", "chroma_change", "chroma_fourier")


def described(waveform: FloatArray) -> FloatArray:
    return spectral.extract(waveform, spectral.mel_filters()).descriptor


def value(found: FloatArray, name: str) -> float:
    return float(found[NAMES.index(name)])


def group(found: FloatArray, name: str) -> FloatArray:
    return found[GROUPS[name]]


def frames_of(waveform: FloatArray, *, floor: float) -> descriptor.Frames:
    blocks = [descriptor.measure(power, floor) for power in stft.power_spectra(waveform)]
    return descriptor.Frames(*map(np.concatenate, zip(*blocks, strict=True)))


def noise(seconds: float = 3.0, *, seed: int = 0) -> FloatArray:
    samples = np.random.default_rng(seed).normal(size=round(seconds * RATE))
    return (0.1 * samples).astype(np.float32)


def metronome(tempo: float, seconds: float = 8.0, *, start: float = 0.1) -> FloatArray:
    """Clicks of decaying noise, `tempo` a minute, over a quiet hiss."""
    waveform = 0.01 * noise(seconds)
    click = noise(0.05, seed=1) * np.exp(-np.arange(round(0.05 * RATE)) / 300).astype(np.float32)
    for at in np.arange(start, seconds - 0.05, 60 / tempo):
        first = round(at * RATE)
        waveform[first : first + len(click)] += click
    return waveform


def melody(semitones: int = 0) -> FloatArray:
    """A C major arpeggio of tones with four harmonics, from C5, transposed, with some hiss."""
    notes = []
    for step in (0, 4, 7, 12, 7, 4, 0, 5, 9, 7):
        pitch = 523.25 * 2 ** ((step + semitones) / 12)
        note = sum(tone(pitch * k, 0.4) / k for k in range(1, 5))
        notes.append(note * np.hanning(round(0.4 * RATE)))
    waveform = np.concatenate(notes)
    mixed: FloatArray = (0.3 * waveform + 0.001 * noise(4.0)[: len(waveform)]).astype(np.float32)
    return mixed


def song() -> FloatArray:
    """Tones that come and go, clicks and hiss."""
    mixed: FloatArray = melody() + 0.5 * metronome(100, 4.0)[: 10 * round(0.4 * RATE)]
    return mixed


def band_of(tempo: float) -> int:
    return int(np.searchsorted(rhythm.TEMPI, tempo, side="right")) - 1


def test_every_number_has_a_name_and_a_group() -> None:
    assert len(NAMES) == len(set(NAMES)) == len(described(song()))
    assert [name for where in GROUPS.values() for name in NAMES[where]] == list(NAMES)
    assert {name: len(NAMES[where]) for name, where in GROUPS.items()} == {
        "mfcc": 40,
        "delta": 40,
        "chroma": 24,
        "contrast": 14,
        "shape": 24,
        "loudness": 8,
        "rhythm": 28,
    }


def test_it_contains_the_mfcc_statistics() -> None:
    found = spectral.extract(song(), spectral.mel_filters())
    np.testing.assert_array_equal(group(found.descriptor, "mfcc"), found.mfcc)


def assert_agrees_with_librosa(waveform: FloatArray) -> None:
    """Frame by frame, with librosa's definitions on librosa's own spectrogram."""
    found = frames_of(waveform, floor=1e-5)  # librosa's flatness has this one, whatever the gain
    magnitude = np.abs(librosa.stft(waveform))
    feature = librosa.feature
    rms = feature.rms(y=waveform)[0]
    sounding = rms > 1e-3 * rms.max()  # librosa's floors are absolute, and matter in silence

    def assert_close(ours: npt.ArrayLike, theirs: FloatArray, *, atol: float) -> None:
        found = np.atleast_2d(np.asarray(ours))
        np.testing.assert_allclose(found[:, sounding], theirs[:, sounding], atol=atol, rtol=1e-4)

    centroid, bandwidth, low, high, flatness = found.shape.T
    assert_close(centroid, feature.spectral_centroid(S=magnitude), atol=1)  # Hz
    assert_close(bandwidth, feature.spectral_bandwidth(S=magnitude), atol=1)
    one_bin = RATE / stft.N_FFT  # a share may be reached a rounding error earlier or later
    roll_off = feature.spectral_rolloff
    assert_close(low, roll_off(S=magnitude, roll_percent=0.5), atol=1.01 * one_bin)
    assert_close(high, roll_off(S=magnitude, roll_percent=0.85), atol=1.01 * one_bin)
    assert_close(flatness, np.log(feature.spectral_flatness(S=magnitude)), atol=2e-3)
    assert_close(found.contrast.T, feature.spectral_contrast(S=magnitude), atol=0.1)  # dB
    assert_close(found.chroma.T, feature.chroma_stft(S=magnitude**2, tuning=0), atol=1e-3)
    assert_close(descriptor.root_mean_square(waveform), rms[None], atol=1e-6)
    crossings = feature.zero_crossing_rate(waveform)
    inside = slice(2, -2)  # librosa repeats the first and the last sample beyond the ends
    np.testing.assert_allclose(
        descriptor.zero_crossing_rate(waveform)[inside],
        crossings[0, inside],
        atol=1.01 / stft.N_FFT,  # librosa leaves a frame's first sample out
    )

    mel = librosa.power_to_db(feature.melspectrogram(y=waveform))
    onset = librosa.onset.onset_strength(S=mel, center=False)[1:]
    np.testing.assert_allclose(rhythm.onset_strength(mel), onset, atol=1e-5)
    mfcc = feature.mfcc(S=mel)
    inner = slice(4, -4)  # librosa extrapolates a delta at the ends
    deviations = [feature.delta(mfcc, order=order)[:, inner].std(axis=1) for order in (1, 2)]
    np.testing.assert_allclose(
        group(described(waveform), "delta"), np.concatenate(deviations), rtol=1e-3, atol=1e-3
    )


def test_a_made_clip_agrees_with_librosa() -> None:
    assert_agrees_with_librosa(song() + 0.05 * noise(4.0)[: len(song())])
    assert_agrees_with_librosa(noise())


def test_real_clips_agree_with_librosa(gtzan_mini: Path) -> None:
    for genre in ("jazz", "metal"):
        assert_agrees_with_librosa(
            audio.load(gtzan_mini / f"genres/{genre}/{genre}.00004.wav").waveform
        )


def test_chroma_filters_are_those_of_librosa() -> None:
    theirs = librosa.filters.chroma(sr=RATE, n_fft=stft.N_FFT, tuning=0)
    np.testing.assert_allclose(descriptor.chroma_filters(), theirs, atol=1e-6)


@pytest.mark.parametrize("gain", [0.02, 0.5, 300.0])
def test_a_gain_changes_the_mean_of_coefficient_0_alone(gain: float) -> None:
    waveform = song()
    soft, loud = described(waveform), described(np.float32(gain) * waveform)
    moved = value(loud, "mfcc_mean_0") - value(soft, "mfcc_mean_0")
    assert moved == pytest.approx(20 * np.log10(gain) * np.sqrt(128), rel=1e-3)
    others = np.array(NAMES) != "mfcc_mean_0"
    np.testing.assert_allclose(loud[others], soft[others], rtol=1e-4, atol=2e-3)


@pytest.mark.parametrize("semitones", [1, 3, 5, -4])
def test_a_transposition_leaves_the_harmony(semitones: int) -> None:
    """Within what bins of 11 Hz, too wide to tell semitones below middle C, allow."""
    there, here = described(melody()), described(melody(semitones))
    np.testing.assert_allclose(group(here, "chroma"), group(there, "chroma"), atol=0.03)
    assert all(name.startswith(KEYLESS) for name in NAMES[GROUPS["chroma"]])


def chord(*semitones: int) -> FloatArray:
    tones = np.stack([tone(1046.5 * 2 ** (step / 12), 2.0) for step in semitones])
    chord: FloatArray = tones.mean(axis=0)
    return chord


def test_fourier_magnitudes_name_the_scale() -> None:
    scales = {
        1: (0, 1, 2, 3),  # a chromatic cluster
        3: (0, 4, 8),  # an augmented triad
        4: (0, 3, 6, 9),  # a diminished seventh
        5: (0, 2, 4, 5, 7, 9, 11),  # diatonic
        6: (0, 2, 4, 6, 8, 10),  # whole tones
    }
    names = [f"chroma_fourier_{number}" for number in range(1, 7)]
    for number, scale in scales.items():
        found = described(chord(*scale))
        assert int(np.argmax([value(found, name) for name in names])) + 1 == number


def test_one_class_has_no_entropy_and_noise_has_most() -> None:
    one, many = described(tone(1046.5)), described(noise())
    assert value(one, "chroma_entropy_of_mean") < 0.4 < 0.95 < value(many, "chroma_entropy_of_mean")
    assert value(one, "chroma_strength_mean") > 0.7 > 0.3 > value(many, "chroma_strength_mean")
    assert value(one, "chroma_change_mean") < 0.01


def test_silence_leaves_harmony_and_timbre() -> None:
    clip = song()
    silence = np.zeros(3 * len(clip), dtype=np.float32)
    alone, within = described(clip), described(np.concatenate([clip, silence]))
    for name in ("chroma", "contrast", "shape"):
        scale = np.abs(group(alone, name)).mean()
        np.testing.assert_allclose(
            group(within, name), group(alone, name), rtol=0.1, atol=0.1 * scale
        )
    assert value(within, "loudness_p25") == -descriptor.QUIET_DB


def impulse(seconds: float) -> FloatArray:
    waveform = np.zeros(round(seconds * RATE), dtype=np.float32)
    waveform[len(waveform) // 2] = 0.9
    return waveform


def sparse() -> FloatArray:
    waveform = np.zeros(30 * RATE, dtype=np.float32)
    waveform[: RATE // 4] = noise(0.25)[: RATE // 4]
    return waveform


@pytest.mark.parametrize(
    "waveform",
    [
        np.zeros(3 * RATE, dtype=np.float32),
        np.full(3 * RATE, 0.5, dtype=np.float32),
        impulse(3.0),
        impulse(0.5),
        noise(0.5),
        noise(2.0),
        noise(30.0),
        sparse(),
        tone(RATE / 2 - 1),
        1e-4 * noise(2.0),
        tone()[: stft.N_FFT],
        tone()[:700],
    ],
    ids=[
        *(
            "digital silence",
            "DC",
            "click",
            "short click",
            "0.5 s",
            "2 s",
            "30 s",
            "mostly silence",
        ),
        *("near Nyquist", "faint", "one frame", "two frames"),
    ],
)
def test_no_sound_makes_a_nan(waveform: FloatArray) -> None:
    with np.errstate(all="raise", under="ignore"):
        found = described(waveform)
    assert found.shape == (len(NAMES),)
    assert found.dtype == np.float32
    assert np.isfinite(found).all()
    pulses = group(found, "rhythm")[-rhythm.N_TEMPI :]
    assert np.abs(pulses).max() <= 1


@pytest.mark.parametrize("tempo", [43, 60, 76, 95, 108, 133, 170, 190, 240, 300])
def test_a_metronome_lands_in_its_band(tempo: float) -> None:
    """A beat's half and third are periods too, so slower bands may be as strong."""
    pulses = rhythm.pulse(onset_strength_of(metronome(tempo)))
    multiples = {band_of(tempo / k) for k in range(1, 9)}
    near = {band + step for band in multiples for step in (-1, 0, 1)}  # the width of an onset
    others = [pulses[band] for band in range(rhythm.N_TEMPI) if band not in near]
    assert pulses[band_of(tempo)] > 0.8
    assert pulses[band_of(tempo)] == max(pulses[max(0, band_of(tempo) - 1) :])
    assert max(others, default=-1.0) < 0.5


def onset_strength_of(waveform: FloatArray) -> npt.NDArray[np.floating]:
    power = spectral.mel_power(waveform, spectral.mel_filters())[: spectral.N_MELS_MFCC]
    return rhythm.onset_strength(spectral.power_to_db(power, ref=1.0)[:, 2:-2])


@pytest.mark.parametrize("tempo", [60, 120, 200])
def test_onsets_are_counted(tempo: float) -> None:
    found = value(described(metronome(tempo, 10.0)), "onsets_per_second")
    assert found == pytest.approx(tempo / 60, abs=0.15)
    assert value(described(noise(10.0)), "onsets_per_second") < 0.2


@pytest.mark.parametrize("tempo", [75, 120, 180])
def test_rhythm_depends_on_neither_start_nor_length(tempo: float) -> None:
    long, later = (described(metronome(tempo, 30.0, start=start)) for start in (0.1, 0.33))
    short = described(metronome(tempo, 4.0))
    tempi = slice(GROUPS["rhythm"].start + 8, GROUPS["rhythm"].stop)  # pulses, onsets a second
    np.testing.assert_allclose(later[tempi], long[tempi], atol=0.1)
    pulses = slice(GROUPS["rhythm"].stop - rhythm.N_TEMPI, GROUPS["rhythm"].stop)
    np.testing.assert_allclose(short[pulses], long[pulses], atol=0.25)


def test_a_later_start_changes_little() -> None:
    waveform = np.concatenate([noise(1.0, seed=2), song(), song(), noise(1.0, seed=3)])
    one, other = described(waveform), described(np.roll(waveform, 5003))
    spread = np.abs(one - described(noise(10.0)))  # a different sound, for scale
    assert np.median(np.abs(one - other) / np.maximum(spread, 1e-6)) < 0.02


def test_tempi_slower_than_a_short_clip_can_show_are_zero() -> None:
    pulses = rhythm.pulse(onset_strength_of(metronome(150, 0.8)))
    lags = rhythm.tempo_lags()
    frames = len(onset_strength_of(metronome(150, 0.8)))
    shown = np.array([min(lag) <= frames - rhythm.MIN_PRODUCTS for lag in lags])
    assert 0 < shown.sum() < rhythm.N_TEMPI
    assert (pulses[~shown] == 0).all()
    assert (pulses[shown] != 0).all()
    two_seconds = rhythm.pulse(onset_strength_of(metronome(150, 2.0)))
    assert (two_seconds != 0).all()


def test_tempo_bands_hold_every_lag_once() -> None:
    lags = rhythm.tempo_lags()
    flat = [lag for band in lags for lag in band]
    assert all(lags)
    assert sorted(flat) == list(range(min(flat), max(flat) + 1))
    for low, high, band in zip(rhythm.TEMPI, rhythm.TEMPI[1:], lags, strict=False):
        assert all(low <= 60 * stft.FRAME_RATE / lag < high for lag in band)


def test_brighter_noisier_and_steadier_sounds_are_told_apart() -> None:
    dark = scipy.signal.lfilter([0.05], [1, -0.95], noise()).astype(np.float32)
    assert value(described(dark), "centroid_mean") < value(described(noise()), "centroid_mean")
    assert value(described(tone()), "log_flatness_mean") < value(
        described(noise()), "log_flatness_mean"
    )
    assert value(described(tone()), "flux_mean") < value(described(noise()), "flux_mean")
    assert value(described(tone()), "loudness_deviation") < 0.1
    assert value(described(tone()), "loudness_crest") == pytest.approx(3.01, abs=0.05)


def test_a_fifth_is_described_exactly() -> None:
    fifth = np.zeros((20, 12), dtype=np.float32)
    fifth[:, [2, 9]] = 1
    found = descriptor.chroma_statistics(fifth, np.ones(20, dtype=bool))
    half = np.log(2) / np.log(12)
    fourier = [abs(1 + np.exp(-2j * np.pi * 7 * k / 12)) / 2 for k in range(1, 7)]
    expected = [1, 1, *[0] * 10, half, half, 0.5, 0, 0, 0, *fourier]
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_flux_is_all_for_a_new_sound_and_none_for_a_fade() -> None:
    bands = np.arange(128)[:, None]
    alternating = np.where((bands < 64) == (np.arange(10) % 2), 0.0, -200.0)
    np.testing.assert_allclose(rhythm.flux(alternating), 1, atol=1e-6)
    fade = -0.1 * bands - 3.0 * np.arange(10)
    np.testing.assert_allclose(rhythm.flux(fade), 0, atol=1e-6)


def test_noise_has_no_pulse() -> None:
    pulses = rhythm.pulse(onset_strength_of(noise(30.0)))
    assert np.abs(pulses).max() < 0.15
