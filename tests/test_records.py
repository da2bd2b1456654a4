from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genre_vae.files import replacing, write_array
from genre_vae.records import Assignment, FeatureSet, LabelUse
from tests.helpers import blobs


def test_duplicate_ids_are_refused() -> None:
    with pytest.raises(ValueError, match="duplicate id 'a'"):
        FeatureSet("x", np.array(["a", "a"]), np.ones((2, 1), np.float32), np.array(["", ""]))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_non_finite_value_is_refused_with_its_track(bad: float) -> None:
    values = np.ones((600, 3), np.float32)
    values[431, 2] = bad
    ids = np.array([f"track {row}" for row in range(600)])
    with pytest.raises(ValueError, match="'track 431'"):
        FeatureSet("x", ids, values, np.full(600, ""))


@pytest.mark.parametrize(("ids", "rows", "labels"), [(2, 3, 3), (3, 2, 3), (3, 3, 2)])
def test_lengths_that_differ_are_refused(ids: int, rows: int, labels: int) -> None:
    with pytest.raises(ValueError, match="must be equal"):
        FeatureSet(
            "x",
            np.array([str(i) for i in range(ids)]),
            np.ones((rows, 2), np.float32),
            np.full(labels, ""),
        )


def test_records_cannot_be_assigned_to() -> None:
    with pytest.raises(AttributeError):
        blobs(4, groups=2).name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("mmap", [False, True])
def test_save_then_load_is_identity(tmp_path: Path, dtype: type[np.floating], mmap: bool) -> None:
    values = np.random.default_rng(0).normal(size=(4, 2, 1, 3, 5)).astype(dtype)
    labels = np.array(["rock", "", "blues", "rock"])
    saved = FeatureSet("mel", np.array(["b", "ä/c", "a", "d"]), values, labels, LabelUse.TRAIN)
    saved.save(tmp_path, "mel")
    loaded = FeatureSet.load(tmp_path, "mel", mmap=mmap)
    assert loaded.name == "mel"
    assert loaded.label_use is LabelUse.TRAIN
    np.testing.assert_array_equal(loaded.ids, saved.ids)
    np.testing.assert_array_equal(loaded.labels, saved.labels)
    np.testing.assert_array_equal(loaded.values, saved.values)
    assert loaded.values.dtype == dtype
    assert isinstance(loaded.values, np.memmap) == mmap


def test_assignment_round_trip(tmp_path: Path) -> None:
    clusters = np.array([[0, 1, -1], [1, 1, 0]])
    ids, labels = np.array(["a", "b", "c"]), np.array(["x", "", "y"])
    Assignment("m", ids, clusters, labels, LabelUse.ENCODE).save(tmp_path)
    loaded = Assignment.load(tmp_path)
    np.testing.assert_array_equal(loaded.clusters, clusters)
    np.testing.assert_array_equal(loaded.labels, labels)
    assert loaded.label_use is LabelUse.ENCODE


def test_assignment_refuses_clusters_of_other_tracks() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Assignment("m", np.array(["a", "b"]), np.zeros((1, 3), np.int64), np.array(["", ""]))


def test_nothing_pickled_is_read_back(tmp_path: Path) -> None:
    blobs(4, groups=2).save(tmp_path, "X")
    # a planted fault: the file holds a pickle, which must be refused and not read
    np.save(tmp_path / "X.npy", np.array([{"a": 1}, None], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="allow_pickle"):
        FeatureSet.load(tmp_path, "X")


@pytest.mark.parametrize(("before", "touched"), list(itertools.product(LabelUse, repeat=2)))
def test_label_use_never_falls(before: LabelUse, touched: LabelUse) -> None:
    features = blobs(4, groups=2).derive("x", np.ones((4, 2), np.float32), before)
    after = features.derive("y", features.values, touched).label_use
    assert after >= before
    assert after >= touched
    assert after in (before, touched)


def test_select_is_by_id_in_the_order_asked() -> None:
    features = blobs(5, groups=2)
    wanted = features.ids[[3, 0, 4]]
    selected = features.select(wanted)
    np.testing.assert_array_equal(selected.ids, wanted)
    np.testing.assert_array_equal(selected.values, features.values[[3, 0, 4]])
    np.testing.assert_array_equal(selected.labels, features.labels[[3, 0, 4]])
    with pytest.raises(KeyError, match="nobody"):
        features.select(["nobody"])


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "X.npy"
    write_array(path, np.arange(3))

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    np.testing.assert_array_equal(np.load(path), np.arange(3))
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("pretrained", [True, False])
def test_what_was_pretrained_stays_so(tmp_path: Path, pretrained: bool) -> None:
    features = replace(blobs(4, groups=2), pretrained=pretrained)
    features.derive("y", features.values).select(features.ids[:2]).save(tmp_path, "Z")
    assert FeatureSet.load(tmp_path, "Z").pretrained == pretrained
