from __future__ import annotations

import shutil
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile

from genre_vae.collection import audio
from genre_vae.collection.catalog import scan
from genre_vae.features import spectral as features
from genre_vae.features.stft import BLOCK_FRAMES
from genre_vae.records import FloatArray, InputError
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
    clean_mfcc, clean_mel, clean_descriptor, none = features.extract_catalog(
        scan(folder), workers=1
    )
    assert none.empty
    (folder / "genres/blues/a_first.wav").write_bytes(b"")
    (folder / "genres/jazz/jazz.00000x.wav").write_text("no audio")
    soundfile.write(folder / "genres/rock/zz.wav", np.zeros(3 * RATE), RATE)
    mfcc, mel, descriptor, skipped = features.extract_catalog(scan(folder), workers=2)
    reasons = dict(zip(skipped["track_id"], skipped["reason"], strict=True))
    assert reasons.pop("genres/jazz/jazz.00000x.wav") == "text, not audio"
    assert reasons == {
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
    mfcc, _, _, skipped = features.extract_catalog(scan(tmp_path), workers=1)
    assert skipped[["track_id", "reason"]].to_numpy().tolist() == [
        ["loud.wav", "too loud: its power overflows"]
    ]
    assert len(mfcc) == 4


def test_too_few_tracks_are_an_error(tmp_path: Path) -> None:
    for name in "abc":
        soundfile.write(tmp_path / f"{name}.wav", tone(), RATE)
    with pytest.raises(InputError, match="3 usable tracks, at least 4"):
        features.extract_catalog(scan(tmp_path), workers=1)
