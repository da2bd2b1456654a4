from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from genre_vae.collection import gtzan
from genre_vae.collection.catalog import Catalog, scan
from genre_vae.records import InputError
from tests.collection.folders import plant
from tests.helpers import ROOT

LISTS = ROOT.parent / "shared" / "data" / "gtzan_faults"


def planted(folder: Path, *names: str) -> Catalog:
    return scan(plant(folder, *names))


def test_the_list_has_70_clips_of_eight_genres() -> None:
    names = gtzan.faulty_names()
    genres = Counter(name.split("/")[0] for name in names)
    assert len(names) == 70
    assert genres == {
        "classical": 1,
        "country": 2,
        "disco": 7,
        "hiphop": 8,
        "jazz": 13,
        "metal": 9,
        "pop": 16,
        "reggae": 14,
    }
    lines = Path(gtzan.__file__).with_name(gtzan.FAULTS_FILE).read_text("utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == sorted(names)


def test_the_list_is_what_the_filtered_lists_leave_of_gtzan() -> None:
    if not LISTS.is_dir():
        pytest.skip(f"the fault-filtered lists are not at {LISTS}")
    kept = {
        line.strip().removesuffix(".wav")
        for part in ("train", "valid", "test")
        for line in (LISTS / f"{part}_filtered.txt").read_text("utf-8").split()
    }
    every = {f"{g}/{g}.{number:05d}" for g in gtzan.GENRES for number in range(100)}
    assert len(every) == 1000
    assert gtzan.faulty_names() == every - kept


@pytest.mark.parametrize("base", ["", "genres/", "genres_original/"])
@pytest.mark.parametrize("suffix", ["wav", "au", "WAV"])
def test_a_part_of_gtzan_is_gtzan_in_every_layout(tmp_path: Path, base: str, suffix: str) -> None:
    names = ["blues/blues.00000", "country/country.00008", "pop/pop.00099"]
    catalog = planted(tmp_path, *[f"{base}{name}.{suffix}" for name in names])
    assert gtzan.listed(catalog).tolist() == [False, True, False]


@pytest.mark.parametrize(
    "other",
    [
        "rock/song.wav",  # another name
        "rock/rock.00001.mp3",  # another format
        "rock/rock.00100.wav",  # GTZAN ends at 99
        "rock/pop.00001.wav",  # in another genre's folder
        "rock/pop/pop.00001.wav",
        "rock/Rock.00001.wav",
        "polka/polka.00001.wav",  # another genre
        "rock.00001.wav",  # no genre
    ],
)
def test_one_other_track_and_it_is_not_gtzan(tmp_path: Path, other: str) -> None:
    catalog = planted(tmp_path, "country/country.00008.wav", "jazz/jazz.00033.wav", other)
    assert not gtzan.listed(catalog).any()
    with pytest.raises(InputError, match=f"^{tmp_path}: not GTZAN.*: {other} is not") as raised:
        gtzan.without_listed(catalog)
    assert "\n" not in str(raised.value)


def test_the_demo_corpus_is_not_gtzan_although_it_is_named_so(corpus: Path) -> None:
    for folder in (corpus, corpus / "genres"):
        with pytest.raises(InputError, match="not GTZAN"):
            gtzan.without_listed(scan(folder))


def test_without_listed_drops_those_and_keeps_the_rest_as_it_was(tmp_path: Path) -> None:
    listed = ["classical/classical.00042.wav", "hiphop/hiphop.00001.wav", "reggae/reggae.00091.wav"]
    others = ["classical/classical.00041.wav", "pop/pop.00000.wav", "rock/rock.00042.wav"]
    catalog = planted(tmp_path, *listed, *others)
    less = gtzan.without_listed(catalog)
    assert less.tracks["track_id"].tolist() == others
    assert less.tracks.index.tolist() == [0, 1, 2]
    assert less.folder == catalog.folder
    for name in listed:
        (tmp_path / name).unlink()
    assert less.tracks.equals(scan(tmp_path).tracks)
    assert less.fingerprint == scan(tmp_path).fingerprint
    assert len(catalog.tracks) == 6


def test_the_real_clips_are_gtzan_and_seven_are_listed(gtzan_mini: Path) -> None:
    catalog = scan(gtzan_mini)
    assert gtzan.listed(catalog).sum() == 7
    assert len(gtzan.without_listed(catalog).tracks) == 93
