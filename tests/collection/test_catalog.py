from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from genre_vae.collection.catalog import scan
from genre_vae.records import InputError
from tests.collection.folders import plant


@pytest.mark.parametrize("base", ["", "genres/", "genres_original/"])
def test_layouts_with_genres(tmp_path: Path, base: str) -> None:
    plant(tmp_path, f"{base}rock/b.wav", f"{base}blues/a.MP3", f"{base}rock/album/c.flac")
    tracks = scan(tmp_path).tracks
    assert tracks["track_id"].tolist() == [
        f"{base}blues/a.MP3",
        f"{base}rock/album/c.flac",
        f"{base}rock/b.wav",
    ]
    assert tracks["genre"].tolist() == ["blues", "rock", "rock"]
    assert all(Path(path).is_file() for path in tracks["path"])


def test_files_alone_have_no_genre(tmp_path: Path) -> None:
    tracks = scan(plant(tmp_path, "a.wav", "b.ogg")).tracks
    assert tracks["genre"].tolist() == ["", ""]


def test_what_is_not_audio_or_hidden_is_no_track(tmp_path: Path) -> None:
    plant(tmp_path, "rock/a.wav", "rock/b.au", "rock/cover.jpg", "rock/._a.wav", ".old/rock/c.wav")
    assert scan(tmp_path).tracks["track_id"].tolist() == ["rock/a.wav", "rock/b.au"]


def test_walk_order_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(tmp_path, *[f"{genre}/{n}.wav" for genre in "xyz" for n in range(5)])
    before = scan(tmp_path)
    walk = os.walk

    def reversed_walk(*args: Any, **options: Any) -> Iterator[tuple[str, list[str], list[str]]]:
        for folder, folders, names in walk(*args, **options):
            folders.reverse()
            yield folder, folders, names[::-1]

    monkeypatch.setattr(os, "walk", reversed_walk)
    after = scan(tmp_path)
    assert after.tracks.equals(before.tracks)
    assert after.fingerprint == before.fingerprint


def test_fingerprint_is_of_content_not_place(tmp_path: Path) -> None:
    one = plant(tmp_path / "one", "rock/a.wav", "blues/b.wav")
    shutil.copytree(one, tmp_path / "two")
    assert scan(one).fingerprint == scan(tmp_path / "two").fingerprint
    (tmp_path / "two/rock/a.wav").write_bytes(b"other")
    changed = scan(tmp_path / "two").fingerprint
    assert scan(one).fingerprint != changed
    (tmp_path / "two/rock/a.wav").rename(tmp_path / "two/blues/a.wav")
    assert scan(tmp_path / "two").fingerprint != changed


@pytest.mark.parametrize("names", [[], ["notes.txt"], ["rock/a.wav"]])
def test_too_little_is_said_with_the_folder(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(InputError, match=str(tmp_path)):
        scan(plant(tmp_path, *names))


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"no folder at {tmp_path / 'nowhere'}"):
        scan(tmp_path / "nowhere")


def test_what_is_left_out_is_in_the_catalog_and_its_fingerprint(tmp_path: Path) -> None:
    plant(tmp_path, "rock/a.wav", "rock/b ä $x^{.wav")
    before = scan(tmp_path)
    Path(os.fsdecode(os.fsencode(tmp_path) + b"/rock/\xff.wav")).write_bytes(b"x")
    after = scan(tmp_path)
    assert after.tracks.equals(before.tracks)
    assert [reason for _, reason in after.left_out] == ["its name is not UTF-8: rename it"]
    assert after.fingerprint != before.fingerprint


def test_tracks_outside_the_folder_of_genres_are_listed(tmp_path: Path) -> None:
    plant(tmp_path, "Data/genres_original/rock/a.wav", "Data/genres_original/jazz/b.wav", "c.wav")
    found = scan(tmp_path)
    assert found.tracks["genre"].tolist() == ["jazz", "rock"]
    assert dict(found.left_out)["c.wav"].startswith("outside Data/genres_original/")
    assert len(scan(tmp_path, genres="none").tracks) == 3


def test_a_file_in_place_of_a_folder_and_too_long_a_name_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a file, not a folder"):
        scan(plant(tmp_path, "a.wav") / "a.wav")
    with pytest.raises(InputError, match="File name too long"):
        scan(tmp_path / ("x" * 5000))
