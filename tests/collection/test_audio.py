from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from genre_vae.collection import audio
from tests.helpers import tone


def truncate(path: Path, share: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])


@pytest.mark.parametrize("suffix", ["wav", "au", "flac", "ogg", "mp3"])
@pytest.mark.parametrize(("rate", "channels"), [(22050, 1), (44100, 2), (48000, 1), (16000, 2)])
def test_every_format_rate_and_channel_count_gives_the_tone(
    tmp_path: Path, suffix: str, rate: int, channels: int
) -> None:
    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, np.repeat(tone(rate=rate)[:, None], channels, axis=1), rate)
    waveform = audio.load(path).waveform
    assert waveform.dtype == np.float32
    assert len(waveform) / audio.SAMPLE_RATE == pytest.approx(3.0, abs=0.1)  # mp3 and ogg pad
    spectrum = np.abs(np.fft.rfft(waveform))
    peak = np.fft.rfftfreq(len(waveform), 1 / audio.SAMPLE_RATE)[spectrum.argmax()]
    assert peak == pytest.approx(440, abs=1)
    assert np.sqrt(2 * np.mean(waveform**2)) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "PCM_U8"])
def test_sample_formats_agree(tmp_path: Path, subtype: str) -> None:
    soundfile.write(tmp_path / "a.wav", tone(), audio.SAMPLE_RATE, subtype)
    tolerance = 2**-7 if subtype == "PCM_U8" else 2**-15
    np.testing.assert_allclose(audio.load(tmp_path / "a.wav").waveform, tone(), atol=tolerance)


def test_sixteen_bit_samples_are_exactly_libsndfiles(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), audio.SAMPLE_RATE, "PCM_16")
    np.testing.assert_array_equal(
        audio.load(path).waveform, soundfile.read(path, dtype="float32")[0]
    )


def test_of_a_long_file_the_middle_is_taken(tmp_path: Path) -> None:
    rate = audio.SAMPLE_RATE
    loud = np.concatenate(
        [0.1 * np.ones(10 * rate), 0.5 * np.ones(30 * rate), 0.1 * np.ones(10 * rate)]
    )
    soundfile.write(tmp_path / "a.flac", loud, rate)
    waveform = audio.load(tmp_path / "a.flac").waveform
    assert len(waveform) == 30 * rate
    np.testing.assert_allclose(waveform, 0.5, atol=1e-4)


def test_two_channels_are_averaged(tmp_path: Path) -> None:
    both = np.stack([tone(), -0.5 * tone()], axis=1)
    soundfile.write(tmp_path / "a.wav", both, audio.SAMPLE_RATE, "FLOAT")
    np.testing.assert_allclose(audio.load(tmp_path / "a.wav").waveform, 0.25 * tone(), atol=1e-6)


def reason(path: Path) -> str:
    with pytest.raises(audio.BadAudioError) as error:
        audio.load(path)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_reasons(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    assert "cannot be read: No such file" in reason(path)
    path.write_bytes(b"")
    assert reason(path) == "empty file"
    path.write_text("Dear diary, this is not audio. " * 100)
    assert reason(path) == "text, not audio"
    soundfile.write(path, tone(seconds=0.4), audio.SAMPLE_RATE)
    assert reason(path) == "too short: 0.40 s, at least 1 s"
    soundfile.write(path, 1e-5 * tone(), audio.SAMPLE_RATE, "FLOAT")
    assert "silent" in reason(path)
    for bad in (np.nan, np.inf):
        samples = tone()
        samples[1234] = bad
        soundfile.write(path, samples, audio.SAMPLE_RATE, "FLOAT")
        assert "not finite" in reason(path)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.4])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_a_truncated_file_is_no_short_one(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"a.{suffix}"
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, 10 * audio.SAMPLE_RATE)
    soundfile.write(path, noise, audio.SAMPLE_RATE)
    truncate(path, share)
    assert reason(path).startswith(("truncated", "cannot be decoded"))


def test_a_streamed_wav_with_unknown_length_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(), audio.SAMPLE_RATE)
    content = bytearray(path.read_bytes())
    where = content.index(b"data") + 4
    content[where : where + 4] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    np.testing.assert_allclose(audio.load(path).waveform, tone(), atol=2**-15)
