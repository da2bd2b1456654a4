"""Real audio files of every format that can be written here, by FFmpeg or libsndfile."""

from __future__ import annotations

import io
from typing import NamedTuple

import av
import numpy as np
import soundfile
import soxr

from genre_vae.collection.decoders import Samples
from genre_vae.records import FloatArray


class Format(NamedTuple):
    """How FFmpeg writes a file: its container's name, the codec's, and its rate in Hz."""

    container: str
    codec: str
    is_lossless: bool = False
    rate: int = 44100
    bit_rate: int = 160_000
    layout: str = "stereo"
    sample: str = ""  # the codec's own type of sample, where its first is not the usual one
    options: dict[str, str] = {}  # noqa: RUF012 - of the container; never changed


FORMATS = {
    "flac.flac": Format("flac", "flac", True),
    "pcm.wav": Format("wav", "pcm_s16le", True),
    "pcm24.w64": Format("w64", "pcm_s24le", True),
    "pcm.aiff": Format("aiff", "pcm_s16be", True),
    "pcm.au": Format("au", "pcm_s16be", True),
    "alac.m4a": Format("ipod", "alac", True),
    "alac.caf": Format("caf", "alac", True),
    "wavpack.wv": Format("wv", "wavpack", True, sample="s16p"),
    "tta.tta": Format("tta", "tta", True, sample="s16"),
    "flac.mka": Format("matroska", "flac", True),
    "flac.oga": Format("ogg", "flac", True),
    "pcm.mov": Format("mov", "pcm_s16le", True),
    "mp3.mp3": Format("mp3", "libmp3lame"),
    "noxing.mp3": Format(
        "mp3", "libmp3lame", bit_rate=0, options={"write_xing": "0", "id3v2_version": "0"}
    ),
    "mp2.mp2": Format("mp2", "mp2", bit_rate=320_000),
    "mp3.wav": Format("wav", "libmp3lame"),
    "mp3.avi": Format("avi", "libmp3lame"),
    "aac.aac": Format("adts", "aac"),
    "aac.m4a": Format("ipod", "aac"),
    "aac.m4b": Format("ipod", "aac"),
    "aac.mp4": Format("mp4", "aac"),
    "fragmented.mp4": Format(
        "mp4", "aac", options={"movflags": "frag_keyframe+empty_moov", "frag_duration": "1000000"}
    ),
    "aac.3gp": Format("3gp", "aac"),
    "aac.ts": Format("mpegts", "aac"),
    "aac.flv": Format("flv", "aac"),
    "opus.opus": Format("ogg", "libopus", rate=48000, bit_rate=256_000),
    "opus.webm": Format("webm", "libopus", rate=48000, bit_rate=256_000),
    "opus.mkv": Format("matroska", "libopus", rate=48000, bit_rate=256_000),
    "ac3.ac3": Format("ac3", "ac3"),
    "eac3.eac3": Format("eac3", "eac3", rate=48000),
    "ac3.rm": Format("rm", "ac3"),
    "wma.wma": Format("asf", "wmav2"),
    "amr.amr": Format(
        "amr", "libopencore_amrnb", rate=8000, bit_rate=12_200, layout="mono"
    ),  # telephone quality
}


def encoded(form: Format, waveform: FloatArray, rate: int = 22050, *, times: int = 1) -> bytes:
    """A file's content: (samples,) or (samples, channels) -> bytes. Its frames are written `times`
    in a row, which takes less time than to encode them again."""
    sound = soxr.resample(waveform, rate, form.rate)
    if sound.ndim == 1:
        sound = np.repeat(sound[:, None], 1 if form.layout == "mono" else 2, axis=1)
    content = io.BytesIO()
    with av.open(content, "w", format=form.container, options=form.options) as container:
        options = {} if form.bit_rate else {"q": "4", "global_quality": "472"}  # variable rate
        stream = container.add_stream(form.codec, rate=form.rate, options=options)
        assert isinstance(stream, av.AudioStream)
        stream.layout = form.layout
        if form.bit_rate:
            stream.bit_rate = form.bit_rate
        context = stream.codec_context
        if form.sample:
            context.format = av.AudioFormat(form.sample)
        frame = av.AudioFrame.from_ndarray(
            np.ascontiguousarray(sound.T, dtype=np.float32), "fltp", layout=form.layout
        )
        frame.sample_rate = form.rate
        resampler = av.AudioResampler(context.format, form.layout, form.rate)
        queue = av.AudioFifo()
        for part in resampler.resample(frame):
            queue.write(part)
        packets: list[av.Packet[av.AudioStream]] = []
        while (chunk := queue.read(context.frame_size or 4096, partial=True)) is not None:
            packets += stream.encode(chunk)
        packets += stream.encode(None)
        frames = [(bytes(packet), packet.time_base) for packet in packets]
        step = max(packet.duration or 0 for packet in packets)
        clock = len(packets) * step
        container.mux(packets)
        for content_of, unit in (times - 1) * frames:
            more = av.Packet(content_of)
            more.stream, more.time_base = stream, unit
            more.pts = more.dts = clock
            more.duration = step
            clock += step
            container.mux(more)
    return content.getvalue()


def written(form: str, subtype: str, samples: Samples, rate: int = 22050) -> bytes:
    """A file's content, as libsndfile writes it."""
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format=form, subtype=subtype)
    return content.getvalue()


def song(seconds: float, *, rate: int = 22050, seed: int = 0) -> FloatArray:
    """A sound with much in it: chords of three voices with overtones, and a beat of noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    wave = np.zeros(len(t))
    for voice in range(3):
        notes = 110 * 2 ** (rng.integers(0, 36, size=int(2 * seconds) + 1) / 12)
        phase = 2 * np.pi * np.cumsum(notes[(2 * t).astype(int)]) / rate
        for overtone in range(1, 9):
            wave += np.sin(overtone * phase + voice) / overtone**1.3
    beat = np.exp(-8 * (t * 2 % 1)) * rng.normal(size=len(t))
    wave = wave / np.abs(wave).max() + 0.3 * beat + 0.05 * rng.normal(size=len(t))
    return np.asarray(0.5 * wave / np.abs(wave).max(), dtype=np.float32)
