from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from genre_vae.collection.names import name_variants
from genre_vae.features.vectors import Vectors, load, match
from genre_vae.records import FeatureSet, FloatArray, InputError, LabelUse
from tests.features.vector_forms import FORMS, IDS, KEYS, TRACKS, VALUES


def vectors(keys: Sequence[str], values: FloatArray | None = None) -> Vectors:
    """A row for each key; row i of the same values whoever asks."""
    rows = np.random.default_rng(1).normal(size=(len(keys), 2)).astype(np.float32)
    return Vectors("clap", tuple(keys), rows if values is None else values)


def tracks(*ids: str) -> FeatureSet:
    return FeatureSet(
        "x", np.array(ids), np.zeros((len(ids), 1), np.float32), np.full(len(ids), "")
    )


def joined(found: Vectors, of: FeatureSet) -> dict[str, str]:
    """Track -> the key of the row it was given."""
    key_of = {row.tobytes(): key for row, key in zip(found.values, found.keys, strict=True)}
    features, _, _ = match(found, of)
    return {i: key_of[row.tobytes()] for i, row in zip(features.ids, features.values, strict=True)}


def listing(table: pd.DataFrame) -> list[tuple[str, ...]]:
    assert list(table.columns) == ["name", "side", "reason"]
    return [tuple(row) for row in table.itertuples(index=False)]


def same(one: FeatureSet, other: FeatureSet) -> bool:
    """To the bit; and to what is said about the values."""
    first, second = (
        (f.name, f.label_use, f.ids.tolist(), f.labels.tolist(), f.values.shape, f.values.tobytes())
        for f in (one, other)
    )
    return first == second


# Rows of files


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_features_bit_for_bit(tmp_path: Path, form: str) -> None:
    found = load(FORMS[form](tmp_path, KEYS, VALUES))
    assert found.name == "a"
    assert found.keys == tuple(KEYS)
    assert found.values.dtype == np.float32
    assert found.values.tobytes() == VALUES.tobytes()
    features, table, report = match(found, TRACKS)
    assert same(features, FeatureSet("a", TRACKS.ids, VALUES, TRACKS.labels))
    assert listing(table) == []
    assert report == (
        "8 of 8 tracks have vectors of 3 dimensions; 0 of 8 rows in the file belong to no track",
    )


@pytest.mark.parametrize("form", FORMS)
def test_gaps_are_read_in_every_form_and_listed(tmp_path: Path, form: str) -> None:
    values = VALUES.copy()
    values[2, 1], values[5, 0] = np.nan, np.inf
    features, table, report = match(load(FORMS[form](tmp_path, KEYS, values)), TRACKS)
    left = [0, 1, 3, 4, 6, 7]
    assert same(features, FeatureSet("a", TRACKS.ids[left], VALUES[left], TRACKS.labels[left]))
    assert listing(table) == [(IDS[i], "track", "non-finite value in its row") for i in (2, 5)]
    assert report[1:] == (f"2 tracks: non-finite value in its row, such as {IDS[2]!r}",)


@pytest.mark.parametrize("form", FORMS)
def test_the_order_of_the_file_changes_nothing(tmp_path: Path, form: str) -> None:
    """With a row of each kind that is left out."""
    keys = [*KEYS[:5], "rock/rock.00000", "rock.00002.wav", "nowhere.wav", "x/rock.00003.mp3"]
    values = np.random.default_rng(2).normal(size=(9, 3)).astype(np.float32)
    values[1, 1] = np.nan
    features, table, report = match(load(FORMS[form](tmp_path, keys, values)), TRACKS)
    assert features.ids.tolist() == [IDS[0], IDS[2], IDS[3], IDS[6]]
    for seed in range(3):
        order = np.random.default_rng(seed).permutation(len(keys))
        moved = FORMS[form](tmp_path, [keys[row] for row in order], values[order])
        again = match(load(moved), TRACKS)
        assert same(again[0], features)
        assert again[1].equals(table)
        assert again[2] == report


def test_the_order_is_that_of_the_tracks() -> None:
    order = np.random.default_rng(0).permutation(8)
    moved = TRACKS.select(TRACKS.ids[order])
    features, _, _ = match(vectors(KEYS, VALUES), moved, label_use=LabelUse.TRAIN)
    assert same(
        features, FeatureSet("clap", moved.ids, VALUES[order], moved.labels, LabelUse.TRAIN)
    )


# The fingerprint


def test_the_fingerprint_is_that_of_the_rows_in_whatever_form(tmp_path: Path) -> None:
    found = {load(make(tmp_path, KEYS, VALUES)).fingerprint for make in FORMS.values()}
    assert len(found) == 1


def test_another_value_key_or_order_has_another_fingerprint() -> None:
    one = Vectors("a", tuple(KEYS), VALUES)
    assert replace(one, name="b").fingerprint == one.fingerprint
    values = VALUES.copy()
    values[3, 1] = np.nextafter(values[3, 1], np.float32(9))
    others = [
        replace(one, values=values),
        replace(one, keys=("other", *KEYS[1:])),
        replace(one, keys=tuple(KEYS[::-1])),
        replace(one, keys=tuple(KEYS[::-1]), values=VALUES[::-1].copy()),
    ]
    assert len({one.fingerprint, *(other.fingerprint for other in others)}) == 5


# Rows and tracks


WAYS = [
    *("genres/rock/rock.00001.wav", "genres/rock/rock.00001", "rock/rock.00001", "rock.00001"),
    *("rock/rock.00001.wav", "rock.00001.mp3", "ROCK.00001.WAV", "Genres/Rock/rock.00001.FLAC"),
]
LONGER = [
    *("/data/gtzan/genres/rock/rock.00001.wav", "data/rock/rock.00001", "./rock/rock.00001.wav"),
    *(
        r"C:\Music\GTZAN\rock\rock.00001.wav",
        r"rock\rock.00001.wav",
        "file:///x/rock/ROCK.00001.mp3",
    ),
    *(r"genres\rock/rock.00001", "/rock//rock.00001.wav", " rock.00001.wav ", "./rock.00001.wav"),
]


@pytest.mark.parametrize("key", [*WAYS, *LONGER])
def test_a_row_may_be_called_by_id_path_or_name(key: str) -> None:
    others = [KEYS[row] for row in (0, 2, 4)]
    expected = {IDS[row]: KEYS[row] for row in (0, 2, 4)} | {IDS[5]: key}
    assert joined(vectors([*others, key]), TRACKS) == expected


@pytest.mark.parametrize(
    "key",
    [
        *("jazz/rock.00001.wav", "xrock/rock.00001", "rock.00001.wav/x", "00001", "rock.00001.npy"),
        *("rock.0000", "rock/rock/00001", "rock/rock.00001.wav/..", ".wav", ".", "/"),
    ],
)
def test_a_row_called_otherwise_is_of_no_track(key: str) -> None:
    _, table, report = match(vectors([*KEYS[:5], key]), TRACKS)
    assert listing(table)[0] == (key, "file", "no such track")
    assert report[0].endswith("; 1 of 6 rows in the file belong to no track")


def test_accents_are_one_however_composed() -> None:
    of = tracks("g/cafe\u0301.wav", "g/na\u00efve.wav", "g/a.wav", "g/b.wav")
    keys = ["caf\u00e9.wav", "/x/g/NAI\u0308VE.mp3", "a", "b"]
    assert joined(vectors(keys), of) == dict(zip(of.ids.tolist(), keys, strict=True))


FILLERS = ("f/1.wav", "f/2.wav", "f/3.wav", "f/4.wav")


@pytest.mark.parametrize(
    ("ids", "keys", "expected"),
    [
        # a bare name that tracks of two genres have
        (["blues/a.wav", "rock/a.wav"], ["a.wav"], {}),
        (["blues/a.wav", "rock/a.flac"], ["a"], {}),
        (["blues/a.wav", "rock/a.wav"], ["a.wav", "rock/a.wav"], {"rock/a.wav": "rock/a.wav"}),
        (["blues/a.wav", "rock/a.wav"], ["a.wav", "A.mp3"], {}),
        # the whole id tells more than a name
        (["a.wav", "rock/a.wav"], ["a"], {"a.wav": "a"}),
        (["a.wav", "rock/a.wav"], ["a", "rock/a"], {"a.wav": "a", "rock/a.wav": "rock/a"}),
        # a track that several rows fit equally well, and one that a row names better
        (["rock/a.wav"], ["a", "a.wav"], {}),
        (["rock/a.wav"], ["/x/rock/a.wav", "/y/rock/a.wav"], {}),
        (["rock/a.wav"], ["a", "a.wav", "ROCK/a"], {"rock/a.wav": "ROCK/a"}),
        (["rock/a.wav"], ["a.wav", "/x/rock/a"], {"rock/a.wav": "/x/rock/a"}),
        (["rock/a.wav"], ["/x/rock/a.wav", "rock/a"], {"rock/a.wav": "rock/a"}),
        (["genres/r/a.wav"], ["r/a", "genres/r/a"], {"genres/r/a.wav": "genres/r/a"}),
        (["genres/r/a.wav"], ["/x/r/a", "/x/genres/r/a"], {"genres/r/a.wav": "/x/genres/r/a"}),
        # the id to the letter tells most
        (["r/a.wav", "r/a.mp3"], ["r/a.mp3", "r/a.wav"], {i: i for i in ("r/a.wav", "r/a.mp3")}),
        (["r/a.wav", "r/a.mp3"], ["r/a.wav"], {"r/a.wav": "r/a.wav"}),
        (["r/a.wav", "r/a.mp3"], ["r/a"], {}),
        (["r/a.wav", "r/A.wav"], ["r/A.wav", "r/a.wav"], {i: i for i in ("r/a.wav", "r/A.wav")}),
        (["r/a\\b.wav", "r/a/b.wav"], ["r/a\\b.wav"], {"r/a\\b.wav": "r/a\\b.wav"}),
        # the longest ending
        (["a.wav", "x/a.wav", "y/x/a.wav"], ["/z/x/a.wav"], {"x/a.wav": "/z/x/a.wav"}),
        (["a.wav", "x/a.wav", "y/x/a.wav"], ["/z/y/x/a"], {"y/x/a.wav": "/z/y/x/a"}),
        (["a.wav"], ["/x/a.wav"], {"a.wav": "/x/a.wav"}),
    ],
)
def test_the_most_precise_name_counts_and_a_tie_gives_nothing(
    ids: list[str], keys: list[str], expected: dict[str, str]
) -> None:
    """Whatever the order of either, and no other track is affected."""
    found = vectors([*FILLERS, *keys])
    for step in range(len(keys)):
        for order in (ids, ids[::-1]):
            turned = [*FILLERS, *keys[step:], *keys[:step]]
            rows = [found.keys.index(key) for key in turned]
            moved = replace(found, keys=tuple(turned), values=found.values[rows])
            assert joined(moved, tracks(*order, *FILLERS)) == expected | {i: i for i in FILLERS}


def test_all_that_is_left_out_is_listed_with_its_reason() -> None:
    of = tracks(
        *FILLERS, "blues/a.wav", "rock/a.wav", "rock/b.wav", "rock/c.wav", "rock/d.wav", "e.wav"
    )
    keys = [*FILLERS, "a.wav", "b.wav", "b.mp3", "d", "rock/d", "zzz\n.wav", "e.wav"]
    rows = vectors(keys).values.copy()
    rows[-1, 0] = -np.inf
    features, table, report = match(vectors(keys, rows), of)
    assert features.ids.tolist() == [*FILLERS, "rock/d.wav"]
    assert listing(table) == [
        ("a.wav", "file", "fits several tracks"),
        ("b.mp3", "file", "another row fits its track"),
        ("b.wav", "file", "another row fits its track"),
        ("d", "file", "another row fits its track"),
        ("zzz\n.wav", "file", "no such track"),
        ("blues/a.wav", "track", "its row fits several tracks"),
        ("e.wav", "track", "non-finite value in its row"),
        ("rock/a.wav", "track", "its row fits several tracks"),
        ("rock/b.wav", "track", "several rows fit"),
        ("rock/c.wav", "track", "no row in the file"),
    ]
    assert report == (
        "5 of 10 tracks have vectors of 2 dimensions; 5 of 11 rows in the file belong to no track",
        "1 rows: fits several tracks, such as 'a.wav'",
        "3 rows: another row fits its track, such as 'b.mp3'",
        r"1 rows: no such track, such as 'zzz\n.wav'",
        "2 tracks: its row fits several tracks, such as 'blues/a.wav'",
        "1 tracks: non-finite value in its row, such as 'e.wav'",
        "1 tracks: several rows fit, such as 'rock/b.wav'",
        "1 tracks: no row in the file, such as 'rock/c.wav'",
    )


def plant(keys: list[str], values: FloatArray, how: str) -> tuple[list[str], FloatArray]:
    """The file with one row changed: that of track 2."""
    if how == "missing":
        return keys[:2] + keys[3:], np.delete(values, 2, axis=0)
    if how == "nan":
        return keys, np.where(np.arange(8)[:, None] == 2, np.float32(np.nan), values)
    key = {"extra": "who.wav", "twice": KEYS[2].upper()}[how]
    return [key, *keys], np.concatenate([np.full((1, 3), 9, np.float32), values])


@pytest.mark.parametrize(
    ("how", "gone", "listed"),
    [
        ("missing", True, [(IDS[2], "track", "no row in the file")]),
        ("nan", True, [(IDS[2], "track", "non-finite value in its row")]),
        ("extra", False, [("who.wav", "file", "no such track")]),
        (
            "twice",
            True,
            [
                (KEYS[2].upper(), "file", "another row fits its track"),
                (KEYS[2], "file", "another row fits its track"),
                (IDS[2], "track", "several rows fit"),
            ],
        ),
    ],
)
def test_a_planted_row_is_listed_and_affects_no_other(
    how: str, gone: bool, listed: list[tuple[str, str, str]]
) -> None:
    features, table, report = match(vectors(*plant(KEYS, VALUES, how)), TRACKS)
    kept = [row for row in range(8) if not (gone and row == 2)]
    assert same(features, FeatureSet("clap", TRACKS.ids[kept], VALUES[kept], TRACKS.labels[kept]))
    assert listing(table) == listed
    assert report[0].startswith(f"{len(kept)} of 8 tracks have vectors of 3 dimensions; ")


def test_every_track_and_every_row_is_used_once_or_listed_once() -> None:
    """In collections and files that chance makes, full of names that collide."""
    chance = random.Random(0)
    for _ in range(200):
        paths = [
            f"{g}/{n}{s}" for g in ("x", "y", "genres/x") for n in "abc" for s in (".wav", ".mp3")
        ]
        ids = chance.sample([*paths, "a.wav", "b.wav"], 6) + list(FILLERS)
        ways = [form for i in ids[:6] for form in (*name_variants(i), i, f"/d/{i}", i.upper())]
        keys = [*FILLERS, *chance.sample(sorted(set(ways)), 7), "nobody"]
        found, of = vectors(keys), tracks(*ids)
        _, table, _ = match(found, of)
        given = joined(found, of)
        assert len(set(given.values())) == len(given), "no two tracks share a row"
        for side, names, used in (("track", ids, given), ("file", keys, set(given.values()))):
            left_out = table[table["side"] == side]["name"].tolist()
            assert left_out == sorted(left_out)
            assert sorted([*used, *left_out]) == sorted(names)


def test_what_cannot_be_clustered_is_an_error_with_examples() -> None:
    with pytest.raises(InputError) as error:
        match(vectors(["Stairway", *KEYS[:3]]), TRACKS)
    said = str(error.value)
    assert said.startswith(
        "input clap: 3 of 8 tracks have a usable row, 4 are needed; keys are like"
    )
    assert "keys are like 'Stairway', tracks like 'genres/blues/blues.00000.wav'" in said
    assert "5 tracks: no row in the file" in said
    assert "\n" not in said
    assert len(match(vectors(KEYS[:4]), TRACKS)[0]) == 4
    rows = VALUES.copy()
    rows[3:] = np.nan
    with pytest.raises(InputError, match="5 tracks: non-finite value in its row"):
        match(vectors(KEYS, rows), TRACKS)


def test_equal_vectors_are_an_error_and_constant_dimensions_are_not() -> None:
    rows = np.ones((9, 3), np.float32)
    rows[8] = 2  # of no track
    with pytest.raises(InputError, match="input clap: all 8 tracks have the same vector"):
        match(vectors([*KEYS, "other"], rows), TRACKS)
    rows[5, 1] = 3
    features, _, _ = match(vectors([*KEYS, "other"], rows), TRACKS)
    np.testing.assert_array_equal(features.values, rows[:8])
