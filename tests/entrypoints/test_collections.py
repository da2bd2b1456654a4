"""A library as people have it, through the entry points."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import mutagen
import numpy as np
import pandas as pd
import pytest
import soundfile
from click.testing import CliRunner

from genre_vae.records import FeatureSet
from genre_vae.tracking.stage import local_artifacts
from tests.helpers import invoke, run_of, tone

TRACKS, ARTISTS = 18, 6


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """Artist/Album/track.flac with genres in tags, some trouble, a third of it by telephone."""
    folder = tmp_path / "music"
    rng = np.random.default_rng(0)
    for number in range(TRACKS):
        artist, rate = f"Band {number % ARTISTS}x", 8_000 if number % 3 == 0 else 22_050
        path = folder / artist / f"Record {number // ARTISTS}" / f"{number:02} song.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        sound = tone(200 + 40 * number, rate=rate) + rng.normal(0, 0.02, 3 * rate)
        soundfile.write(path, sound, rate)
        tags = mutagen.File(path)
        tags["artist"], tags["genre"] = artist, ["Rock", "Live"] if number % 2 else "Jazz"
        tags["album"] = path.parent.name
        tags.save()
    (folder / "cover.jpg").write_bytes(b"\xff\xd8\xff")
    (folder / "page.mp3").write_text("<!DOCTYPE html><html><body>not found</body></html>")
    (folder / "tune.mid").write_bytes(b"MThd")
    (folder / "loop").symlink_to(folder)
    return folder


def test_a_library_of_artists_is_read_by_its_tags(
    runner: CliRunner, store: Path, library: Path
) -> None:
    result = invoke(runner, "features", "--data", str(library))
    assert result.exit_code == 0, result.output
    said = [" ".join(line.split()) for line in result.output.splitlines()]
    counted = "19 audio files, 1 beside them that are none (1 .jpg), 1 other left out"
    assert f"data {counted}, 1 link or the like left out" in said
    assert "18 tracks in 2 genres, 1 of 19 audio files cannot be used" in said
    assert "data left out: tune.mid: notes and no sound (MIDI)" in said
    assert "data left out: loop: a link to a folder that this one lies in" in said
    whence = "genres from the tags of 18 of 19 tracks (the folders look like artists: Band 0x, "
    assert any(line.startswith(whence) for line in said)
    assert "left out: page.mp3: a web page, not audio" in said
    assert any("caution: recordings end at different frequencies" in line for line in said)

    folder = local_artifacts(run_of("features"))
    catalog, skipped = (pd.read_csv(folder / f"{name}.csv") for name in ("catalog", "skipped"))
    files = subprocess.run(
        ["find", str(library), "-type", "f"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    regular = skipped[~skipped["reason"].str.startswith("a link")]
    assert catalog["sample_rate"].notna().sum() + len(regular) + 1 == len(files)
    good = catalog[catalog["sample_rate"].notna()]
    assert sorted(good["sample_rate"].unique()) == [8_000, 22_050]
    assert (good["bandwidth"] < 4_200).sum() == TRACKS // 3
    assert set(good["codec"]) == {"flac"}
    assert good["level"].between(-30, 0).all()
    mfcc = FeatureSet.load(folder, "mfcc")
    assert sorted(mfcc.groups) == ["album", "artist", "source"]
    assert len(set(mfcc.groups["album"])) == TRACKS


def test_tables_say_what_clusters_follow(runner: CliRunner, store: Path, library: Path) -> None:
    result = invoke(runner, "easy", "--data", str(library), "--seeds", "1", "--methods", "pca")
    assert result.exit_code == 0, result.output
    assert "the clusters of PCA + k-means follow the artist by AMI" in result.output
    assert "follow that with NMI" in result.output
    table = pd.read_csv(local_artifacts(run_of("compare")) / "easy_task_metrics.csv")
    assert table[["ami_artist", "ami_album", "ami_source", "nmi_source"]].notna().all(axis=None)


def test_what_genres_are_taken_from_can_be_said(
    runner: CliRunner, store: Path, library: Path, tmp_path: Path
) -> None:
    rows = "".join(f"{n:02} song.mp3;{'Ska' if n < 9 else 'Dub'}\n" for n in range(18))
    (tmp_path / "genres.csv").write_text(f"file;genre\n{rows}")
    (tmp_path / "parents.csv").write_text("genre,parent\nska,Reggae\nDub,Reggae\nJazz,Jazz\n")
    table = ["--genres", str(tmp_path / "genres.csv")]
    for arguments, said in (
        (["--genres", "folders"], "from the folders: Band 0x, Band 1x, Band 2x and 3 more"),
        (["--genres", "none"], "none, as asked"),
        (table, "from genres.csv, which has 18 of 19 tracks"),
        (
            [*table, "--genre_parents", str(tmp_path / "parents.csv")],
            "Dub, Ska count for their parents: Reggae",
        ),
    ):
        result = invoke(runner, "features", "--data", str(library), *arguments)
        assert result.exit_code == 0, result.output
        assert said in result.output
    (tmp_path / "parents.csv").write_text("genre,parent\nska,Reggae\nSka,Punk\n")
    two = invoke(
        runner, "features", "--data", str(library), "--genre_parents", str(tmp_path / "parents.csv")
    )
    assert two.exit_code == 2
    assert "'Ska' has two parents, 'Reggae' and 'Punk'" in two.output
    for value, said in (("nowhere.csv", "no such file"), (str(tmp_path), "a folder, not a table")):
        refused = invoke(runner, "features", "--data", str(library), "--genres", value)
        assert refused.exit_code == 2
        assert said in refused.output
        assert refused.output.strip().count("\n") <= 1


def test_predict_names_the_files_that_a_level_reads(
    runner: CliRunner, store: Path, library: Path, tmp_path: Path
) -> None:
    arguments = ("--seeds", "1", "--methods", "pca", "--lyrics", "none")
    made = invoke(runner, "hard", "--data", str(library), *arguments)
    assert made.exit_code == 0, made.output
    answer = tmp_path / "answer.csv"
    placed = invoke(runner, "predict", "--file", str(library), "--output", str(answer))
    assert placed.exit_code == 0, placed.output
    records = pd.read_csv(answer).set_index("file")
    folder = local_artifacts(run_of("features"))
    catalog, skipped = (pd.read_csv(folder / f"{name}.csv") for name in ("catalog", "skipped"))
    assert set(records.index) == set(catalog["track_id"]) | set(skipped["track_id"])
    assert records.loc["page.mp3", "error"] == "a web page, not audio"
    assert records.loc["tune.mid", "error"] == "notes and no sound (MIDI)"
    shutil.rmtree(library)
