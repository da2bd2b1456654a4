"""A file's format, its name and how it is handed over do not show in what is read."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import av
import numpy as np
import pytest
import soundfile
import soxr

from genre_vae.collection import audio
from genre_vae.features import spectral
from genre_vae.records import FloatArray
from tests.collection.formats import FORMATS, encoded, song, written
from tests.helpers import tone

RATE = 44100
LOSSLESS, LOSSY = 0.1, 0.6  # standard deviations between clips
# The standard deviations between 100 clips of GTZAN, rounded: means, then deviations. Another clip
# is 3.7 away at least.
SPREAD = np.array(
    [
        *(90, 33, 17, 10, 12, 9, 9, 7, 7, 6, 4, 5, 5, 5, 4, 5, 4, 5, 3, 3),
        *(28, 8, 7, 4, 5, 3, 3, 2, 2, 2, 2, 2, 2, 2, 2, 2, 3, 2, 2, 2),
    ],
    dtype=np.float32,
)
MUSIC = [name for name in FORMATS if name != "amr.amr"]  # that one is for telephones


@cache
def master(seconds: float = 5.0) -> FloatArray:
    return song(seconds, rate=RATE)


@cache
def content(name: str) -> bytes:
    return encoded(FORMATS[name], master(), RATE)


def mfcc(waveform: FloatArray) -> FloatArray:
    return spectral.extract(waveform, spectral.mel_filters()).mfcc


def distance(one: FloatArray, other: FloatArray, deviations: FloatArray = SPREAD) -> float:
    return float(np.linalg.norm((mfcc(one) - mfcc(other)) / deviations))


@pytest.mark.parametrize("name", MUSIC)
def test_a_sound_is_the_same_in_every_format(name: str) -> None:
    reference = soxr.resample(master(), RATE, audio.SAMPLE_RATE)
    clip = audio.load(content(name))
    limit = LOSSLESS if FORMATS[name].is_lossless else LOSSY
    inner = slice(2205, 107_000)  # without what an encoder puts before and after the music
    assert distance(clip.waveform[inner], reference[inner]) < limit
    assert len(clip.waveform) / audio.SAMPLE_RATE == pytest.approx(5.0, abs=0.06)
    assert clip.source.seconds == pytest.approx(5.0, abs=0.06)
    assert clip.source.sample_rate == FORMATS[name].rate
    assert clip.source.channels == 2
    assert clip.note == ""
    if FORMATS[name].is_lossless:
        np.testing.assert_allclose(clip.waveform[inner], reference[inner], atol=2e-3)


@pytest.mark.slow
def test_a_real_clip_is_the_same_in_every_format(gtzan_mini: Path) -> None:
    paths = sorted(gtzan_mini.glob("genres/*/*.wav"))
    deviations = np.std([mfcc(audio.load(path).waveform) for path in paths], axis=0)
    for path in paths[7::40]:
        sound = soxr.resample(audio.load(path).waveform, audio.SAMPLE_RATE, RATE)
        reference = audio.load(written("WAV", "FLOAT", sound, RATE)).waveform
        for name in MUSIC:
            found = audio.load(encoded(FORMATS[name], sound, RATE)).waveform
            limit = LOSSLESS if FORMATS[name].is_lossless else LOSSY
            assert distance(found, reference, deviations) < limit, (path, name)


@pytest.mark.parametrize("name", list(FORMATS)[::3])
def test_neither_the_name_nor_the_way_of_giving_it_matters(tmp_path: Path, name: str) -> None:
    """A path and its content give the same, and so does a file with the name of another format."""
    expected = audio.load(content(name))
    for suffix in (".mp3", ".wav"):
        path = tmp_path / f"a{suffix}"
        path.write_bytes(content(name))
        clip = audio.load(path)
        np.testing.assert_array_equal(clip.waveform, expected.waveform)
        assert clip.source == expected.source


@pytest.mark.parametrize("name", ["mp3.mp3", "flac.flac", "pcm.wav", "aac.m4a", "opus.opus"])
def test_what_macos_keeps_beside_a_file_does_no_harm(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(content(name))
    (tmp_path / f"._{name}").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X        " + bytes(4000))
    np.testing.assert_array_equal(
        audio.load(tmp_path / name).waveform, audio.load(content(name)).waveform
    )


def steps() -> FloatArray:
    """50 s, of which the middle 30 are loud."""
    wave = tone(seconds=50, rate=RATE)
    wave[: 10 * RATE] *= 0.1
    wave[40 * RATE :] *= 0.1
    return wave


@pytest.mark.parametrize(
    "name", ["noxing.mp3", "mp3.mp3", "aac.m4a", "opus.mkv", "wma.wma", "wavpack.wv"]
)
def test_the_middle_is_the_middle_in_time(name: str) -> None:
    form = FORMATS[name]
    form = form._replace(rate=form.rate // 2, layout="mono", bit_rate=form.bit_rate // 2)
    clip = audio.load(encoded(form, steps(), RATE))
    assert len(clip.waveform) == 30 * audio.SAMPLE_RATE
    assert clip.source.seconds == pytest.approx(50, abs=0.1)
    loud = np.abs(clip.waveform) > 0.2
    first, last = np.flatnonzero(loud)[[0, -1]] / audio.SAMPLE_RATE
    assert first < 0.1  # two frames of 1024 at 22,050 Hz
    assert last > 30 - 0.1


@pytest.mark.parametrize("seconds_of_silence", [0, 3])
def test_a_variable_rate_mp3_without_a_length_has_its_own(seconds_of_silence: int) -> None:
    """libsndfile takes the first frame's bit rate for that of all."""
    silence = np.zeros(seconds_of_silence * RATE, dtype=np.float32)
    clip = audio.load(encoded(FORMATS["noxing.mp3"], np.concatenate([silence, master()]), RATE))
    expected = 5 + seconds_of_silence
    assert clip.source.seconds == pytest.approx(expected, abs=0.06)
    assert len(clip.waveform) / audio.SAMPLE_RATE == pytest.approx(expected, abs=0.06)


def test_a_header_that_lies_about_the_length_is_found_out() -> None:
    whole = content("mp3.mp3")
    at = whole.index(b"Info") + 8
    frames = int.from_bytes(whole[at : at + 4], "big")
    for factor in (0.1, 0.5, 2, 100):
        lie = round(frames * factor).to_bytes(4, "big")
        clip = audio.load(whole[:at] + lie + whole[at + 4 :])
        assert clip.source.seconds == pytest.approx(5, abs=0.1), factor


@pytest.mark.parametrize("name", ["mp3.mp3", "noxing.mp3", "aac.aac", "opus.opus"])
def test_two_files_in_one_are_as_long_as_both(name: str) -> None:
    clip = audio.load(2 * content(name))
    assert clip.source.seconds == pytest.approx(10, abs=0.1)
    assert len(clip.waveform) / audio.SAMPLE_RATE == pytest.approx(10, abs=0.1)


def id3(size: int) -> bytes:
    return b"ID3\4\0\0" + bytes([size >> 21 & 127, size >> 14 & 127, size >> 7 & 127, size & 127])


JUNK = np.random.default_rng(0).integers(0, 255, 3000, dtype=np.uint8).tobytes()
COVER = id3(200_000) + b"APIC" + bytes(6) + b"\xff\xd8\xff" + 66 * JUNK
COVER += bytes(200_010 - len(COVER))
APE_TAG = b"APETAGEX" + (2000).to_bytes(4, "little") + (32).to_bytes(4, "little") + bytes(16)


@pytest.mark.parametrize("name", ["mp3.mp3", "flac.flac", "pcm.wav", "aac.aac", "pcm.aiff"])
@pytest.mark.parametrize(
    "front",
    [id3(500) + bytes(500), 2 * (id3(40) + bytes(40)), COVER],
    ids=["one", "two", "with a picture"],
)
def test_tags_in_front_are_passed(name: str, front: bytes) -> None:
    expected = audio.load(content(name)).waveform
    np.testing.assert_allclose(audio.load(front + content(name)).waveform, expected, atol=1e-6)


@pytest.mark.parametrize("name", ["mp3.mp3", "noxing.mp3", "aac.aac"])
@pytest.mark.parametrize(
    "front", [JUNK, bytes(5000), b"HTTP/1.1 200 OK\r\n\r\n"], ids=["noise", "zeros", "text"]
)
def test_junk_in_front_of_frames_is_passed(name: str, front: bytes) -> None:
    expected = audio.load(content(name)).waveform
    found = audio.load(front + content(name)).waveform
    assert distance(found, expected) < 0.1


@pytest.mark.parametrize("name", ["mp3.mp3", "noxing.mp3", "flac.flac", "pcm.wav", "wavpack.wv"])
@pytest.mark.parametrize(
    "end", [b"TAG" + bytes(125), APE_TAG, bytes(4000)], ids=["ID3v1", "APE", "zeros"]
)
def test_tags_at_the_end_are_passed(name: str, end: bytes) -> None:
    expected = audio.load(content(name)).waveform
    found = audio.load(content(name) + end).waveform
    assert distance(found, expected) < 0.1


@pytest.mark.parametrize(
    ("form", "subtype"),
    [
        *[("WAV", subtype) for subtype in ("PCM_24", "PCM_32", "FLOAT", "DOUBLE", "PCM_U8")],
        *[("WAV", subtype) for subtype in ("ULAW", "ALAW", "IMA_ADPCM", "MS_ADPCM", "GSM610")],
        *[("AU", subtype) for subtype in ("PCM_16", "FLOAT", "ULAW")],
        *[("AIFF", subtype) for subtype in ("PCM_16", "PCM_24", "FLOAT", "ULAW")],
        *[("RF64", "PCM_16"), ("W64", "PCM_16"), ("CAF", "PCM_16"), ("WAVEX", "PCM_24")],
        *[("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("OGG", "VORBIS"), ("OGG", "OPUS")],
        *[("VOC", "PCM_16"), ("NIST", "PCM_16"), ("AVR", "PCM_16")],
    ],
)
def test_what_libsndfile_reads_is_read_to_the_bit(form: str, subtype: str) -> None:
    rate = 24000 if subtype == "OPUS" else audio.SAMPLE_RATE
    file = written(form, subtype, song(3.0, rate=rate), rate)
    theirs, _ = soundfile.read(io.BytesIO(file), dtype="float32")
    ours = audio.load(file)
    if subtype == "OPUS":  # read by FFmpeg
        assert distance(ours.waveform, soxr.resample(theirs, rate, 22050)) < LOSSY
    else:
        np.testing.assert_array_equal(ours.waveform, theirs)


@pytest.mark.parametrize(("rate", "channels"), [(192_000, 2), (48_000, 6), (8_000, 1), (96_000, 1)])
def test_rates_and_channels(rate: int, channels: int) -> None:
    sound = soxr.resample(song(3.0), 22050, rate)
    many = np.repeat(sound[:, None], channels, axis=1)
    clip = audio.load(written("WAV", "PCM_16", many, rate))
    assert (clip.source.sample_rate, clip.source.channels) == (rate, channels)
    np.testing.assert_allclose(
        clip.waveform, soxr.resample(sound, rate, 22050).astype(np.float32), atol=1e-3
    )


def test_of_a_film_the_sound_is_read_and_a_silent_one_is_told() -> None:
    for has_sound in (True, False):
        file = io.BytesIO()
        with av.open(file, "w", format="mp4") as film:
            video = film.add_stream("mpeg4", rate=10)
            video.width = video.height = 64
            video.pix_fmt = "yuv420p"
            stream = film.add_stream("aac", rate=22050, layout="mono") if has_sound else None
            for _ in range(30):
                film.mux(video.encode(av.VideoFrame(64, 64, "yuv420p")))
            film.mux(video.encode(None))
            if stream is not None:
                for start in range(0, 3 * 22050, 1024):
                    part = tone()[None, start : start + 1024]
                    frame = av.AudioFrame.from_ndarray(part, "fltp", layout="mono")
                    frame.sample_rate = 22050
                    film.mux(stream.encode(frame))
                film.mux(stream.encode(None))
        if has_sound:
            assert audio.load(file.getvalue()).source.seconds == pytest.approx(3, abs=0.1)
        else:
            with pytest.raises(audio.BadAudioError, match=r"^no audio in it \(video only\)$"):
                audio.load(file.getvalue())
