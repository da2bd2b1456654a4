from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genre_vae.collection import lyrics
from genre_vae.collection.lyrics import Lyrics, match, named_by_tags
from genre_vae.collection.lyrics_files import Song, SongFile, load
from genre_vae.collection.tags import Tags
from genre_vae.records import InputError, LabelUse

IDS = np.array([f"genres/{g}/{g}.{n:05d}.wav" for g in ("blues", "rock") for n in range(3)])
LABELS = np.array(["blues"] * 3 + ["rock"] * 3)


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


SONGS = (Song("blues.00000", "the rain falls"), Song("rock.00001", "the road is long"))


@pytest.mark.parametrize("key", ["genres/rock/rock.00001.wav", "ROCK.00001", "/x/rock/rock.00001"])
def test_filename_matches_in_the_ways_of_the_names_module(key: str) -> None:
    found = match([Song(key, "words here")], IDS, LABELS, by="filename", name="x")
    assert found.mapping() == {i: "words here" if "rock.00001" in i else None for i in IDS.tolist()}


def test_the_more_telling_name_counts_and_accents_are_one_however_composed() -> None:
    ids, labels = np.array(["a.wav", "blues/a.wav", "cafe\u0301.wav"]), np.full(3, "")
    songs = [Song("a", "one"), Song("blues/a.wav", "two"), Song("caf\u00e9.mp3", "three")]
    assert match(songs, ids, labels, by="filename", name="x").texts == ("one", "two", "three")


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


@pytest.mark.parametrize("key", ["rock.00001", "rock.00001.wav", "ROCK.00001.m4a"])
def test_a_track_that_several_songs_fit_gets_none_unless_their_words_are_equal(key: str) -> None:
    songs = [Song("rock.00001", "one"), Song(key, "two"), *SONGS[:1]]
    found = match(songs, IDS, LABELS, by="filename", name="x")
    assert found.texts[4] == ""
    assert any("1 tracks fit several songs" in line for line in found.report)
    equal = match([songs[0], replace(songs[1], text="one ")], IDS, LABELS, by="filename", name="x")
    assert equal.texts[4] == "one"
    assert not any("fit several songs" in line for line in equal.report)


def test_a_name_that_occurs_twice_and_fits_no_track_is_only_counted() -> None:
    songs = [*SONGS, Song("Intro", "one"), Song("Intro", "two")]
    found = match(songs, IDS, LABELS, by="filename", name="x")
    assert found.texts == match(SONGS, IDS, LABELS, by="filename", name="x").texts
    assert "1 names occur more than once, such as 'Intro'" in found.report


def test_two_of_a_name_are_ambiguous_by_basename_too() -> None:
    songs = [Song("00001", "one"), Song("x.00001", "two"), Song("00002", "three")]
    found = match(songs, IDS, LABELS, by="basename", name="x")
    assert found.texts == ("", "", "three") * 2


TAGGED = {
    "1.wav": Tags(("Rock",), "AC/DC", "Album", "Don\u2019t Stop"),
    "2.wav": Tags((), "Other", "", "Don't stop"),
    "3.wav": Tags((), "", "", "Alone"),
    "sub/4.wav": Tags((), "AC/DC", "Live", "DON'T STOP!"),
    "5.wav": Tags(),
}


def by_tags(*songs: Song) -> tuple[str, ...]:
    named = named_by_tags(SongFile("x", songs), TAGGED).songs
    ids = np.array(list(TAGGED))
    return match([*named, Song("5", "five")], ids, np.full(5, ""), by="filename", name="x").texts


def test_songs_are_found_by_the_title_and_artist_in_tags() -> None:
    song = Song("17", "words", artist="AC/DC", title="Don't Stop")
    assert by_tags(song) == ("words", "", "", "words", "five")
    assert by_tags(replace(song, artist="Else")) == ("", "", "", "", "five")
    assert by_tags(song, replace(song, key="18", text="others")) == ("", "", "", "", "five")
    assert by_tags(song, replace(song, key="18")) == ("words", "", "", "words", "five")


def test_a_title_without_an_artist_has_to_be_the_only_one() -> None:
    assert by_tags(Song("x", "words", title="alone")) == ("", "", "words", "", "five")
    assert by_tags(Song("x", "words", title="Don't Stop")) == ("", "", "", "", "five")
    assert by_tags(Song("x", "words")) == ("", "", "", "", "five")


def test_the_name_in_the_file_comes_before_the_title_and_a_file_may_be_called_by_both() -> None:
    song = Song("3", "words", artist="AC/DC", title="Alone")
    other = Song("3.wav.old", "others", title="Alone")
    assert by_tags(song, other) == ("", "", "words", "", "five")
    ids = np.array(["rock/AC-DC - Alone.mp3", "rock/Alone.mp3"])
    song = replace(song, key="1", artist="ac-dc")
    found = match([song], ids, np.full(2, ""), by="filename", name="x")
    assert found.texts == ("words", "")


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
    cut_at = lyrics.MAX_CHARACTERS
    left = 50 * len(line[cut_at:].split())
    said = f"50 songs are longer than {cut_at} characters, and are cut there: {left} words are left"
    assert found.report[-1] == f"{said} out"
