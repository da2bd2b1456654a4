from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from genre_vae.collection import audio
from genre_vae.records import FloatArray
from tests.collection.formats import FORMATS, encoded, song, written
from tests.helpers import ROOT, tone


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


def stereo(left: FloatArray, right: FloatArray) -> bytes:
    return written("WAV", "FLOAT", np.stack([left, right], axis=1))


def test_where_left_and_right_cancel_the_louder_is_used() -> None:
    sound = tone()
    for right in (-sound, -0.998 * sound):
        clip = audio.load(stereo(sound, right))
        np.testing.assert_array_equal(clip.waveform, sound)
        assert clip.note == "left and right cancel: the louder channel is used"
    np.testing.assert_array_equal(audio.load(stereo(0.998 * sound, -sound)).waveform, -sound)
    for right in (-0.9 * sound, 0 * sound, sound):
        clip = audio.load(stereo(sound, right))
        assert clip.note == ""
        np.testing.assert_allclose(clip.waveform, (sound + right) / 2, atol=1e-6)
    four = np.stack([sound, -sound, sound / 2, -sound / 2], axis=1)
    assert "the loudest channel is used" in audio.load(written("WAV", "FLOAT", four)).note


def test_where_left_and_right_cancel_in_a_lossy_file(tmp_path: Path) -> None:
    sound = song(4.0)
    file = encoded(FORMATS["mp3.mp3"], np.stack([sound, -sound], axis=1))
    clip = audio.load(file)
    assert clip.note
    assert np.sqrt(np.mean(clip.waveform**2)) == pytest.approx(np.sqrt(np.mean(sound**2)), rel=0.1)


@pytest.mark.parametrize("name", ["pcm.wav", "flac.flac", "noxing.mp3", "wavpack.wv"])
def test_where_the_middle_is_silent_the_loudest_part_is_used(name: str) -> None:
    """20 s of a soft sound, 60 s of silence, and 40 s of which the last 30 are loud."""
    rate, soft = 24000, 0.1
    levels = np.repeat([soft, 0, soft, 1.0], [20 * rate, 60 * rate, 10 * rate, 30 * rate])
    wave = (tone(seconds=120, rate=rate) * levels).astype(np.float32)
    form = FORMATS[name]._replace(rate=rate, layout="mono", bit_rate=64_000)
    clip = audio.load(encoded(form, wave, rate))
    assert clip.note == "its middle 30 s are silent: the loudest 30 s are used"
    assert np.sqrt(2 * np.mean(clip.waveform**2)) == pytest.approx(0.5, rel=0.06)  # LAME: 0.95
    assert len(clip.waveform) == 30 * audio.SAMPLE_RATE


def test_what_is_silent_all_through_is_told(tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    soundfile.write(path, np.zeros(100 * 22050), 22050)
    assert reason(path) == "silent: no sample above -80 dBFS"


def test_what_is_no_file_is_told(tmp_path: Path) -> None:
    assert reason(tmp_path) == "cannot be read: not a regular file"
    os.mkfifo(tmp_path / "pipe.wav")
    assert reason(tmp_path / "pipe.wav") == "cannot be read: not a regular file"


PEAK = """
import resource, sys
from genre_vae.collection import audio
audio.load(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
clip = audio.load(sys.argv[2])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024, clip.source.seconds)
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_memory_does_not_grow_with_the_length(tmp_path: Path, name: str) -> None:
    """150 minutes, in under 100 MB more than a short file of the format takes."""
    form, seconds = FORMATS[name], 9000
    low = min(form.rate, 24_000)
    if "ac3" in form.codec:  # it has no lower rate
        low = 32_000
    form = form._replace(rate=low, layout="mono", bit_rate=form.bit_rate and 64_000)
    if form.codec == "libopencore_amrnb":
        form = FORMATS[name]
    sound, times = song(60.0, rate=low), seconds // 60
    short, long = tmp_path / f"short-{name}", tmp_path / f"long-{name}"
    short.write_bytes(encoded(form, sound, low))
    if form.is_lossless:  # its frames are numbered
        long.write_bytes(encoded(form, np.tile(sound, times), low))
    else:
        long.write_bytes(encoded(form, sound, low, times=times))
    done = subprocess.run(
        [sys.executable, "-c", PEAK, str(short), str(long)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    long.unlink()
    growth, counted = done.stdout.split()
    assert float(counted) == pytest.approx(seconds, rel=2e-3)
    assert int(growth) < 100
