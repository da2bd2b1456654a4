from __future__ import annotations

import shutil
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import soxr

from genre_vae.collection import audio
from genre_vae.collection.catalog import scan
from genre_vae.features import spectral as features
from genre_vae.features.loudness import LEVEL, adjusted, level
from genre_vae.features.stft import BLOCK_FRAMES
from genre_vae.records import FloatArray, InputError, Loudness
from tests.helpers import tone

RATE = audio.SAMPLE_RATE


def assert_agrees_with_librosa(waveform: FloatArray) -> None:
    found = features.extract(waveform, features.mel_filters())
    mfcc = librosa.feature.mfcc(y=waveform, sr=RATE, n_mfcc=20)
    statistics = np.concatenate([mfcc.mean(axis=1), mfcc.std(axis=1)])
    np.testing.assert_allclose(found.mfcc, statistics, atol=1e-3, rtol=1e-5)

    mel = librosa.feature.melspectrogram(y=waveform, sr=RATE, n_mels=64)
    db = librosa.power_to_db(mel, ref=np.max)[:, :1280]
    ours = found.mel[:, 0].transpose(1, 0, 2).reshape(64, -1)[:, : db.shape[1]]
    np.testing.assert_allclose(ours, db, atol=0.035)  # half a step of float16 at 80, 0.031
    power = features.mel_power(waveform, features.mel_filters())[128:]
    full = features.power_to_db(power, ref=float(power.max()))[:, :1280]
    np.testing.assert_allclose(full, db, atol=1e-3)


def test_real_clips_agree_with_librosa(gtzan_mini: Path) -> None:
    for genre in ("blues", "classical", "metal"):
        assert_agrees_with_librosa(
            audio.load(gtzan_mini / f"genres/{genre}/{genre}.00004.wav").waveform
        )


def test_synthesised_songs_agree_with_librosa(corpus: Path) -> None:
    for genre in ("jazz", "hiphop"):
        assert_agrees_with_librosa(
            audio.load(corpus / f"genres/{genre}/{genre}.00000.flac").waveform
        )


def test_decoding_agrees_with_librosa(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).normal(size=(3 * 44100, 2)) * 0.1
    soundfile.write(tmp_path / "a.wav", noise, 44100)
    theirs, _ = librosa.load(tmp_path / "a.wav", sr=RATE)
    np.testing.assert_allclose(audio.load(tmp_path / "a.wav").waveform, theirs, atol=1e-5)


@pytest.mark.parametrize("band", [5, 20, 40, 60])
def test_a_tone_lands_in_its_mel_band(band: int) -> None:
    centre = librosa.mel_frequencies(66, fmin=0, fmax=RATE / 2)[band + 1]
    windows = features.extract(tone(centre), features.mel_filters()).mel
    assert windows[0, 0, :, 64].argmax() == band


def test_loudness_moves_only_the_first_coefficient() -> None:
    noise = np.random.default_rng(0).normal(size=3 * RATE).astype(np.float32) * 0.1
    loud, soft = (features.extract(g * noise, features.mel_filters()) for g in (1.0, 0.5))
    np.testing.assert_allclose(loud.mfcc[1:], soft.mfcc[1:], atol=2e-3)
    assert loud.mfcc[0] - soft.mfcc[0] == pytest.approx(20 * np.log10(2) * np.sqrt(128), rel=1e-3)
    np.testing.assert_allclose(loud.mel, soft.mel, atol=0.07)


def test_a_copy_at_another_level_has_the_same_features() -> None:
    """Whatever was done to its level: -60 dB, or made so loud that it is past full scale."""
    noise = np.random.default_rng(0).normal(size=3 * RATE).astype(np.float32) * 0.1
    clip = noise * np.linspace(0.1, 1, len(noise), dtype=np.float32)  # it has dynamics
    of = [
        features.extract(adjusted(gain * clip, Loudness.NORMALISED), features.mel_filters())
        for gain in (np.float32(1), np.float32(1e-3), np.float32(50))
    ]
    for copy in of[1:]:
        np.testing.assert_allclose(copy.mfcc, of[0].mfcc, atol=1e-3)
        np.testing.assert_allclose(copy.descriptor, of[0].descriptor, rtol=1e-3, atol=1e-3)
        assert copy.bandwidth == of[0].bandwidth
    as_it_is = features.extract(adjusted(50 * clip, Loudness.AS_IS), features.mel_filters())
    assert as_it_is.mfcc[0] - of[0].mfcc[0] > 100


@pytest.mark.parametrize("gain", [1.0, 0.01])
def test_the_stated_level_is_reached(gain: float) -> None:
    clip = adjusted(gain * tone(), Loudness.NORMALISED)
    assert level(clip) == pytest.approx(LEVEL, abs=1e-3)
    assert level(tone() * 0) == -np.inf
    sine = np.sin(2 * np.pi * 100 * np.arange(RATE) / RATE).astype(np.float32)
    assert level(sine) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize("rate", [8_000, 11_025, 16_000])
def test_the_bandwidth_is_half_the_rate_that_a_recording_once_had(rate: int) -> None:
    noise = np.random.default_rng(0).normal(size=3 * RATE) * np.hanning(3 * RATE)
    once = soxr.resample(soxr.resample(noise, RATE, rate), rate, RATE)
    found, full = (
        features.extract(one.astype(np.float32), features.mel_filters()).bandwidth
        for one in (once, noise)
    )
    assert found == pytest.approx(rate / 2, rel=0.06)  # the filter's slope
    assert full > 10_900


def test_bands_are_told_where_more_than_a_few_differ() -> None:
    full, telephone = 10_800.0, 3_900.0
    found = features.bands([full] * 8 + [telephone] * 2 + [5_400.0])
    assert found.tolist() == ["up to 11 kHz"] * 8 + ["up to 4 kHz"] * 2 + ["up to 6 kHz"]
    assert set(features.bands([full] * 99 + [telephone])) == {""}
    assert set(features.bands([telephone] * 5)) == {""}


def test_a_short_clip_is_padded_with_silence() -> None:
    windows = features.extract(tone(seconds=4.0), features.mel_filters()).mel
    assert windows.shape == (10, 1, 64, 128)
    frames = 1 + 4 * RATE // 512
    flat = windows[:, 0].transpose(1, 0, 2).reshape(64, -1)
    assert (flat[:, frames:] == -80).all()
    assert flat[:, :frames].max() == pytest.approx(0, abs=1e-5)


def test_blocks_do_not_show() -> None:
    """A clip whose frames fill one block, or one more or less, is no different from librosa's."""
    for frames in (BLOCK_FRAMES - 1, BLOCK_FRAMES, BLOCK_FRAMES + 1):
        assert_agrees_with_librosa(tone(seconds=((frames - 1) * 512 + 7) / RATE))


def test_bad_files_are_listed_and_shift_no_other_row(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    shutil.copytree(corpus, folder)
    clean_mfcc, clean_mel, clean_descriptor, _, none = features.extract_catalog(
        scan(folder), workers=1
    )
    assert none.empty
    (folder / "genres/blues/a_first.wav").write_bytes(b"")
    (folder / "genres/jazz/jazz.00000x.wav").write_text("no audio")
    soundfile.write(folder / "genres/rock/zz.wav", np.zeros(3 * RATE), RATE)
    mfcc, mel, descriptor, _, skipped = features.extract_catalog(scan(folder), workers=2)
    reasons = dict(zip(skipped["track_id"], skipped["reason"], strict=True))
    assert reasons == {
        "genres/jazz/jazz.00000x.wav": "text, not audio",
        "genres/blues/a_first.wav": "empty file",
        "genres/rock/zz.wav": "silent: no sample above -80 dBFS",
    }
    np.testing.assert_array_equal(mfcc.ids, clean_mfcc.ids)
    np.testing.assert_array_equal(mfcc.values, clean_mfcc.values)
    np.testing.assert_array_equal(mel.values, clean_mel.values)
    np.testing.assert_array_equal(descriptor.values, clean_descriptor.values)
    np.testing.assert_array_equal(mfcc.labels, clean_mfcc.labels)


def test_more_than_half_unusable_is_an_error(tmp_path: Path) -> None:
    for name in "abcde":
        (tmp_path / f"{name}.wav").write_bytes(b"")
    for name in "fg":
        soundfile.write(tmp_path / f"{name}.wav", tone(), RATE)
    with pytest.raises(InputError, match=r"5 of 7 audio files cannot be used.*a\.wav: empty file"):
        features.extract_catalog(scan(tmp_path), workers=1)


def test_sound_too_loud_for_its_power_is_listed(tmp_path: Path) -> None:
    for name in "abcd":
        soundfile.write(tmp_path / f"{name}.wav", tone(), RATE)
    soundfile.write(tmp_path / "loud.wav", 1e30 * tone(), RATE, "FLOAT")
    as_is = scan(tmp_path, loudness=Loudness.AS_IS)
    mfcc, _, _, _, skipped = features.extract_catalog(as_is, workers=1)
    assert skipped[["track_id", "reason"]].to_numpy().tolist() == [
        ["loud.wav", "too loud: its power overflows"]
    ]
    assert len(mfcc) == 4


def test_too_few_tracks_are_an_error(tmp_path: Path) -> None:
    for name in "abc":
        soundfile.write(tmp_path / f"{name}.wav", tone(), RATE)
    with pytest.raises(InputError, match="3 usable tracks, at least 4"):
        features.extract_catalog(scan(tmp_path), workers=1)
