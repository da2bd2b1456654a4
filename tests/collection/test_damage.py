"""Files that are cut off, damaged or something else: each has a true reason, and none does harm."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from genre_vae.collection import audio
from tests.collection.formats import FORMATS, encoded, song, written
from tests.collection.test_formats import content, distance
from tests.helpers import ROOT

# What says nothing about its own length: half of one is a shorter one.
UNTOLD = {
    *("noxing.mp3", "mp2.mp2", "aac.aac", "ac3.ac3", "eac3.eac3", "amr.amr", "aac.ts"),
    *("aac.flv", "ac3.rm"),
}
SOMETIMES = {"fragmented.mp4"}  # it tells unless it is cut between two fragments


def reason(file: bytes) -> str:
    with pytest.raises(audio.BadAudioError) as error:
        audio.load(file)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("share", [0.9, 0.5, 0.3])
@pytest.mark.parametrize("name", [name for name in FORMATS if name not in UNTOLD | SOMETIMES])
def test_a_truncated_file_is_noticed(name: str, share: float) -> None:
    whole = content(name)
    assert reason(whole[: int(share * len(whole))]).startswith(("truncated: ", "damaged: "))


@pytest.mark.parametrize("name", sorted(UNTOLD))
def test_where_nothing_tells_what_is_there_is_read(name: str) -> None:
    whole = content(name)
    clip = audio.load(whole[: len(whole) // 2])
    assert clip.source.seconds == pytest.approx(2.5, abs=0.3)


@pytest.mark.parametrize("form", ["flac.flac", "wavpack.wv", "tta.tta", "mp3.mp3", "opus.opus"])
def test_a_long_truncated_file_whose_middle_is_there_is_noticed(form: str) -> None:
    small = FORMATS[form]._replace(layout="mono", bit_rate=64_000, rate=24_000)
    if small.is_lossless:  # its frames are numbered
        whole = encoded(small, np.tile(song(25.0), 4))
    else:
        whole = encoded(small, song(25.0), times=4)
    assert audio.load(whole).source.seconds == pytest.approx(100, abs=0.3)
    assert reason(whole[: int(0.85 * len(whole))]).startswith("truncated: ")


@pytest.mark.parametrize("name", FORMATS)
def test_a_few_bytes_less_are_no_truncation(name: str) -> None:
    if name not in ("opus.opus", "flac.oga", "alac.caf"):  # what is cut there says how long it is
        assert audio.load(content(name)[:-20]).source.seconds == pytest.approx(5, abs=0.1)


def test_sizes_that_were_not_known_when_a_file_was_written_promise_nothing() -> None:
    sound = song(3.0)
    expected = audio.load(written("WAV", "PCM_16", sound)).waveform
    for unknown in (0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000):
        for form, name, order in (("WAV", b"data", "little"), ("AU", b".snd", "big")):
            file = bytearray(written(form, "PCM_16", sound))
            at = file.index(name) + (4 if form == "WAV" else 8)
            file[at : at + 4] = unknown.to_bytes(4, "little" if order == "little" else "big")
            np.testing.assert_array_equal(audio.load(bytes(file)).waveform, expected)


def test_a_header_longer_than_its_file_is_told() -> None:
    file = bytearray(written("AU", "PCM_16", song(3.0)))
    file[4:12] = b"\x7f\0\0\0\xff\xff\xff\xff"  # where its samples begin, and how many
    assert reason(bytes(file)).startswith("cannot be decoded")


@pytest.mark.parametrize("name", ["noxing.mp3", "mp3.mp3", "aac.aac"])
def test_a_little_junk_is_passed_and_much_is_told(name: str) -> None:
    whole, junk = content(name), np.random.default_rng(1).bytes(len(content(name)))
    at = len(whole) // 2
    little, much = len(whole) // 50, len(whole) // 4
    clip = audio.load(whole[:at] + junk[:little] + whole[at + little :])
    assert distance(clip.waveform, audio.load(whole).waveform) < 0.6
    assert "%" in reason(whole[:at] + junk[:much] + whole[at + much :])


def test_protected_files_are_told() -> None:
    whole = content("wma.wma")
    encryption = bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e")
    assert reason(whole[:200] + encryption + whole[216:]) == "protected (DRM)"
    at = content("aac.m4a").index(b"stsd") + 16
    for entry in (b"drms", b"enca", b"aavd"):
        whole = content("aac.m4a")
        assert reason(whole[:at] + entry + whole[at + 4 :]) == "protected (DRM)"


def test_true_reasons() -> None:
    page = b"\n<!DOCTYPE html>\n<html><head><title>404</title></head></html>"
    assert reason(b"") == "empty file"
    assert reason(page) == "a web page, not audio"
    assert reason(b"PK\3\4" + bytes(100)) == "a zip archive, not audio"
    assert reason(b"\xff\xd8\xff\xe0" + bytes(100)) == "a picture, not audio"
    assert reason(b"%PDF-1.4\n") == "a PDF document, not audio"
    assert reason(b"Dear diary") == "text, not audio"
    assert reason(b"#EXTM3U\nhttp://127.0.0.1/a.ts\n") == "a playlist, not audio"
    assert reason(b"ffconcat version 1.0\nfile /etc/passwd\n") == "text, not audio"
    assert reason(bytes(5000)) == "zeros, not audio"
    assert reason(np.random.default_rng(0).bytes(5000)) == ("cannot be decoded: no format of audio")
    assert reason(content("aac.m4a")[:40]).startswith("truncated")


def mutants(count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Files of all formats with bytes flipped, cut out, put in, moved, or their end cut off."""
    rng = np.random.default_rng(seed)
    names = list(FORMATS)
    for number in range(count):
        name = names[number % len(names)]
        file = bytearray(content(name))
        for _ in range(rng.integers(1, 6)):
            if len(file) < 400:
                break
            early = rng.random() < 0.5  # where a header is
            at = int(rng.integers(0, min(len(file), 500) if early else len(file)))
            length = int(rng.integers(1, 300))
            match rng.integers(0, 5):
                case 0:
                    file[at] = int(rng.integers(0, 256))
                case 1:
                    del file[at : at + length]
                case 2:
                    file[at:at] = rng.bytes(length)
                case 3:
                    file[at : at + length] = rng.bytes(length)
                case _:
                    file[max(at, 100) :] = b""
        yield name, bytes(file)


QUIETLY = """
import sys
from pathlib import Path
from genre_vae.collection import audio
def found(source):
    try:
        clip = audio.load(source)
        return clip.waveform.tobytes(), repr(clip.source), clip.note
    except audio.BadAudioError as error:
        assert str(error).isprintable() and len(str(error)) < 100, error
        return str(error)
for path in sorted(Path(sys.argv[1]).iterdir()):
    assert found(path) == found(path.read_bytes()), path
print("done")
"""


def read_quietly(folder: Path, count: int, seed: int) -> None:
    for number, (name, file) in enumerate(mutants(count, seed)):
        (folder / f"{number:03d}.{name}").write_bytes(file)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", QUIETLY, str(folder)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "done\n", "")


def test_random_damage_never_does_harm_nor_prints(tmp_path: Path) -> None:
    read_quietly(tmp_path, 40, seed=4)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2])
def test_much_random_damage_never_does_harm_nor_prints(tmp_path: Path, seed: int) -> None:
    read_quietly(tmp_path, 300, seed)
