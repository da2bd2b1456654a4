from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from genre_vae.collection.catalog import scan
from genre_vae.features import kept as store
from genre_vae.features import spectral
from genre_vae.features.kept import Column, Kept, Row, trim
from genre_vae.features.spectral import KEPT, CatalogFeatures, Result, extract_catalog
from genre_vae.records import InputError

COLUMNS = (Column("array", "<f4", (2, 3)), Column("text"))


def row(number: int) -> Row:
    return {"array": np.full((2, 3), number, np.float32), "text": f"text {number}"}


def rows_of(kept: Kept, keys: Iterable[str]) -> dict[str, dict[str, Any]]:
    return dict(kept.read(kept.find(keys), ["array", "text"]))


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kind", COLUMNS)
    values = np.random.default_rng(0).normal(size=(5, 2, 3)).astype(np.float32)
    values[0, 0, 0] = np.nextafter(np.float32(1), np.float32(2))
    kept.add({f"k{n}": {"array": values[n], "text": "wörds\n"} for n in range(3)})
    kept.add({f"k{n}": {"array": values[n], "text": ""} for n in range(3, 5)})
    found = rows_of(kept, ["k4", "k0", "k3", "none"])
    assert sorted(found) == ["k0", "k3", "k4"]
    for key, one in found.items():
        np.testing.assert_array_equal(one["array"], values[int(key[1])])
    assert (found["k0"]["text"], found["k4"]["text"]) == ("wörds\n", "")
    kept.add({"nothing": {"array": None, "text": "a reason"}})
    assert dict(kept.read(kept.find(["nothing"]), ["text"])) == {"nothing": {"text": "a reason"}}


def test_only_what_is_missing_is_computed_and_once(tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kind", COLUMNS)
    asked: list[list[int]] = []

    def compute(places: list[int]) -> Iterator[tuple[str, Row]]:
        asked.append(places)
        for place in places:
            yield keys[place], row(place)

    keys = ["a", "b", "a", "c"]
    assert sorted(kept.complete(keys, compute)) == ["a", "b", "c"]
    keys = ["d", *keys, "d"]
    assert sorted(kept.complete(keys, compute)) == ["a", "b", "c", "d"]
    assert sorted(kept.complete(keys, compute)) == ["a", "b", "c", "d"]
    assert asked == [[0, 1, 3], [0]]


def test_a_batch_is_kept_as_soon_as_it_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "BATCH", 4)
    kept = Kept(tmp_path / "kind", COLUMNS)
    keys = [f"k{n}" for n in range(11)]

    def compute(places: list[int]) -> Iterator[tuple[str, Row]]:
        for place in places:
            if place == 9:
                raise KeyboardInterrupt
            yield keys[place], row(place)

    with pytest.raises(KeyboardInterrupt):
        kept.complete(keys, compute)
    assert sorted(rows_of(kept, keys)) == sorted(keys[:8])


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "text"])
def test_a_damaged_shard_counts_as_none_and_is_made_again(tmp_path: Path, damage: str) -> None:
    kept = Kept(tmp_path / "kind", (Column("array", "<f4", (2000,)), Column("text")))
    values = np.random.default_rng(0).normal(size=2000).astype(np.float32)
    kept.add({"a": {"array": values, "text": "x"}})
    (shard,) = kept.folder.iterdir()
    content = bytearray(shard.read_bytes())
    if damage == "flipped":
        content[len(content) // 3] ^= 0xFF
    cut = bytes(content[: len(content) // 2])
    shard.write_bytes({"cut": cut, "emptied": b"", "text": b"no"}.get(damage, bytes(content)))
    assert rows_of(kept, ["a"]) == {}
    assert list(kept.folder.iterdir()) == []
    places = kept.complete(["a"], lambda _: [("a", {"array": values, "text": "x"})])
    np.testing.assert_array_equal(dict(kept.read(places, ["array"]))["a"]["array"], values)


def write_many(folder: Path, number: int) -> None:
    kept = Kept(folder, COLUMNS)
    for start in range(0, 40, 4):
        kept.add({f"k{n}": row(n) for n in range(start, start + 4)})
        if number % 2:
            rows_of(kept, ["k0"])


def test_writers_at_once_lose_nothing(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as pool:
        list(pool.map(write_many, [tmp_path / "kind"] * 4, range(4)))
    found = rows_of(Kept(tmp_path / "kind", COLUMNS), [f"k{n}" for n in range(40)])
    assert len(found) == 40
    assert all(one["array"][0, 0] == int(key[1:]) for key, one in found.items())


def test_what_was_not_used_for_longest_goes_first(tmp_path: Path) -> None:
    one, other = Kept(tmp_path / "one", COLUMNS), Kept(tmp_path / "other", COLUMNS)
    for number in range(4):
        (one if number % 2 else other).add({f"k{number}": row(number)})
        (newest,) = set(tmp_path.glob("*/*.parquet")) - {
            path for path in tmp_path.glob("*/*.parquet") if path.stat().st_mtime < 1000
        }
        os.utime(newest, (number + 1, number + 1))
    rows_of(other, ["k0"])  # used: now the newest
    total = sum(path.stat().st_size for path in tmp_path.glob("*/*.parquet"))
    deleted, left = trim(tmp_path, limit=0.6 * total)
    assert (deleted > 0, deleted + left) == (True, total)
    assert sorted({**rows_of(one, ["k1", "k3"]), **rows_of(other, ["k0", "k2"])}) == ["k0", "k3"]
    assert trim(tmp_path, limit=0) == (left, 0)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    kept = Kept(tmp_path / "file" / "kind", COLUMNS)
    with pytest.raises(InputError, match="GENRE_VAE_CACHE names another folder"):
        kept.complete(["a"], lambda _: [("a", row(1))])


def assert_equal(one: CatalogFeatures, other: CatalogFeatures) -> None:
    """Bit for bit."""
    for name in ("mfcc", "mel", "descriptor"):
        a, b = getattr(one, name), getattr(other, name)
        np.testing.assert_array_equal(a.ids, b.ids)
        np.testing.assert_array_equal(np.asarray(a.values), np.asarray(b.values))
    assert one.sources.equals(other.sources)
    assert one.skipped.equals(other.skipped)


class Counted:
    """Progress that counts what is computed."""

    def __init__(self) -> None:
        self.computed = 0

    def __call__(self, results: Iterable[Result], total: int) -> Iterable[Result]:
        self.computed += total
        return results


def test_new_tracks_alone_are_computed_and_all_equal_a_fresh_run(
    corpus: Path, tmp_path: Path
) -> None:
    """Also a bad file, a moved one, and one content under two names."""
    folder, kept, counted = tmp_path / "music", Kept(tmp_path / "kind", KEPT), Counted()
    shutil.copytree(corpus / "genres", folder)
    names = sorted(path.relative_to(folder) for path in folder.rglob("*.flac"))
    away = tmp_path / "away.flac"
    (folder / names[5]).rename(away)
    (folder / "bad.mp3").write_text("no music")
    extract_catalog(scan(folder), workers=2, kept=kept, progress=counted)
    assert counted.computed == len(names)
    away.rename(folder / names[5])
    (folder / names[0]).rename(folder / "moved.flac")
    shutil.copy(folder / names[1], folder / "again.flac")
    found = extract_catalog(scan(folder), workers=2, kept=kept, progress=counted)
    assert counted.computed == len(names) + 1
    assert_equal(found, extract_catalog(scan(folder), workers=1))
    assert len(found.mfcc) == len(names) + 1


def test_a_file_that_changes_while_it_is_read_is_kept_as_what_it_was(
    corpus: Path, tmp_path: Path
) -> None:
    folder, kept = tmp_path / "music", Kept(tmp_path / "kind", KEPT)
    shutil.copytree(corpus / "genres", folder)
    catalog = scan(folder)
    one, other = catalog.tracks["path"].iloc[:2]
    shutil.copy(other, one)  # after the scan
    found = extract_catalog(catalog, workers=1, kept=kept)
    assert found.skipped["reason"].tolist() == [spectral.CHANGED]
    again = extract_catalog(scan(folder), workers=1, kept=kept)
    assert_equal(again, extract_catalog(scan(folder), workers=1))


KILLED = """
import sys
from pathlib import Path
from genre_vae.collection.catalog import scan
from genre_vae.features import kept, spectral
kept.BATCH = 4
spectral.extract_catalog(
    scan(Path(sys.argv[1])), workers=1, kept=kept.Kept(Path(sys.argv[2]), spectral.KEPT)
)
"""


def test_a_killed_extraction_loses_a_batch_at_most(corpus: Path, tmp_path: Path) -> None:
    kept = Kept(tmp_path / "kind", KEPT)
    command = [sys.executable, "-c", KILLED, str(corpus), str(kept.folder)]
    process = subprocess.Popen(command)
    deadline = time.monotonic() + 60
    while len(list(kept.folder.glob("*.parquet"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    there = len(kept.find(scan(corpus).tracks["digest"]))
    assert there >= 8
    counted = Counted()
    found = extract_catalog(scan(corpus), workers=2, kept=kept, progress=counted)
    assert counted.computed == 20 - there
    assert_equal(found, extract_catalog(scan(corpus), workers=2))
