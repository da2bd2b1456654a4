from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from genre_vae.collection import genres
from genre_vae.collection.genre_tables import PARENTS, GenreTable
from genre_vae.collection.genres import Genres, choose
from genre_vae.collection.names import letters_of
from genre_vae.collection.tags import Tags
from genre_vae.records import InputError

NOTHING = Tags()


def chosen(ids: list[str], tags: list[Tags] | None = None, given: str = "auto") -> Genres:
    return choose(ids, tags or [NOTHING] * len(ids), given=given)


def library(*, genre: str = "", artists: int = 6, albums: int = 2) -> tuple[list[str], list[Tags]]:
    """Artist/Album/track, two tracks an album."""
    ids, tags = [], []
    for artist in range(artists):
        for album in range(albums):
            for track in range(2):
                ids.append(f"Band {artist}x/Record {album}/{track} song.m4a")
                one = (genre.format(artist % 3),) if genre else ()
                tags.append(Tags(one, f"Band {artist}x", f"Record {album}", f"song {track}"))
    return ids, tags


@pytest.mark.parametrize(
    ("base", "found"),
    [
        (["rock/a.wav"], ""),
        (["genres/rock/a.wav", "genres/jazz/b.wav"], "genres/"),
        (
            ["archive/Data/genres_original/rock/a.wav", "cover/b.wav"],
            "archive/Data/genres_original/",
        ),
        (["My Data/Genres/rock/a.wav"], "My Data/Genres/"),
        (["genres/a.wav"], ""),  # a folder of files, not of folders
        (["a/genres/x/1.wav", "b/genres/x/1.wav", "b/genres/x/2.wav"], "b/genres/"),
    ],
)
def test_the_base_of_known_layouts_is_found_at_any_level(base: list[str], found: str) -> None:
    assert genres.base_of(base) == found
    assert genres.base_of(base[::-1]) == found


def test_folders_right_above_their_tracks_are_genres() -> None:
    found = chosen(["klezmer/a.wav", "klezmer/b.wav", "fado/c.wav", "loose.wav"])
    assert found.labels == ["klezmer", "klezmer", "fado", ""]
    assert found.source == "folders"
    assert found.lines == ("from the folders: klezmer, fado",)


@pytest.mark.parametrize(
    "folders",
    [
        ["000", "001", "155"],
        ["CD1", "CD 2", "Disc-3"],
        ["A", "B", "0-9"],
        ["Vol. 1", "Vol. 2", "Vol. 3"],
    ],
)
def test_numbers_are_no_genres(folders: list[str]) -> None:
    found = chosen([f"{folder}/{n}.mp3" for folder in folders for n in range(3)])
    assert set(found.labels) == {""}
    assert "numbers" in found.lines[0]
    assert "genres=folders" in found.lines[0]


def test_artists_are_no_genres() -> None:
    ids, tags = library()
    found = chosen(ids, tags)
    assert (found.source, set(found.labels)) == ("none", {""})
    assert "look like artists" in found.lines[0]


def test_artists_by_the_names_of_their_files_are_no_genres() -> None:
    found = chosen([f"Band {n}x/Band {n}x - Song {k}.mp3" for n in range(4) for k in range(3)])
    assert set(found.labels) == {""}
    gtzan = chosen([f"{genre}/{genre}.0000{k}.wav" for genre in ("blues", "zydeco") for k in "01"])
    assert gtzan.labels == ["blues", "blues", "zydeco", "zydeco"]


def test_folders_of_one_artist_each_are_no_genres_whatever_they_are_called() -> None:
    ids = [f"shelf {n}/{k}.flac" for n in range(5) for k in range(3)]
    tags = [Tags((), f"singer of {track.partition('/')[0]}", "", "") for track in ids]
    assert chosen(ids, tags).source == "none"
    several = [Tags((), f"singer {number}", "", "") for number, _ in enumerate(ids)]
    assert chosen(ids, several).labels[:4] == ["shelf 0"] * 3 + ["shelf 1"]


def test_singles_by_one_artist_each_are_no_genres() -> None:
    ids = [f"Single {n}/song.flac" for n in range(6)]
    tags = [Tags(("Rock",) if n % 2 else ("Pop",), f"singer {n % 3}", "", "") for n in range(6)]
    assert chosen(ids, tags).source == "tags"


def test_folders_of_folders_are_genres_only_if_their_names_are_known() -> None:
    unknown = [f"Somebody {n}/Album/{k}.wav" for n in range(4) for k in range(2)]
    assert chosen(unknown).source == "none"
    known = [f"{genre}/Somebody/Album/{k}.wav" for genre in ("Rock", "hip hop") for k in range(2)]
    assert chosen(known).labels == ["Rock", "Rock", "hip hop", "hip hop"]


def test_tags_are_taken_where_half_of_the_tracks_have_one() -> None:
    ids, tags = library(genre="genre {}")
    found = chosen(ids, tags)
    assert found.source == "tags"
    assert sorted(set(found.labels)) == ["genre 0", "genre 1", "genre 2"]
    assert found.lines[0].startswith("from the tags of 24 of 24 tracks (the folders look like")
    few = [one if number < 11 else one._replace(genres=()) for number, one in enumerate(tags)]
    assert chosen(ids, few).source == "none"
    assert "11 of 24 tracks have a genre tag" in chosen(ids, few).lines[0]


def test_files_alone_with_tags_have_genres() -> None:
    found = chosen(["a.mp3", "b.mp3"], [Tags(("Rock", "Pop")), NOTHING])
    assert found.labels == ["Rock", ""]


def test_what_is_asked_for_is_taken() -> None:
    ids, tags = library(genre="genre {}")
    assert chosen(ids, tags, "folders").labels[0] == "Band 0x"
    assert chosen(ids, tags, "none").labels == [""] * len(ids)
    folders = ["rock/a.wav", "jazz/b.wav"]
    assert chosen(folders, [Tags(("Ska",)), NOTHING], "tags").labels == ["Ska", ""]


def test_spellings_of_one_genre_are_one_and_it_is_said() -> None:
    nfc, nfd = "Fl\u00e9", "Fle\u0301"
    ids = [
        f"{nfc}/a.wav",
        f"{nfd}/b.wav",
        "Rock/c.wav",
        "rock/d.wav",
        "rock/e.wav",
        "Hip-Hop/f.wav",
    ]
    found = chosen([*ids, "hip hop/g.wav"])
    assert chosen(["ROCK /a.wav", "blues/b.wav"]).labels == ["ROCK", "blues"]
    assert found.labels == [nfc, nfc, "rock", "rock", "rock", "Hip-Hop", "Hip-Hop"]
    assert "one genre for all of Flé: in several forms of its letters" in found.lines
    assert "one genre for all of rock: Rock and rock" in found.lines


def test_a_parent_counts_for_its_genres() -> None:
    parents = {letters_of("Indie Rock"): "Rock", letters_of("Bebop"): "Jazz"}
    tags = [Tags(("Live", "indie rock")), Tags(("Bebop",)), Tags(("Polka",))]
    found = choose(["a.mp3", "b.mp3", "c.mp3"], tags, given="auto", parents=parents)
    assert found.labels == ["Rock", "Jazz", "Polka"]
    assert "Bebop, indie rock count for their parents" in found.lines[0]
    none = choose(["x/a.mp3", "y/b.mp3"], [NOTHING] * 2, given="folders", parents=parents)
    assert "none is among the 2 genres of genre_parents" in none.lines[0]


def test_tags_that_were_asked_for_and_are_not_there_are_an_error() -> None:
    with pytest.raises(InputError, match="none of the 1 tracks has a genre in its tags"):
        chosen(["rock/a.wav"], given="tags")


def test_the_order_of_tracks_changes_nothing() -> None:
    ids, tags = library(genre="genre {}")
    one, other = chosen(ids, tags), chosen(ids[::-1], tags[::-1])
    assert one.labels == other.labels[::-1]
    assert one.lines == other.lines


def fma(path: Path) -> Path:
    """A table with the two header rows, and the third, of the Free Music Archive's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        ",album,artist,set,track,track\n,title,name,subset,genre_top,title\ntrack_id,,,,,\n"
        '2,"A, way",AWOL,small,Hip-Hop,Food\n5,"A, way",AWOL,small,Hip-Hop,This\n'
        "10,Constant,Kurt,small,Pop,Freeway\n20,Spiritual,Nicky,large,,Way\n"
    )
    return path


FMA_IDS = ["000/000002.mp3", "000/000005.mp3", "000/000010.mp3", "000/000020.mp3", "155/155066.mp3"]


@pytest.mark.parametrize(
    "place", ["tracks.csv", "fma_metadata/tracks.csv", "../fma_metadata/tracks.csv"]
)
def test_the_table_of_the_free_music_archive_is_found_and_read(tmp_path: Path, place: str) -> None:
    (tmp_path / "fma_small").mkdir()
    fma(tmp_path / "fma_small" / place)
    table = GenreTable.beside(tmp_path / "fma_small", FMA_IDS)
    assert table is not None
    rows = table.of(FMA_IDS)
    assert rows["genre"].tolist() == ["Hip-Hop", "Hip-Hop", "Pop", "", ""]
    assert rows["artist"].tolist() == ["AWOL", "AWOL", "Kurt", "Nicky", ""]
    assert rows["album"][0] == "A, way"
    assert GenreTable.beside(tmp_path / "fma_small", ["rock/a.mp3"]) is None


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
def test_a_table_is_read_in_every_form(tmp_path: Path, suffix: str) -> None:
    frame = pd.DataFrame(
        {
            "Filename": ["rock.00001.wav", "b.wav"],
            "length": ["661794", "1"],
            "Label": ["rock", "jazz"],
        }
    )
    path = tmp_path / f"features_30_sec.{suffix}"
    if suffix == "parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False, sep="," if suffix == "csv" else "\t")
    rows = GenreTable.load(path).of(["x/b.wav", "x/c.wav", "x/rock.00001.wav"])
    assert rows["genre"].tolist() == ["jazz", "", "rock"]


def test_a_longer_path_names_a_track_within_the_folder_of_genres(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,genre\n/m/blues/blues.00000.wav,Blues\n")
    ids = ["Data/genres_original/blues/blues.00000.wav", "Data/genres_original/rock/x.wav"]
    assert GenreTable.load(tmp_path / "t.csv").of(ids)["genre"].tolist() == ["Blues", ""]


def test_a_table_of_parents(tmp_path: Path) -> None:
    (tmp_path / "parents.csv").write_text("genre;parent\nIndie Rock;Rock\n")
    rows = GenreTable.load(tmp_path / "parents.csv", PARENTS).rows
    assert rows[["track", "genre"]].to_numpy().tolist() == [["Indie Rock", "Rock"]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is empty"),
        (b"name,mood\na,b\n", "no column"),
        (b"genre\nrock\n", "no column"),
        (b"track_id,genre\nnowhere.wav,rock\n", "none of its 1 rows names a track"),
        (b"\xff\xfe\x00", "cannot be read as a table"),
    ],
)
def test_a_table_that_cannot_serve_is_refused_in_a_line(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=message) as refused:
        GenreTable.load(tmp_path / "t.csv").of(["a.wav"])
    assert "\n" not in str(refused.value)
    with pytest.raises(InputError, match="no such file"):
        GenreTable.load(tmp_path / "none.csv")
