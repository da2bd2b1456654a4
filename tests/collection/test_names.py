from __future__ import annotations

import random

import pytest

from genre_vae.collection.names import (
    KEY_SHARED,
    NO_KEY,
    NO_TRACK,
    OTHER_KEY,
    SEVERAL_KEYS,
    SEVERAL_TRACKS,
    Joined,
    join,
    name_variants,
    normalise_name,
)

IDS = [f"genres/{g}/{g}.{n:05d}.wav" for g in ("blues", "rock") for n in range(3)]
WAYS = [
    *("genres/rock/rock.00001.wav", "genres/rock/rock.00001", "rock/rock.00001", "rock.00001"),
    *("rock/rock.00001.wav", "rock.00001.mp3", "ROCK.00001.WAV", "Genres/Rock/rock.00001.FLAC"),
]
LONGER = [
    *("/data/gtzan/genres/rock/rock.00001.wav", "data/rock/rock.00001", "./rock/rock.00001.wav"),
    *(r"C:\Music\GTZAN\rock\rock.00001.wav", r"rock\rock.00001.wav"),
    *("file:///x/rock/ROCK.00001.mp3", r"genres\rock/rock.00001", "/rock//rock.00001.wav"),
    *(" rock.00001.wav ", "./rock.00001.wav"),
]
OTHERWISE = [
    *("jazz/rock.00001.wav", "xrock/rock.00001", "rock.00001.wav/x", "00001", "rock.00001.npy"),
    *("rock.0000", "rock/rock/00001", "rock/rock.00001.wav/..", ".wav", ".", "/", ""),
]


def keys_of(joined: Joined, keys: list[str], ids: list[str]) -> dict[str, str]:
    """Track id -> the key that it was given."""
    return {ids[track]: keys[key] for track, key in joined.key_of.items()}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("key", [*WAYS, *LONGER])
def test_a_key_may_be_an_id_a_path_or_a_name(key: str, shared: bool) -> None:
    keys = ["blues.00000", key]
    found = keys_of(join(keys, IDS, shared=shared), keys, IDS)
    assert found == {IDS[0]: "blues.00000", IDS[4]: key}


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("key", OTHERWISE)
def test_a_key_of_another_form_names_no_track(key: str, shared: bool) -> None:
    joined = join([key], IDS, shared=shared)
    assert joined.key_of == {}
    assert joined.left_out[0] == (key, "file", NO_TRACK)
    assert joined.left_out[1:] == [(track_id, "track", NO_KEY) for track_id in IDS]


def test_names_differ_in_case_suffix_and_composition_only() -> None:
    same = ["Caf\u00e9.wav", "cafe\u0301.MP3", "CAF\u00c9", "caf\u00e9.flac"]
    assert len(set(map(normalise_name, same))) == 1
    assert normalise_name("blues.00001") != normalise_name("blues.00002")
    assert normalise_name("a.txt") == "a.txt", "only audio has a suffix to lose"


@pytest.mark.parametrize("base", ["", "genres/", "genres_original/"])
def test_variants_begin_with_the_most_precise(base: str) -> None:
    assert name_variants(f"{base}Rock/Album/A.wav") == (
        f"{base}rock/album/a",
        "rock/album/a",
        "a",
    )


def test_a_shared_key_serves_all_of_its_tracks_and_another_none() -> None:
    ids, keys = ["blues/a.wav", "rock/a.wav", "rock/b.wav"], ["a", "b"]
    shared = join(keys, ids, shared=True)
    assert keys_of(shared, keys, ids) == {"blues/a.wav": "a", "rock/a.wav": "a", "rock/b.wav": "b"}
    assert shared.left_out == []
    alone = join(keys, ids)
    assert keys_of(alone, keys, ids) == {"rock/b.wav": "b"}
    assert alone.left_out == [
        ("a", "file", SEVERAL_TRACKS),
        ("blues/a.wav", "track", KEY_SHARED),
        ("rock/a.wav", "track", KEY_SHARED),
    ]


@pytest.mark.parametrize("shared", [False, True])
def test_a_tie_of_keys_gives_the_track_none(shared: bool) -> None:
    joined = join(["a", "A.mp3"], ["rock/a.wav"], shared=shared)
    assert joined.key_of == {}
    assert joined.left_out == [
        ("rock/a.wav", "track", SEVERAL_KEYS),
        ("a", "file", OTHER_KEY),
        ("A.mp3", "file", OTHER_KEY),
    ]


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["r/a.wav", "R/A.mp3"], "r/a.wav"),  # to the letter
        (["genres/r/a", "r/a"], "genres/r/a"),
        (["a", "r/a"], "r/a"),
        (["a", "/x/r/a"], "a"),  # what names the track as it stands
        (["/x/r/a", "/y/r/a", "a"], "a"),
        (["r/a", "r//a", r"r\a"], "r/a"),
        (["/x/r/a"], "/x/r/a"),
        (["/x/r/a", "/y/r/a"], None),
    ],
)
def test_of_keys_that_may_be_shared_the_most_precise_that_stands_as_it_is_counts(
    keys: list[str], expected: str | None
) -> None:
    ids = ["genres/r/a.wav" if "genres/r/a" in keys else "r/a.wav"]
    for turned in (keys, keys[::-1]):
        found = keys_of(join(turned, ids, shared=True), turned, ids)
        assert found.get(ids[0]) == expected


def test_a_longer_path_names_the_track_with_the_longest_ending_even_if_shared() -> None:
    ids, keys = ["a.wav", "x/a.wav", "y/x/a.wav"], ["/z/x/a.wav"]
    assert keys_of(join(keys, ids, shared=True), keys, ids) == {"x/a.wav": keys[0]}


@pytest.mark.parametrize("shared", [False, True])
def test_neither_order_changes_anything_and_all_adds_up(shared: bool) -> None:
    """In collections and files that chance makes, full of names that collide."""
    chance = random.Random(0)
    paths = [f"{g}/{n}{s}" for g in ("x", "genres/x", "y") for n in "abc" for s in (".wav", ".mp3")]
    for _ in range(200):
        ids = chance.sample([*paths, "a.wav", "b.wav"], 6)
        ways = {way for i in ids for way in (*name_variants(i), i, f"/d/{i}", i.upper(), f"./{i}")}
        keys = [*chance.sample(sorted(ways), 7), "nobody"]
        joined = join(keys, ids, shared=shared)
        found = keys_of(joined, keys, ids)
        assert list(joined.key_of) == sorted(joined.key_of), "in the order of tracks"
        if not shared:
            assert len(set(found.values())) == len(found)
        for side, names, used in (("track", ids, set(found)), ("file", keys, set(found.values()))):
            left_out = [one.name for one in joined.left_out if one.side == side]
            assert sorted([*used, *left_out]) == sorted(names), "used or listed, once"
        chance.shuffle(ids)
        chance.shuffle(keys)
        again = join(keys, ids, shared=shared)
        assert keys_of(again, keys, ids) == found
        assert sorted(again.left_out) == sorted(joined.left_out)
