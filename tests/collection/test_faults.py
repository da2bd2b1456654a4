from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from genre_vae.collection import faults
from genre_vae.collection.catalog import scan
from genre_vae.records import FeatureSet
from tests.collection.folders import plant


def mel_of(ids: list[str]) -> FeatureSet:
    """Unlike sounds of one window each."""
    rng = np.random.default_rng(0)
    values = rng.uniform(-60, 0, size=(len(ids), 1, 1, 64, 128)).astype(np.float16)
    return FeatureSet("mel", np.array(ids), values, np.array([i.split("/")[0] for i in ids]))


def test_listed_clips_and_repeats_stand_in_one_table(tmp_path: Path) -> None:
    names = ["country/country.00008.wav", "jazz/jazz.00002.wav", "pop/pop.00000.wav"]
    catalog = scan(plant(tmp_path, *names))
    tracks = catalog.tracks.assign(digest=["same", "same", "other"])
    mel = mel_of(names)
    mel.values[2] = np.minimum(mel.values[1] + 0.5, 0)
    found = faults.table(replace(catalog, tracks=tracks), mel)
    assert found.columns.tolist() == ["track_id", "genre", "fault", "of"]
    assert found.to_numpy().tolist() == [
        [names[0], "country", "in GTZAN's list of faulty clips", ""],
        [names[1], "jazz", f"the same bytes as {names[0]}", names[0]],
        [names[2], "pop", f"the same sound as {names[0]}", names[0]],
    ]


def test_a_track_may_be_listed_and_repeat_another(tmp_path: Path) -> None:
    names = ["blues/blues.00000.wav", "country/country.00008.wav"]
    catalog = scan(plant(tmp_path, *names))
    equal = replace(catalog, tracks=catalog.tracks.assign(digest="equal"))
    found = faults.table(equal, mel_of(names))
    assert found["track_id"].tolist() == [names[1], names[1]]
    assert found["of"].tolist() == ["", names[0]]


def test_without_faults_the_table_is_empty_and_skipped_files_are_not_asked_for(
    tmp_path: Path,
) -> None:
    catalog = scan(plant(tmp_path, "rock/a.wav", "rock/b.wav", "rock/c.wav"))
    found = faults.table(catalog, mel_of(["rock/a.wav", "rock/c.wav"]))
    assert found.empty
    assert found.columns.tolist() == ["track_id", "genre", "fault", "of"]
