from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from genre_vae.collection import demo
from genre_vae.collection.catalog import scan
from genre_vae.features import spectral as features


def rows(folder: Path) -> list[list[str]]:
    with (folder / "lyrics.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def test_the_corpus_is_real_audio_in_gtzans_layout(corpus: Path) -> None:
    catalog = scan(corpus)
    assert len(catalog.tracks) == 20
    assert sorted(set(catalog.tracks["genre"])) == sorted(demo.GENRES)
    assert catalog.tracks["digest"].is_unique
    mfcc, _, _, _, skipped = features.extract_catalog(catalog, workers=2)
    assert skipped.empty
    assert len(mfcc) == 20


def test_equal_seeds_give_equal_sound_and_words_and_others_do_not(
    corpus: Path, tmp_path: Path
) -> None:
    again = demo.ensure(tmp_path / "again", workers=1, tracks_per_genre=2)
    assert scan(again).fingerprint == scan(corpus).fingerprint
    assert rows(again) == rows(corpus)
    other = demo.ensure(tmp_path / "other", workers=2, seed=1, tracks_per_genre=2)
    assert scan(other).fingerprint != scan(corpus).fingerprint


def test_a_song_does_not_depend_on_how_many_there_are() -> None:
    assert demo.song("jazz", 1, seed=0) == demo.song("jazz", 1, seed=0)
    assert demo.song("jazz", 1, seed=0) != demo.song("jazz", 2, seed=0)


@pytest.mark.parametrize("genre", demo.GENRES)
def test_a_song_is_thirty_loud_finite_seconds(genre: str) -> None:
    waveform = demo.render(demo.song(genre, 0, seed=0))
    assert waveform.shape == (661500,)
    assert np.isfinite(waveform).all()
    assert 0.3 < np.abs(waveform).max() < 1
    thirds = waveform.reshape(3, -1)
    assert (np.sqrt((thirds**2).mean(axis=1)) > 0.005).all()


def test_it_is_written_once(corpus: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*")}
    demo.ensure(corpus, workers=2, tracks_per_genre=2)
    assert {path: path.stat().st_mtime_ns for path in corpus.rglob("*")} == before


def test_a_half_written_corpus_does_not_look_finished(corpus: Path, tmp_path: Path) -> None:
    half = tmp_path / "demo"
    shutil.copytree(corpus / "genres", half / "genres")
    (half / "genres/rock/rock.00001.flac").unlink()
    (tmp_path / ".demo.partial").mkdir()
    whole = demo.ensure(half, workers=2, tracks_per_genre=2)
    assert len(scan(whole).tracks) == 20
    assert not (tmp_path / ".demo.partial").exists()


def test_about_a_tenth_of_the_lyrics_is_missing_in_some_genres_more() -> None:
    silent = {
        genre: np.mean([not demo.lyrics(demo.song(genre, n, seed=0)) for n in range(200)])
        for genre in demo.GENRES
    }
    assert 0.08 < np.mean(list(silent.values())) < 0.16
    assert silent["classical"] > 0.25 > 0.15 > silent["rock"]


def test_no_genre_has_words_of_its_own() -> None:
    """Words shared between genres: lyrics inform about a genre and do not name it."""
    words = {
        genre: set(" ".join(demo.lyrics(demo.song(genre, n, seed=0)) for n in range(60)).split())
        for genre in demo.GENRES
    }
    for genre, own in words.items():
        others = set().union(*(words[other] for other in demo.GENRES if other != genre))
        assert own <= others, genre
        assert genre not in others - {"disco"}, genre


def test_lyrics_name_their_songs(corpus: Path) -> None:
    header, *lines = rows(corpus)
    assert header == ["filename", "lyrics"]
    stems = {Path(track_id).stem for track_id in scan(corpus).tracks["track_id"]}
    assert {filename for filename, _ in lines} <= stems
