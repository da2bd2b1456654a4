"""Files of lyrics as people have them: the same songs come out of every form, or one clear line."""

from __future__ import annotations

import codecs
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mutagen.flac import FLAC

from genre_vae.collection.lyrics_files import Song, in_tags, load
from genre_vae.features.vector_files import ID_COLUMNS
from genre_vae.records import InputError
from tests.collection.test_tags import write as write_sound


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


SONGS = (Song("blues.00000", "the rain falls"), Song("rock.00001", "the road is long"))
CSV = 'filename,lyrics\nblues.00000,the rain falls\nrock.00001,"the road is long"\n'
JSON_LIST = json.dumps([{"filename": s.key, "lyrics": s.text} for s in SONGS])
JSON_LINES = "\n".join(json.dumps({"file": s.key, "text": s.text}) for s in SONGS)
JSON_TEXTS = json.dumps({s.key: s.text for s in SONGS})
JSON_OBJECTS = json.dumps({s.key: {"lyrics": s.text} for s in SONGS})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", CSV),
        ("a.csv", "\ufeff" + CSV),
        ("a.csv", CSV.replace("\n", "\r\n")),
        ("a.csv", CSV.replace("filename,", " filename , ")),
        ("a.csv", CSV.replace(",", ";")),
        ("a.csv", CSV.replace(",", "\t")),
        ("a.csv", CSV.replace(",", ";").replace("lyrics", "lyrics;a,b,c,d")),
        ("a.csv", "sep=;\n" + CSV.replace(",", ";")),
        ("a.tsv", CSV.replace(",", "\t")),
        ("a.txt", CSV.replace(",", "|")),
        ("A.CSV", CSV.replace("filename", "File Name").replace("lyrics", "LYRICS")),
        ("a.csv", CSV.replace("filename", "Track_ID").replace("lyrics", "seq")),
        ("a.csv", CSV.replace("filename", "path").replace("lyrics", "Words")),
        ("a.csv", CSV.replace("filename", "song").replace("lyrics", "Lyric") + ",\n"),
        (
            "a.csv",
            CSV.replace("falls", "falls[01:02.03]").replace("the rain", "[00:01.00]the rain"),
        ),
        ("a.csv", CSV.replace("filename", "who").replace("lyrics", "Text")),
        *(("a.csv", CSV.replace("filename", name)) for name in ID_COLUMNS),
        ("a.jsonl", JSON_LINES),
        ("a.ndjson", JSON_LINES + "\n"),
        ("a.json", JSON_LINES),
        ("a.json", JSON_LIST),
        ("a.json", JSON_TEXTS),
        ("a.json", JSON_OBJECTS),
    ],
)
def test_every_form_reads_the_same(tmp_path: Path, name: str, text: str) -> None:
    read = load(write(tmp_path / name, text))
    assert [(song.key, song.text) for song in read.songs] == [(s.key, s.text) for s in SONGS]


def test_columns_can_be_named(tmp_path: Path) -> None:
    text = CSV.replace("filename", "title").replace("lyrics", "words")
    path = write(tmp_path / "a.csv", text)
    read = load(path, id_column="title", text_column="words").songs
    assert read == tuple(replace(song, title=song.key) for song in SONGS)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", b'[{"filename": "a"', "broken JSON"),
        ("a.json", b"[" * 100_000, "broken JSON"),
        ("a.json", b"[1, 2]", "expected a list of objects"),
        ("a.json", b"[]", "expected a list of objects"),
        ("a.json", b'[{"filename": ' + b"9" * 5000 + b"}]", "broken JSON"),
        ("a.csv", b"filename,lyrics\n", "no songs, only a header"),
        ("a.csv", b"filename,tune\na,b\n", "no column of words, only filename, tune; type -P"),
        ("a.csv", b"who,lyrics,of\na,b,c\n", "no column of songs' names, only who, lyrics, of;"),
        ("a.csv", b"file,path,lyrics\na,b,c\n", "'file' and 'path' could both be meant, only"),
        ("a.csv", b"file,words,text\na,b,c\n", "type -P lyrics_text=<one of them>"),
        ("a.csv", b"LYRICS,Lyrics ,file\na,b,c\n", "'LYRICS' and 'Lyrics' could both be meant"),
        ("a.csv", b"lyrics,lyrics,file\na,b,c\n", "'lyrics' and 'lyrics' could both be meant"),
        ("a.jsonl", b'{"file": "a", "text": "b"}\n{"file"', "line 2: broken JSON"),
        ("a.ndjson", b"[1]\n[2]\n", "expected a list of objects"),
        ("a.csv", b"PK\x03\x04 and more", "a spreadsheet or an archive"),
        ("a.csv", b"filename,lyrics\na,x\x00\x00\x00y\n", "zero bytes"),
        ("a.csv", b"\xff\xfe\x00", "neither UTF-8 nor UTF-16 at byte"),
        ("a.csv", b"filename,lyrics\na,b,c,d\nq,w,e,r,t\n", "not a CSV table"),
        ("a.csv", b"filename,lyrics\na,rain, rain\n", "words with a comma need quotes"),
        ("a.csv", b"filename,lyrics\n,x\n,\n", "1 songs have nothing in 'filename'"),
        ("a.json", b'{"a": "x", "a": "y"}', "the key 'a' occurs twice"),
        ("a.json", b'{"a": {"lyrics": {"b": "c"}}}', "are an object, not text"),
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"  \n ", "the file is empty"),
        ("a.csv", "filename,lyrics\na,дождь идёт\n".encode("cp1251"), "not UTF-8 at byte 18, nor"),
        ("a.csv", b"filename,lyrics\na,b\x81\n", "nor Windows-1252; save it as UTF-8"),
    ],
)
def test_a_bad_file_gets_one_clear_line(
    tmp_path: Path, name: str, content: bytes, said: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        load(tmp_path / name)
    assert said in str(error.value)
    assert str(tmp_path / name) in str(error.value)
    assert "\n" not in str(error.value)


def test_half_a_character_can_be_written_again(tmp_path: Path) -> None:
    file = load(write(tmp_path / "a.json", '{"rock.00001": "a \\ud800 b", "x": 0}'))
    assert file.songs == (Song("rock.00001", "a ? b"), Song("x", "0"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        load(tmp_path / "nowhere.csv")


def test_lines_of_words_are_joined_and_numbers_are_names(tmp_path: Path) -> None:
    text = '[{"filename": 0, "lyrics": ["a", "b"]}, {"filename": 1, "lyrics": "c"}]'
    assert load(write(tmp_path / "a.json", text)).songs == (Song("0", "a\nb"), Song("1", "c"))


@pytest.mark.parametrize(
    "encoded",
    [
        *(("utf-8", b""), ("utf-8-sig", b""), ("cp1252", b""), ("utf-16", b"")),
        *(("utf-16-le", b""), ("utf-16-be", b""), ("utf-16-be", codecs.BOM_UTF16_BE)),
        ("utf-32", b""),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_every_encoding_that_spreadsheets_write_reads_the_same(
    tmp_path: Path, encoded: tuple[str, bytes], end: str
) -> None:
    words = f"l\u2019\u00e9t\u00e9 est long{end}et chaud; oui"
    text = f'Filename;Lyrics{end}caf\u00e9.wav;"{words}"{end}'
    (tmp_path / "a.csv").write_bytes(encoded[1] + text.encode(encoded[0]))
    read = load(tmp_path / "a.csv")
    assert [(song.key, song.text) for song in read.songs] == [("caf\u00e9.wav", words)]
    assert any("Windows-1252" in note for note in read.notes) == (encoded[0] == "cp1252")


def test_commas_in_words_do_not_make_a_table_of_them(tmp_path: Path) -> None:
    text = "title;artist;lyrics\nA;B;rain, rain, go away\n"
    assert load(write(tmp_path / "a.txt", text)).songs[0].text == "rain, rain, go away"


def test_columns_that_were_guessed_are_named(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", "Song Title,ARTIST,year,seq\nStay,Her,17,words\n")
    read = load(path)
    assert read.songs == (Song("Her - Stay", "words", artist="Her", title="Stay"),)
    assert read.notes == ("songs are named by 'ARTIST' and 'Song Title', their words are 'seq'",)
    write(path, "Song Title,ARTIST,id,seq\nStay,Her,17,words\n")
    read = load(path)
    assert read.songs == (Song("17", "words", artist="Her", title="Stay"),)
    assert read.songs[0].file_name == "Her - Stay"
    assert read.notes == (
        "songs are named by 'id' or 'ARTIST' and 'Song Title', their words are 'seq'",
    )
    assert load(path, id_column="song_title").songs[0].key == "Stay"
    with pytest.raises(InputError, match="no column 'nowhere', only Song Title, ARTIST, id, seq"):
        load(path, id_column="nowhere")


def test_rows_without_a_name_are_left_out_and_counted(tmp_path: Path) -> None:
    text = "filename,lyrics\na,x\n,words of nobody\n,\nb\n"
    read = load(write(tmp_path / "a.csv", text))
    assert read.songs == (Song("a", "x"), Song("b", ""))
    assert read.notes == ("1 songs have nothing in 'filename', and are left out",)


def test_a_folder_holds_a_file_for_each_song(tmp_path: Path) -> None:
    (tmp_path / "rock").mkdir()
    (tmp_path / "empty").mkdir()
    write(tmp_path / "rock/a.LRC", "[ar:x]\n[00:01.00]first\n[00:02.00]second\n")
    write(tmp_path / "rock/b.00001.txt", "\ufeffsome words")
    write(tmp_path / ".hidden.txt", "no")
    write(tmp_path / "rock/a.wav", "no")
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe\x00")
    read = load(tmp_path)
    assert read.name == f"{tmp_path.name}/"
    assert read.songs == (Song("rock/a", "first\nsecond"), Song("rock/b.00001", "some words"))
    assert len(read.notes) == 1
    assert read.notes[0].startswith("1 files cannot be read, such as c.txt: neither UTF-8 nor")
    with pytest.raises(InputError, match=r"no \.lrc or \.txt file in the folder"):
        load(tmp_path / "empty")


def test_a_single_lrc_is_a_song(tmp_path: Path) -> None:
    path = write(tmp_path / "a.lrc", "[00:01.00]first\n[00:02.00]second\n")
    assert load(path).songs == (Song("a", "first\nsecond"),)


def test_words_in_tags_belong_to_their_track(tmp_path: Path) -> None:
    for name in ("a.flac", "b.flac"):
        write_sound(tmp_path / name)
    ids = np.array(["a.flac", "b.flac", "gone.flac"])
    with pytest.raises(InputError, match="none of 3 files has words in its tags"):
        in_tags(tmp_path, ids)
    file = FLAC(tmp_path / "b.flac")
    file["lyrics"] = "[00:01.00]words"
    file.save()
    assert in_tags(tmp_path, ids).songs == (Song("b.flac", "words"),)


def test_equal_songs_have_one_fingerprint_in_whatever_form(tmp_path: Path) -> None:
    one = load(write(tmp_path / "a.csv", CSV))
    same = load(write(tmp_path / "a.json", JSON_TEXTS))
    other = load(write(tmp_path / "b.csv", CSV.replace("rain", "snow")))
    assert (one.name, other.name) == ("a.csv", "b.csv")
    assert one.fingerprint == same.fingerprint != other.fingerprint
    named = load(write(tmp_path / "c.csv", CSV.replace("filename", "file")))
    assert one.songs == named.songs
    assert one.fingerprint != named.fingerprint, "the note on its columns is part of the result"
    assert (one.songs[1:], one.songs[0]) == (other.songs[1:], SONGS[0])
