"""Tags: what was written in any format comes back; damage gives nothing rather than an error."""

from __future__ import annotations

import os
import threading
import unicodedata
from pathlib import Path
from typing import Any

import av
import mutagen
import numpy as np
import pytest
import soundfile
from mutagen import id3
from mutagen._vorbis import VCommentDict
from mutagen.apev2 import APEv2
from mutagen.asf import ASF
from mutagen.mp4 import MP4
from mutagen.ogg import OggPage

from genre_vae.collection import tags
from genre_vae.collection.stamps import unstamped
from genre_vae.collection.tags import Tags
from tests.helpers import tone

SOUND = tone(seconds=0.5, rate=24_000)
WORDS = "first line\nsecond line"
STAMPED = "[ti:Song]\n[00:01.00]first line\n[00:02.50][00:09.50]second line"
FULL = Tags(("Rock", "Pop", "Electronic", "Drum & Bass"), "Árni", "Album", "Title")
GENRES = ["Rock; Pop/Electronic", "Drum & Bass", "rock"]


def encode(path: Path, codec: str, container: str, **metadata: str) -> Path:
    """A tone, written by PyAV, with the container's own metadata."""
    with av.open(str(path), "w", format=container) as out:
        out.metadata.update(metadata)
        stream: Any = out.add_stream(codec, rate=22_050)
        stream.layout, stream.bit_rate = "mono", 64_000
        frame = av.AudioFrame.from_ndarray(SOUND[None], format="fltp", layout="mono")
        frame.sample_rate = 22_050
        out.start_encoding()
        frames = av.AudioResampler(stream.format, "mono", 22_050, 1024).resample(frame)
        for one in (*frames, None):
            out.mux(stream.encode(one))
    return path


def write(path: Path, **options: Any) -> Path:
    soundfile.write(path, SOUND, 24_000, **options)
    return path


def add_vorbis(path: Path) -> None:
    file: Any = mutagen.File(path)
    file["GENRE"], file["ARTIST"], file["ALBUM_ARTIST"] = GENRES, ["Someone"], ["Árni"]
    file["Album"], file["title"], file["LYRICS"] = ["Album"], ["Title"], [STAMPED]
    file.save()


def frames() -> id3.ID3:
    found = id3.ID3()
    found.add(id3.TCON(encoding=3, text=GENRES))
    found.add(id3.TPE1(encoding=3, text=["Árni"]))
    found.add(id3.TPE2(encoding=3, text=["Various Artists"]))
    found.add(id3.TALB(encoding=1, text=["Album"]))
    found.add(id3.TIT2(encoding=0, text=["Title"]))
    found.add(id3.USLT(encoding=3, lang="eng", desc="", text=STAMPED))
    return found


def add_id3(path: Path) -> None:
    file: Any = mutagen.File(path)
    file.add_tags()
    for frame in frames().values():
        file.tags.add(frame)
    file.save()


def ogg(path: Path) -> None:
    add_vorbis(write(path, format="OGG", subtype="VORBIS"))


def opus(path: Path) -> None:
    add_vorbis(write(path, format="OGG", subtype="OPUS"))


def flac(path: Path) -> None:
    add_vorbis(write(path, format="FLAC"))


def ogg_flac(path: Path) -> None:
    """The headers of a flac file as packets of an ogg stream (xiph.org/flac/ogg_mapping.html)."""
    flac(path)
    start = path.read_bytes()[:42]
    comments = VCommentDict(framing=False)
    comments.update({"GENRE": GENRES, "ARTIST": ["Árni"], "ALBUM": ["Album"], "TITLE": ["Title"]})
    comments["UNSYNCEDLYRICS"] = [STAMPED]
    block = comments.write(framing=False)
    packets = (
        b"\x7fFLAC\x01\x00\x00\x01" + start,
        b"\x84" + len(block).to_bytes(3, "big") + block,
    )
    with path.open("wb") as file:
        for number, packet in enumerate(packets):
            page = OggPage()
            page.serial, page.sequence, page.packets = 7, number, [packet]
            page.first, page.last, page.position = number == 0, number == 1, number * 12_000
            file.write(page.write())


def flac_after_id3(path: Path) -> None:
    flac(path)
    other = path.with_name("other.tag")
    tag = id3.ID3()
    tag.add(id3.TIT2(encoding=3, text=["Another title"]))
    tag.save(other)
    path.write_bytes(other.read_bytes() + path.read_bytes())


def wav(path: Path) -> None:
    add_id3(write(path, format="WAV"))


def aiff(path: Path) -> None:
    add_id3(write(path, format="AIFF"))


def mp3_24(path: Path) -> None:
    frames().save(write(path, format="MP3"))


def mp3_23(path: Path) -> None:
    tag = frames()
    tag.update_to_v23()
    tag.save(write(path, format="MP3"), v2_version=3, v23_sep="; ")


def aac(path: Path) -> None:
    encode(path, "aac", "adts")
    frames().save(path)


def ape(path: Path) -> None:
    tag = APEv2()
    tag.update({"Genre": GENRES, "Artist": "Someone", "Album Artist": "Árni"})
    tag.update({"Album": "Album", "Title": "Title", "Lyrics": STAMPED})
    tag["Cover Art (front)"] = b"\x00\x01"
    tag.save(path)


def mp3_ape(path: Path) -> None:
    ape(write(path, format="MP3"))


def wavpack(path: Path) -> None:
    ape(encode(path, "wavpack", "wv"))


def m4a(path: Path) -> None:
    file: Any = MP4(encode(path, "aac", "mp4"))
    file.update({"©gen": GENRES, "©ART": ["Someone"], "aART": ["Árni"], "©alb": ["Album"]})
    file.update({"©nam": ["Title"], "©lyr": [STAMPED], "trkn": [(1, 2)]})
    file.save()


def wma(path: Path) -> None:
    file: Any = ASF(encode(path, "wmav2", "asf"))
    file["WM/Genre"], file["Author"], file["WM/AlbumArtist"] = GENRES, "Someone", "Árni"
    file["Title"], file["WM/AlbumTitle"], file["WM/Lyrics"] = "Title", "Album", STAMPED
    file.save()


def matroska(path: Path) -> None:
    about = {"genre": ";".join(GENRES), "artist": "Árni", "album": "Album", "title": "Title"}
    encode(path, "aac", "matroska", **about, lyrics=STAMPED)


WRITERS = [
    *(ogg, opus, flac, ogg_flac, flac_after_id3, wav, aiff, mp3_24, mp3_23, aac),
    *(mp3_ape, wavpack, m4a, wma, matroska),
]


@pytest.mark.parametrize("written", WRITERS)
def test_what_was_written_comes_back_whatever_the_file_is_called(
    written: Any, tmp_path: Path
) -> None:
    path = tmp_path / "named.txt"
    written(path)
    assert tags.read(path) == FULL
    assert tags.lyrics(path) == WORDS


@pytest.mark.parametrize("written", [ogg, flac, wav, mp3_24, mp3_ape, m4a, wma, matroska])
def test_damage_anywhere_raises_nothing(written: Any, tmp_path: Path) -> None:
    path = tmp_path / "whole"
    written(path)
    content = path.read_bytes()
    damaged = tmp_path / "damaged"
    rng = np.random.default_rng(0)
    for _ in range(12):
        kept = bytearray(content[: rng.integers(len(content))])
        for place in rng.integers(0, max(1, min(len(kept), 2000)), 20) if kept else ():
            kept[place] = rng.integers(256)
        damaged.write_bytes(kept)
        assert isinstance(tags.read(damaged), Tags)
        assert isinstance(tags.lyrics(damaged), str)


def test_a_file_without_tags_has_none(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no audio")
    (tmp_path / "empty").touch()
    write(tmp_path / "bare.wav")
    write(tmp_path / "bare.mp3")
    for path in (*tmp_path.iterdir(), tmp_path, tmp_path / "absent"):
        assert tags.read(path) == Tags((), "", "", "")
        assert tags.lyrics(path) == ""


def test_a_pipe_that_nobody_writes_to_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp3")
    reading = threading.Thread(target=tags.read, args=(tmp_path / "pipe.mp3",), daemon=True)
    reading.start()
    reading.join(5)
    assert not reading.is_alive()


def test_nothing_is_printed_of_a_chunk_that_claims_to_be_endless(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = write(tmp_path / "a.aiff").read_bytes()
    for at in (4, 16, 38):
        endless = content[:at] + b"\xff\xff\xff\xff" + content[at + 4 :]
        (tmp_path / "a.aiff").write_bytes(endless)
        assert tags.read(tmp_path / "a.aiff") == Tags()
    assert capfd.readouterr() == ("", "")


def test_the_text_chunks_of_a_wav_are_read_where_it_has_no_other_tags(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    with soundfile.SoundFile(path, "w", 24_000, 1) as sound:
        sound.genre, sound.artist, sound.album, sound.title = "Blues", "A", "B", "C"
        sound.write(SOUND)
    assert tags.read(path) == Tags(("Blues",), "A", "B", "C")
    add_id3(path)
    assert tags.read(path) == FULL


def test_id3v1_names_its_genre_by_number_and_an_ape_tag_has_the_whole_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp3")
    sound = path.read_bytes()
    texts = [text.ljust(30, b"\0") for text in (b"Title", b"A" * 30, b"Album")]
    v1 = b"TAG" + b"".join(texts) + b"1999" + bytes(30) + b"\x11"
    path.write_bytes(sound + v1)
    assert tags.read(path) == Tags(("Rock",), "A" * 30, "Album", "Title")
    path.write_bytes(sound)
    tag = APEv2()
    tag["Artist"] = "A" * 40
    tag.save(path)
    path.write_bytes(path.read_bytes() + v1)
    assert tags.read(path) == Tags(("Rock",), "A" * 40, "Album", "Title")


def test_id3v22_is_read(tmp_path: Path) -> None:
    frame = b"TCO" + b"\x00\x00\x05" + b"\x00(17)"
    path = tmp_path / "a.mp3"
    path.write_bytes(b"ID3\x02\x00\x00\x00\x00\x00" + bytes([len(frame)]) + frame)
    assert tags.read(path).genres == ("Rock",)


def test_the_numeric_genre_of_mp4_is_a_name(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.m4a", "aac", "mp4")
    file: Any = MP4(path)
    file["©gen"] = ["XY"]
    file.save()
    content = path.read_bytes()
    at = content.index(b"\xa9gen")
    assert content[at + 8 : at + 12] == b"data"
    content = content[:at] + b"gnre" + content[at + 4 :]
    content = content.replace(
        b"data\x00\x00\x00\x01\x00\x00\x00\x00XY", b"data" + bytes(9) + b"\x12"
    )
    path.write_bytes(content)
    assert tags.read(path).genres == ("Rock",)


@pytest.mark.parametrize(
    "name", ["Various Artists", "VA", "v.a.", "V/A", "various", "Unknown Artist"]
)
def test_an_album_of_various_artists_leaves_the_tracks_own(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac")
    for artist, albumartist, found in ((name, "X", "X"), ("X", name, "X"), (name, name, "")):
        file: Any = mutagen.File(path)
        file["artist"], file["albumartist"] = artist, albumartist
        file.save()
        assert tags.read(path).artist == found


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (["Rock; Pop/Electronic"], ["Rock", "Pop", "Electronic"]),
        (["Rock|Pop\\Jazz\0Soul"], ["Rock", "Pop", "Jazz", "Soul"]),
        (["Rock, Pop,Jazz"], ["Rock", "Pop", "Jazz"]),
        (["Drum & Bass", "Hip-Hop"], ["Drum & Bass", "Hip-Hop"]),
        (["R&B;Rock & Roll"], ["R&B", "Rock & Roll"]),
        (["Folk/Rock", "Pop/Funk"], ["Folk/Rock", "Pop/Funk"]),
        (["Folk, World, & Country"], ["Folk, World, & Country"]),
        (["Rock, folk, world, & country, Pop"], ["Rock", "folk, world, & country", "Pop"]),
        (["Folk, World, & Countryside"], ["Folk", "World", "& Countryside"]),
        (["17", "(17)", "(4)Eurodisco"], ["Rock", "Disco", "Eurodisco"]),
        (["(51)(39)"], ["Techno-Industrial", "Noise"]),
        (["RX", "(CR)", "((Odd)"], ["Remix", "Cover", "(Odd)"]),
        (["192", "1999", "(255)", "9" * 5000], []),
        (["", " ", "Unknown", "other", "NONE", "Genre", "Misc", "<unknown>", "n/a", "-"], []),
        (["Others", "Unknown Pleasures"], ["Others", "Unknown Pleasures"]),
        (["Rock", "rock ", " ROCK", "80s", "Trip  Hop"], ["Rock", "80s", "Trip Hop"]),
        ([unicodedata.normalize("NFD", "Flé"), "Flé"], ["Flé"]),
    ],
)  # fmt: skip
def test_genres_are_split_named_and_told_once(values: list[str], found: list[str]) -> None:
    assert list(tags.genres(values)) == found
    assert list(tags.genres(found)) == found


def test_synchronised_words_are_joined_where_there_are_no_others(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp3")
    tag = id3.ID3()
    lines = [("one", 1), ("\ntwo", 900)]
    tag.add(id3.SYLT(encoding=3, lang="eng", format=2, type=1, desc="", text=lines))
    tag.save(path)
    assert tags.lyrics(path) == "one\ntwo"
    tag.add(id3.USLT(encoding=3, lang="eng", desc="", text="whole words"))
    tag.save(path)
    assert tags.lyrics(path) == "whole words"


def test_stamps_and_headers_of_lrc_are_taken_off_and_nothing_else_is() -> None:
    assert unstamped("[00:01.00]a\r\n[by: x]\r\n[01:02]<01:02.50>b <01:03.00>c\n") == "a\n\nb c"
    plain = "[Chorus: All]\n it's 12:30 [live] <3\n\n[Verse 2]\n"
    assert unstamped(plain) == plain
