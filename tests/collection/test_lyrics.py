from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from genre_vae.collection import lyrics
from genre_vae.collection.lyrics import Lyrics, match
from genre_vae.collection.lyrics_files import Song, load
from genre_vae.records import InputError, LabelUse

IDS = np.array([f"genres/{g}/{g}.{n:05d}.wav" for g in ("blues", "rock") for n in range(3)])
LABELS = np.array(["blues"] * 3 + ["rock"] * 3)


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


SONGS = (Song("blues.00000", "the rain falls"), Song("rock.00001", "the road is long"))
CSV = 'filename,lyrics\nblues.00000,the rain falls\nrock.00001,"the road is long"\n'
JSON_LIST = json.dumps([{"filename": s.key, "lyrics": s.text} for s in SONGS])
JSON_TEXTS = json.dumps({s.key: s.text for s in SONGS})
JSON_OBJECTS = json.dumps({s.key: {"lyrics": s.text} for s in SONGS})


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", CSV),
        ("a.csv", "\ufeff" + CSV),
        ("a.csv", CSV.replace("\n", "\r\n")),
        ("a.csv", CSV.replace("filename,", " filename , ")),
        ("a.json", JSON_LIST),
        ("a.json", JSON_TEXTS),
        ("a.json", JSON_OBJECTS),
    ],
)
def test_every_form_reads_the_same(tmp_path: Path, name: str, text: str) -> None:
    assert load(write(tmp_path / name, text)).songs == SONGS


def test_columns_can_be_named(tmp_path: Path) -> None:
    text = CSV.replace("filename", "title").replace("lyrics", "words")
    path = write(tmp_path / "a.csv", text)
    assert load(path, id_column="title", text_column="words").songs == SONGS


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.json", b'[{"filename": "a"', "broken JSON"),
        ("a.json", b"[" * 100_000, "broken JSON"),
        ("a.json", b"[1, 2]", "expected a list of objects"),
        ("a.json", b"[]", "expected a list of objects"),
        ("a.json", b'[{"filename": ' + b"9" * 5000 + b"}]", "broken JSON"),
        ("a.csv", b"filename,lyrics\n", "no songs, only a header"),
        ("a.csv", b"filename,text\na,b\n", "no column 'lyrics', only filename, text"),
        ("a.csv", b"filename,lyrics\na,x\na,y\n", "1 keys occur twice, such as 'a'"),
        ("a.csv", b"filename,lyrics\na,b,c,d\nq,w,e,r,t\n", "not a CSV table"),
        ("a.csv", b"filename,lyrics\na,rain, rain\n", "words with a comma need quotes"),
        ("a.csv", b"filename,lyrics\n,x\nb,y\n", "song 1 has nothing in 'filename'"),
        ("a.json", b'{"a": "x", "a": "y"}', "the key 'a' occurs twice"),
        ("a.json", b'{"a": {"lyrics": {"b": "c"}}}', "are an object, not text"),
        ("a.csv", b"", "the file is empty"),
        ("a.csv", b"  \n ", "the file is empty"),
        ("a.csv", "filename,lyrics\na,café\n".encode("latin-1"), "not UTF-8 at byte 21"),
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


@pytest.mark.parametrize("key", ["genres/rock/rock.00001.wav", "ROCK.00001", "/x/rock/rock.00001"])
def test_filename_matches_in_the_ways_of_the_names_module(key: str) -> None:
    found = match([Song(key, "words here")], IDS, LABELS, by="filename", name="x")
    assert found.mapping() == {i: "words here" if "rock.00001" in i else None for i in IDS.tolist()}


def test_the_more_telling_name_counts_and_accents_are_one_however_composed() -> None:
    ids, labels = np.array(["a.wav", "blues/a.wav", "cafe\u0301.wav"]), np.full(3, "")
    songs = [Song("a", "one"), Song("blues/a.wav", "two"), Song("caf\u00e9.mp3", "three")]
    assert match(songs, ids, labels, by="filename", name="x").texts == ("one", "two", "three")


def test_lines_of_words_are_joined_and_numbers_are_names(tmp_path: Path) -> None:
    text = '[{"filename": 0, "lyrics": ["a", "b"]}, {"filename": 1, "lyrics": "c"}]'
    assert load(write(tmp_path / "a.json", text)).songs == (Song("0", "a\nb"), Song("1", "c"))


def test_index_needs_no_names(tmp_path: Path) -> None:
    rows = "".join(f"{g},{g} {n}\n" for g in ("rock", "blues") for n in range(3))
    file = load(write(tmp_path / "a.csv", "genre,lyrics\n" + rows), id_column=None)
    found = match(file.songs, IDS, LABELS, by="index", name="x")
    assert found.texts == ("blues 0", "blues 1", "blues 2", "rock 0", "rock 1", "rock 2")


@pytest.mark.parametrize("key", ["00001", "blues.00001", "00001.wav"])
def test_basename_gives_one_lyric_to_several_tracks_and_says_so(key: str) -> None:
    found = match([Song(key, "words")], IDS, LABELS, by="basename", name="x")
    assert [bool(text) for text in found.texts] == [False, True, False] * 2
    assert any("1 songs belong to several tracks, up to 2 each" in line for line in found.report)


def test_index_is_the_place_within_the_genre_and_costs_label_use() -> None:
    songs = [Song(f"s{n}", f"{g} {n}", g) for n in range(3) for g in ("rock", "blues")]
    found = match(songs, IDS, LABELS, by="index", name="x")
    assert found.texts == ("blues 0", "blues 1", "blues 2", "rock 0", "rock 1", "rock 2")
    assert found.label_use is LabelUse.ENCODE
    with pytest.raises(InputError, match="needs a column 'genre'"):
        match(SONGS, IDS, LABELS, by="index", name="x")


def test_a_track_that_several_songs_fit_gets_none_and_is_reported() -> None:
    songs = [Song("rock.00001", "one"), Song("rock.00001.wav", "two"), *SONGS[:1]]
    found = match(songs, IDS, LABELS, by="filename", name="x")
    assert found.texts[4] == ""
    assert any("1 tracks fit several songs" in line for line in found.report)


def test_matching_does_not_depend_on_the_order_of_tracks() -> None:
    order = np.random.default_rng(0).permutation(6)
    for by, songs in (
        ("filename", SONGS),
        ("basename", SONGS),
        ("index", [Song(f"{g}{n}", f"{g} {n}", g) for g in ("rock", "blues") for n in range(3)]),
    ):
        one = match(songs, IDS, LABELS, by=by, name="x").mapping()
        assert match(songs, IDS[order], LABELS[order], by=by, name="x").mapping() == one


def test_nothing_that_matches_is_an_error_with_examples() -> None:
    with pytest.raises(InputError, match=r"keys are like 'Stairway', tracks like 'genres/blues"):
        match([Song("Stairway", "x")], IDS, LABELS, by="filename", name="x")


@pytest.mark.parametrize(
    "text", ["", "  ", "[Instrumental]", "(instrumental)", "N/A", "Lyrics not found.", "...", "nan"]
)
def test_markers_count_as_missing(text: str) -> None:
    songs = [Song("rock.00000", text), Song("rock.00001", "An instrumental part of the night")]
    found = match(songs, IDS, LABELS, by="filename", name="x")
    assert found.missing.tolist() == [True, True, True, True, False, True]


def test_songs_that_several_tracks_share_are_reported() -> None:
    ids, labels = np.array(["blues/a.wav", "rock/a.wav", "rock/b.wav"]), np.full(3, "")
    found = match([Song("a", "shared"), Song("b", "own")], ids, labels, by="filename", name="x")
    assert found.texts == ("shared", "shared", "own")
    assert found.report == (
        "3 of 3 tracks matched by filename, 3 of them with words; 0 of 2 songs unused",
        "1 songs belong to several tracks, up to 2 each: words repeat",
    )


def test_a_file_has_the_fingerprint_of_its_content(tmp_path: Path) -> None:
    one, same = (load(write(tmp_path / name, CSV)) for name in ("a.csv", "b.csv"))
    other = load(write(tmp_path / "a.csv", CSV.replace("rain", "snow")))
    assert (one.name, same.name) == ("a.csv", "b.csv")
    assert one.fingerprint == same.fingerprint != other.fingerprint
    assert (one.songs[1:], one.songs[0]) == (other.songs[1:], SONGS[0])


def test_gaps_that_carry_the_genre_are_measured() -> None:
    assert lyrics.missing_nmi(Lyrics("x", IDS, ("", "", "", "a", "b", "c"), LABELS)) == 1
    even = Lyrics("x", IDS[[0, 1, 3, 4]], ("", "a", "", "b"), LABELS[[0, 1, 3, 4]])
    assert lyrics.missing_nmi(even) == pytest.approx(0, abs=1e-9)


def test_gaps_of_one_genre_or_none_say_nothing_and_tracks_without_one_do_not_count() -> None:
    texts = ("", "", "", "a", "b", "c")
    for labels in (np.full(6, ""), np.full(6, "rock"), np.array(["rock"] * 3 + [""] * 3)):
        assert np.isnan(lyrics.missing_nmi(Lyrics("x", IDS, texts, labels)))
    partly = np.array(["blues", "blues", "", "rock", "rock", ""])
    assert lyrics.missing_nmi(Lyrics("x", IDS, texts, partly)) == 1


def test_fifty_megabytes_of_words_are_read_and_cut(tmp_path: Path) -> None:
    line = "la la la the night is young and so are we " * 25_000
    rows = "".join(f"blues.{n:05d},{line}\n" for n in range(50))
    path = write(tmp_path / "a.csv", "filename,lyrics\n" + rows)
    assert path.stat().st_size > 50e6
    found = match(load(path).songs, IDS, LABELS, by="filename", name="a.csv")
    assert found.missing.tolist() == [False] * 3 + [True] * 3
    assert {len(text) for text in found.texts if text} == {lyrics.MAX_CHARACTERS}
    assert found.report[-1] == "50 songs are longer than 20000 characters, and are cut there"
