from __future__ import annotations

import io
import json
import os
import random
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from genre_vae.collection import lyrics
from genre_vae.collection.catalog import spellings
from genre_vae.features.vectors import Vectors, load, match
from genre_vae.records import FeatureSet, FloatArray, InputError, LabelUse

Values = npt.NDArray[Any]

IDS = [f"genres/{g}/{g}.{n:05d}.wav" for g in ("blues", "rock") for n in range(4)]
TRACKS = FeatureSet(
    "mfcc", np.array(IDS), np.zeros((8, 1), np.float32), np.repeat(["blues", "rock"], 4)
)
VALUES = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
VALUES[0] = 1e-42, -0.0, 3e38  # subnormal, signed and large: text must keep all of them
KEYS = [track_id.removeprefix("genres/") for track_id in IDS]


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


# The forms of a file


def npy(folder: Path, values: Values, ids: str, content: str | bytes) -> Path:
    np.save(folder / "a.npy", values)
    (folder / ids).write_bytes(content.encode() if isinstance(content, str) else content)
    return folder / "a.npy"


def saved(array: Values) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npz(folder: Path, **arrays: Values) -> Path:
    np.savez(folder / "a.npz", allow_pickle=False, **arrays)
    return folder / "a.npz"


def csv(folder: Path, text: str) -> Path:
    (folder / "a.csv").write_bytes(text.encode())
    return folder / "a.csv"


def csv_text(keys: Sequence[str], values: Values, header: str = "track_id,x,y,z") -> str:
    rows = (",".join([key, *map(str, row)]) for key, row in zip(keys, values.tolist(), strict=True))
    return "\n".join([header, *rows, ""])


def frame(keys: Sequence[str], values: Values, name: str = "track_id") -> pd.DataFrame:
    x, y, z = values.T
    return pd.DataFrame({name: list(keys), "x": x, "y": y, "z": z})


def parquet(folder: Path, table: pd.DataFrame, **options: Any) -> Path:
    table.to_parquet(folder / "a.parquet", **options)
    return folder / "a.parquet"


FORMS: dict[str, Callable[[Path, list[str], Values], Path]] = {
    "npy json": lambda at, keys, rows: npy(at, rows, "a_ids.json", json.dumps(keys)),
    "npy txt": lambda at, keys, rows: npy(at, rows, "a_ids.txt", "\n".join(keys)),
    "npy txt crlf": lambda at, keys, rows: npy(
        at, rows, "a_ids.txt", b"\xef\xbb\xbf" + "".join(f"{key}\r\n" for key in keys).encode()
    ),
    "npy npy": lambda at, keys, rows: npy(at, rows, "a_ids.npy", saved(np.array(keys))),
    "npy own": lambda at, keys, rows: npy(at, rows, "track_ids.json", json.dumps(keys)),
    "npz": lambda at, keys, rows: npz(at, some=np.array(keys), thing=rows),
    "npz more": lambda at, keys, rows: npz(
        at, ids=np.array(keys), e=rows, y=np.arange(len(keys)), model=np.array("clap")
    ),
    "csv": lambda at, keys, rows: csv(at, csv_text(keys, rows)),
    "csv crlf": lambda at, keys, rows: csv(
        at, "\ufeff" + csv_text(keys, rows).replace("\n", "\r\n")
    ),
    "csv pandas": lambda at, keys, rows: csv(at, frame(keys, rows).to_csv()),
    "csv excel": lambda at, keys, rows: csv(at, "\ufeff" + frame(keys, rows).to_csv()),
    "csv pandas unnamed": lambda at, keys, rows: csv(
        at, frame(keys, rows).set_index("track_id").rename_axis(None).to_csv()
    ),
    "csv id last": lambda at, keys, rows: csv(
        at, frame(keys, rows)[["x", "y", "z", "track_id"]].to_csv(index=False)
    ),
    "parquet": lambda at, keys, rows: parquet(at, frame(keys, rows)),
    "parquet lists": lambda at, keys, rows: parquet(
        at, pd.DataFrame({"File": keys, "clap": list(rows)})
    ),
    "parquet index": lambda at, keys, rows: parquet(at, frame(keys, rows).set_index("track_id")),
    "parquet index of numbers": lambda at, keys, rows: parquet(
        at, frame(keys, rows).rename_axis("row")
    ),
    "parquet text index": lambda at, keys, rows: parquet(
        at, frame(keys, rows).set_index("track_id").rename_axis(None)
    ),
    "parquet index and lists": lambda at, keys, rows: parquet(
        at, pd.DataFrame({"clap": list(rows)}, index=pd.Index(keys, name="song"))
    ),
    "parquet row numbers": lambda at, keys, rows: parquet(
        at, frame(keys, rows).rename_axis("__index_level_0__").reset_index()
    ),
}


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


def test_suffixes_are_read_in_any_case(tmp_path: Path) -> None:
    for name in ("a.npz", "a.csv", "a.parquet", "a.npy"):
        path = FORMS[{"a.npy": "npy own"}.get(name, name[2:])](tmp_path, KEYS, VALUES)
        assert load(path.rename(tmp_path / name.upper().replace("A.", "a."))).keys == tuple(KEYS)


def test_ids_beside_an_array_are_looked_for_in_order(tmp_path: Path) -> None:
    for name in ("track_ids.json", "a_ids.npy", "a_ids.txt", "a_ids.json"):
        keys = [f"{name} {row}" for row in range(8)]
        content = {".npy": saved(np.array(keys)), ".txt": "\n".join(keys).encode()}
        path = npy(
            tmp_path, VALUES, name, content.get(Path(name).suffix, json.dumps(keys).encode())
        )
        assert load(path).keys == tuple(keys), "the later ones come first"


def test_what_a_stage_saved_is_read(tmp_path: Path) -> None:
    FeatureSet("vae(mfcc)", TRACKS.ids, VALUES, TRACKS.labels).save(tmp_path, "embedding")
    found = load(tmp_path / "embedding.npy")
    assert (found.name, found.keys) == ("embedding", tuple(IDS))
    np.testing.assert_array_equal(found.values, VALUES)


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", ">f8", "i1", "<i8", ">u2"])
def test_numbers_of_every_kind_become_float32(tmp_path: Path, dtype: str) -> None:
    values = np.arange(24).reshape(8, 3).astype(dtype)
    for order in ("C", "F"):
        found = load(npz(tmp_path, ids=np.array(KEYS), v=np.asarray(values, order=order))).values
        assert found.dtype == np.dtype(np.float32)
        np.testing.assert_array_equal(found, np.arange(24).reshape(8, 3))


def test_what_float32_cannot_hold_is_not_finite(tmp_path: Path) -> None:
    values = VALUES.astype(np.float64)
    values[3, 0] = 1e39
    paths = [npz(tmp_path, i=np.array(KEYS), v=values), csv(tmp_path, csv_text(KEYS, values))]
    for path in [*paths, parquet(tmp_path, frame(KEYS, values))]:
        _, table, _ = match(load(path), TRACKS)
        assert listing(table) == [(IDS[3], "track", "non-finite value in its row")]


# Tables


@pytest.mark.parametrize(
    "column", ["track_id", "filename", "file", "path", "id", " Track_ID ", "clip"]
)
def test_ids_of_digits_stay_text_in_whatever_column(tmp_path: Path, column: str) -> None:
    keys = [f"{row:05d}" for row in range(7)] + ["NA"]
    path = csv(tmp_path, csv_text(keys, VALUES, f"{column},p,q,r"))
    assert load(path).keys == tuple(keys)
    assert load(parquet(tmp_path, frame(keys, VALUES, column))).keys == tuple(keys)


def test_whole_numbers_name_rows_in_typed_tables_as_in_text(tmp_path: Path) -> None:
    numbers = pd.DataFrame({"id": range(8), "x": VALUES[:, 0]})
    expected = tuple(map(str, range(8)))
    assert load(parquet(tmp_path, numbers)).keys == expected
    assert load(csv(tmp_path, numbers.to_csv(index=False))).keys == expected


@pytest.mark.parametrize("better", ["track_id", "filename", "FILE", " path "])
def test_the_most_telling_column_of_ids_counts(tmp_path: Path, better: str) -> None:
    table = frame(KEYS, VALUES, better).assign(id=np.arange(8) * 2)
    for path in (csv(tmp_path, table.to_csv(index=False)), parquet(tmp_path, table)):
        found = load(path)
        assert found.keys == tuple(KEYS)
        np.testing.assert_array_equal(found.values[:, 3], np.arange(8) * 2)


@pytest.mark.parametrize("name", ["Unnamed: 0", "", "Unnamed: 7", "__index_level_0__"])
def test_row_numbers_beside_ids_are_no_dimension(tmp_path: Path, name: str) -> None:
    table = frame(KEYS, VALUES)
    shuffled = np.random.default_rng(0).permutation(8) + 5
    for at in (0, 1, 4):
        numbered = table.copy()
        numbered.insert(at, name, shuffled)
        for path in (csv(tmp_path, numbered.to_csv(index=False)), parquet(tmp_path, numbered)):
            np.testing.assert_array_equal(load(path).values, VALUES)


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("count", range(8)),
        ("Unnamed: 0", [0, 0, 1, 2, 3, 4, 5, 6]),
        ("Unnamed: 0", [0.5, 1, 2, 3, 4, 5, 6, 7]),
        ("0", range(8)),
    ],
)
def test_what_only_resembles_row_numbers_is_a_dimension(
    tmp_path: Path, name: str, column: Sequence[float]
) -> None:
    table = frame(KEYS, VALUES)
    table.insert(1, name, column)
    for path in (csv(tmp_path, table.to_csv(index=False)), parquet(tmp_path, table)):
        np.testing.assert_array_equal(load(path).values, np.column_stack([column, VALUES]))


def test_empty_cells_and_marks_are_gaps_and_nullable_columns_too(tmp_path: Path) -> None:
    rows = "".join(f"{key},{cell},1\n" for key, cell in zip("abcdefg", GAPS, strict=True))
    found = load(csv(tmp_path, "id,x,y\n" + rows)).values
    assert np.isnan(found[:, 0]).all()
    assert (found[:, 1] == 1).all()
    nullable = pd.array([1, None], dtype="Int64")
    path = parquet(tmp_path, pd.DataFrame({"id": ["a", "b"], "x": nullable}))
    np.testing.assert_array_equal(load(path).values, [[1], [np.nan]])
    lists = pd.DataFrame({"id": ["a", "b"], "x": [[1.0, None], [2.0, 3.0]]})
    np.testing.assert_array_equal(load(parquet(tmp_path, lists)).values, [[1, np.nan], [2, 3]])


GAPS = ("", "nan", "NaN", "NA", " null ", "None", "<NA>")


def test_names_with_commas_quotes_and_lines_are_kept(tmp_path: Path) -> None:
    keys = ['a, "b".wav', "c\u2028d.wav", "e f.wav", "g'.wav"]
    table = frame(keys, VALUES[:4])
    assert load(csv(tmp_path, table.to_csv(index=False))).keys == tuple(keys)
    assert load(npy(tmp_path, VALUES[:4], "a_ids.txt", "\n".join(keys))).keys == tuple(keys)


def test_folders_add_nothing_to_a_table(tmp_path: Path) -> None:
    folder = tmp_path / "model=7"
    folder.mkdir()
    np.testing.assert_array_equal(load(parquet(folder, frame(KEYS, VALUES))).values, VALUES)


# Files that cannot be used


def _bytes(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


def _zip_of(**members: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _array(values: Values, ids: object = KEYS, name: str = "a_ids.json") -> Callable[[Path], Path]:
    content = ids if isinstance(ids, bytes) else json.dumps(ids).encode()
    return lambda folder: npy(folder, values, name, content)


def _archive(**arrays: Values) -> Callable[[Path], Path]:
    return lambda folder: npz(folder, **arrays)


def _table(columns: dict[str, Any], **index: Any) -> Callable[[Path], Path]:
    return lambda folder: parquet(folder, pd.DataFrame(columns, **index))


def _folder(folder: Path) -> Path:
    (folder / "a.npy").mkdir()
    return folder / "a.npy"


def _ids_folder(folder: Path) -> Path:
    (folder / "a_ids.json").mkdir()
    np.save(folder / "a.npy", VALUES)
    return folder / "a.npy"


POOLED = "take the mean over frames first"
ROWS = "".join(f"{key},1,2\n" for key in KEYS)
BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "no.npy", "no such file"),
    "folder": (_folder, "a folder, not a file"),
    "suffix": (_bytes("a.pkl", b"x"), ".npy, .npz, .csv, .parquet, not '.pkl'"),
    "no suffix": (_bytes("a", b"x"), "not ''"),
    "long name": (lambda folder: folder / ("x" * 5000 + ".npy"), "File name too long"),
    **{f"empty {e}": (_bytes(f"a.{e}", b""), "is empty") for e in ("npy", "npz", "csv", "parquet")},
    # .npy
    "npy no ids": (
        _bytes("a.npy", saved(VALUES)),
        "no ids beside it, as one of a_ids.json, a_ids.txt, a_ids.npy, track_ids.json",
    ),
    "npy garbage": (_bytes("a.npy", b"garbage"), "not a NumPy array"),
    "npy is npz": (_bytes("a.npy", _zip_of(x=b"")), "not a NumPy array"),
    "npy truncated": (_bytes("a.npy", saved(VALUES)[:-1]), "not read as .npy: "),
    "npy header truncated": (_bytes("a.npy", saved(VALUES)[:50]), "not read as .npy: "),
    "npy header unclosed": (
        _bytes("a.npy", saved(VALUES).replace(b")", b" ")),
        "not read as .npy: ",
    ),
    "npy 0-d": (_array(np.array(1.0)), "found shape ()"),
    "npy 1-d": (_array(np.ones(8)), "expected (tracks, dimensions), found shape (8,)"),
    "npy 3-d": (_array(np.ones((8, 5, 2))), f"(8, 5, 2); for one row per track, {POOLED}"),
    "npy no rows": (_array(np.ones((0, 3)), []), "no rows"),
    "npy no columns": (_array(np.ones((8, 0))), "no numbers beside the ids"),
    "npy bool": (_array(VALUES > 0), "expected numbers, found bool"),
    "npy complex": (_array(VALUES * 1j), "expected numbers, found complex"),
    "npy text": (_array(VALUES.astype(str)), "expected numbers, found <U"),
    "npy dates": (_array(np.zeros((8, 3), "M8[s]")), "expected numbers, found datetime64"),
    "npy fields": (_array(np.zeros((8, 3), "i4,f4")), "expected numbers, found ["),
    "npy fewer ids": (_array(VALUES, KEYS[:7]), "7 ids for 8 rows"),
    "npy more ids": (_array(VALUES, [*KEYS, "x"]), "9 ids for 8 rows"),
    "id twice": (_array(VALUES, [*KEYS[:7], KEYS[0]]), f"1 ids occur twice, such as '{KEYS[0]}'"),
    "id empty": (_array(VALUES, [*KEYS[:7], ""]), "row 8 has an empty id"),
    "id blank": (_array(VALUES, [" ", *KEYS[1:]]), "row 1 has an empty id"),
    "id half a character": (
        _array(VALUES, ["\ud800", *KEYS[1:]]),
        r"row 1 has an id that is no text: '\ud800'",
    ),
    "id of two lines twice": (_array(VALUES, ["a\nb"] * 8), r"such as 'a\nb'"),
    "ids broken json": (_array(VALUES, b'["a"'), "a_ids.json: "),
    "ids deep json": (_array(VALUES, b"[" * 100_000), "a_ids.json: "),
    "ids object": (_array(VALUES, {"a": 1}), "a_ids.json: expected a list of text"),
    "ids numbers": (_array(VALUES, list(range(8))), "a_ids.json: expected a list of text"),
    "ids latin-1": (_array(VALUES, b"\xe9\n", "a_ids.txt"), "a_ids.txt: 'utf-8' codec can't"),
    "ids empty": (_array(VALUES, b"", "a_ids.txt"), "row"),
    "ids blank line": (
        _array(VALUES, "\n".join([*KEYS[:3], "", *KEYS[4:]]).encode(), "a_ids.txt"),
        "row 4 has an empty id",
    ),
    "ids a folder": (_ids_folder, "a_ids.json: "),
    "ids npy numbers": (
        _array(VALUES, saved(np.arange(8)), "a_ids.npy"),
        "a_ids.npy: expected a 1-d array of text, found int64 (8,)",
    ),
    "ids npy 2-d": (
        _array(VALUES, saved(np.array([KEYS])), "a_ids.npy"),
        "a_ids.npy: expected a 1-d array of text",
    ),
    "ids npy garbage": (_array(VALUES, b"garbage", "a_ids.npy"), "a_ids.npy: not a NumPy array"),
    "ids npy truncated": (
        _array(VALUES, saved(np.array(KEYS))[:-1], "a_ids.npy"),
        "a_ids.npy: Failed to read all data",
    ),
    "ids npy beyond unicode": (
        _array(VALUES, saved(np.array(KEYS))[:-1] + b"\x7f", "a_ids.npy"),
        "a_ids.npy: the ids are broken text",
    ),
    # .npz
    "npz garbage": (_bytes("a.npz", b"PK\3\4garbage"), "no .npz archive, or one that was cut"),
    "npz is npy": (_bytes("a.npz", saved(VALUES)), "no .npz archive"),
    "npz nothing": (_bytes("a.npz", _zip_of()), "found none"),
    "npz no array": (_bytes("a.npz", _zip_of(x=b"hello")), "found none"),
    "npz member truncated": (
        _bytes("a.npz", _zip_of(**{"v.npy": saved(VALUES)[:-4]})),
        "not read as .npz: ",
    ),
    "npz no ids": (
        _archive(v=VALUES),
        "expected one 1-d array of text and one 2-d array of numbers, found v float32 (8, 3)",
    ),
    "npz no values": (_archive(i=np.array(KEYS)), "one 2-d array of numbers, found i <U"),
    "npz two ids": (_archive(i=np.array(KEYS), j=np.array(KEYS), v=VALUES), "expected one 1-d"),
    "npz two values": (_archive(i=np.array(KEYS), v=VALUES, w=VALUES), "expected one 1-d"),
    "npz 3-d": (_archive(i=np.array(KEYS), v=np.ones((8, 5, 2))), POOLED),
    "npz 1-d": (_archive(i=np.array(KEYS), v=np.ones(8)), "found i <U21 (8,), v float64 (8,)"),
    "npz bool": (_archive(i=np.array(KEYS), v=VALUES > 0), "v bool (8, 3)"),
    "npz complex": (_archive(i=np.array(KEYS), v=VALUES * 1j), "v complex"),
    "npz fewer ids": (_archive(i=np.array(KEYS[:7]), v=VALUES), "7 ids for 8 rows"),
    "npz no columns": (_archive(i=np.array(KEYS), v=VALUES[:, :0]), "no numbers beside the ids"),
    "npz no rows": (_archive(i=np.array([], dtype=str), v=VALUES[:0]), "no rows"),
    # .csv
    "csv header only": (_bytes("a.csv", b"id,x,y\n"), "no rows"),
    "csv blank": (_bytes("a.csv", b"\n\n"), "no rows"),
    "csv no numbers": (_bytes("a.csv", b"id\na\nb\n"), "no numbers beside the ids"),
    "csv only row numbers": (_bytes("a.csv", b",id\n0,a\n1,b\n"), "no numbers beside the ids"),
    "csv text column": (
        _bytes("a.csv", b"id,x,mood\na,1,rock\n"),
        "column 'mood' holds 'rock', which is no number; ids are read from column 'id'",
    ),
    "csv bool": (_bytes("a.csv", b"id,x,y\na,1,True\n"), "column 'y' holds 'True'"),
    "csv complex": (_bytes("a.csv", b"id,x,y\na,1,1+2j\n"), "column 'y' holds '1+2j'"),
    "csv digits with underscore": (_bytes("a.csv", b"id,x\na,2020_01\n"), "holds '2020_01'"),
    "csv every row long": (_bytes("a.csv", b"id,x\na,1,2\nb,1,2\n"), "line 2 has 3 cells"),
    "csv one row long": (_bytes("a.csv", b"id,x\na,1\nb,1,2\n"), "line 3 has 3 cells, the header"),
    "csv a row short": (_bytes("a.csv", b"id,x,y\na,1,2\nb,1"), "line 3 has 2 cells, the header 3"),
    "csv open quote": (_bytes("a.csv", b'id,x\n"a,1\n'), "not read as .csv: unexpected end"),
    "csv latin-1": (_bytes("a.csv", "id,x\né,1\n".encode("latin-1")), "not UTF-8"),
    "csv utf-16": (_bytes("a.csv", "id,x\na,1\n".encode("utf-16")), "not UTF-8"),
    "csv id twice": (_bytes("a.csv", b"id,x\na,1\na,2\n"), "1 ids occur twice, such as 'a'"),
    "csv empty id": (_bytes("a.csv", b"id,x\na,1\n,2\n"), "row 2 has an empty id"),
    # .parquet
    "parquet garbage": (_bytes("a.parquet", b"garbage, but long enough"), "not read as .parquet: "),
    "parquet no rows": (_table({"id": [], "x": []}), "no rows"),
    "parquet no columns": (_table({}, index=range(8)), "no columns"),
    "parquet no numbers": (_table({"id": KEYS}), "no numbers beside the ids"),
    "parquet text column": (
        _table({"id": KEYS, "x": range(8), "mood": "rock"}),
        "column 'mood' holds 'rock', which is no number",
    ),
    "parquet digits as text": (_table({"id": KEYS, "x": "1"}), "column 'x' holds '1', which is no"),
    "parquet bool": (_table({"id": KEYS, "x": True}), "column 'x' holds 'True'"),
    "parquet dates": (
        _table({"id": KEYS, "x": pd.Timestamp("2020-01-01")}),
        "column 'x' holds '2020-01-01",
    ),
    "parquet null id": (_table({"id": [None, *KEYS[1:]], "x": range(8)}), "row 1 has an empty id"),
    "parquet id twice": (_table({"id": ["a"] * 8, "x": range(8)}), "1 ids occur twice"),
    "parquet ids are numbers": (_table({"x": VALUES[:, 0], "y": VALUES[:, 1]}), "is no text"),
    "parquet two-fold index": (
        _table({"x": [1.0]}, index=pd.MultiIndex.from_tuples([("a", "b")])),
        "is no text",
    ),
    "parquet ids are lists": (_table({"id": [[1], [2]], "x": [1, 2]}), "the id '[1]' is no text"),
    "parquet uneven lists": (
        _table({"id": ["a", "b"], "v": [[1.0], [1.0, 2.0]]}),
        "lists of 1 to 2 numbers in column 'v'",
    ),
    "parquet lists of lists": (_table({"id": ["a"], "v": [[[1.0], [2.0]]]}), POOLED),
    "parquet lists of text": (_table({"id": ["a"], "v": [["1"]]}), "no list of numbers in row 1"),
    "parquet lists of bool": (_table({"id": ["a"], "v": [[True]]}), "no list of numbers in row 1"),
    "parquet no list": (_table({"id": ["a", "b"], "v": [[1.0], None]}), "no list of numbers"),
    "parquet empty lists": (
        _table({"id": ["a"], "v": [np.array([], np.float64)]}),
        "no numbers beside the ids",
    ),
    "parquet lists and numbers": (
        _table({"id": ["a"], "v": [[1.0]], "x": [1]}),
        "column 'v' holds '[1.]', which is no number",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_gets_one_clear_line(tmp_path: Path, case: str) -> None:
    write, said = BAD[case]
    path = write(tmp_path)
    with pytest.raises(InputError) as error:
        load(path)
    assert str(error.value).startswith(f"input {path}: ")
    assert said in str(error.value)
    assert "\n" not in str(error.value)
    assert "unsafe" not in str(error.value), "no advice to unpickle"


def tried(path: Path) -> Vectors | None:
    """What `load` reads, or None where it says in one line that it cannot."""
    try:
        return load(path)
    except InputError as error:
        message = str(error)
    assert message.startswith(f"input {path}: ")
    assert "\n" not in message
    return None


@pytest.mark.parametrize("form", FORMS)
def test_a_file_cut_short_is_never_taken_for_a_whole_one(tmp_path: Path, form: str) -> None:
    path = FORMS[form](tmp_path, KEYS, VALUES)
    whole = path.read_bytes()
    for size in range(1, len(whole) - 1, max(1, len(whole) // 80)):
        path.write_bytes(whole[:size])
        if form.startswith("csv"):  # a cut within a number leaves a number; the rest is told
            kept = set(whole[:size].decode("utf-8", "ignore").splitlines()[:-1])
            found = tried(path)
            assert found is None or len(found.keys) in (len(kept) - 1, len(kept))
        else:
            assert tried(path) is None


# Breaking NumPy's header makes it try another reading, with a warning of its own
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::SyntaxWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("form", ["npy npy", "npz", "csv", "parquet", "parquet lists"])
def test_whatever_breaks_is_told_in_one_line(tmp_path: Path, form: str) -> None:
    path = FORMS[form](tmp_path, KEYS, VALUES)
    chance = random.Random(0)
    for target in sorted(tmp_path.iterdir()):
        whole = target.read_bytes()
        for _ in range(150):
            broken = bytearray(whole)
            for _ in range(chance.choice([1, 3, 9])):
                broken[chance.randrange(len(broken))] = chance.randrange(256)
            target.write_bytes(broken)
            tried(path)
        target.write_bytes(whole)


class Trap:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.folder),)


def trapped(folder: Path, shape: tuple[int, ...]) -> Values:
    array = np.empty(shape, dtype=object)
    array.fill(Trap(folder))
    return array


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    np.save(tmp_path / "values.npy", trapped(sprung, (8, 3)), allow_pickle=True)
    (tmp_path / "values_ids.json").write_text(json.dumps(KEYS))
    np.save(tmp_path / "b.npy", VALUES)
    np.save(tmp_path / "b_ids.npy", trapped(sprung, (8,)), allow_pickle=True)
    np.savez(tmp_path / "values.npz", i=np.array(KEYS), v=trapped(sprung, (8, 3)))
    np.savez(tmp_path / "ids.npz", i=trapped(sprung, (8,)), v=VALUES)
    np.savez(tmp_path / "more.npz", i=np.array(KEYS), v=VALUES, more=trapped(sprung, ()))
    for name in ("pickled.npy", "pickled.npz"):
        with (tmp_path / name).open("wb") as file:
            file.write(trapped(sprung, (1,)).dumps())
    arrays = [path for path in sorted(tmp_path.glob("*.np?")) if path.stem != "b_ids"]
    assert len(arrays) == 7
    for path in arrays:
        assert tried(path) is None
        assert not sprung.exists()
    np.load(tmp_path / "more.npz", allow_pickle=True)["more"]
    assert sprung.exists(), "the trap does work"


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


@pytest.mark.parametrize("key", WAYS)
def test_the_rule_is_that_of_lyrics(key: str) -> None:
    song = lyrics.Song(key, "words")
    found = lyrics.match([song], TRACKS.ids, TRACKS.labels, by="filename", name="x")
    assert [i for i, words in found.mapping().items() if words] == [IDS[5]]


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
def test_the_most_telling_name_counts_and_a_tie_gives_nothing(
    ids: list[str], keys: list[str], expected: dict[str, str]
) -> None:
    """Whatever the order of either, and nobody else is moved."""
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
def test_a_planted_row_is_listed_and_moves_nobody_else(
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
        ways = [form for i in ids[:6] for form in (*spellings(i), i, f"/d/{i}", i.upper())]
        keys = [*FILLERS, *chance.sample(sorted(set(ways)), 7), "nobody"]
        found, of = vectors(keys), tracks(*ids)
        _, table, _ = match(found, of)
        given = joined(found, of)
        assert len(set(given.values())) == len(given), "no two tracks share a row"
        for side, names, used in (("track", ids, given), ("file", keys, set(given.values()))):
            left_out = table[table["side"] == side]["name"].tolist()
            assert left_out == sorted(left_out)
            assert sorted([*used, *left_out]) == sorted(names)


def test_what_cannot_be_clustered_is_told_with_examples() -> None:
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


@pytest.mark.parametrize("name", ["label", "Genre", "class"])
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_genre_written_as_a_number_is_no_dimension(
    tmp_path: Path, suffix: str, name: str
) -> None:
    frame = pd.DataFrame({"track_id": ["a", "b"], "x": [0.5, 1.5], name: [0, 1]})
    path = tmp_path / f"v{suffix}"
    if suffix == ".csv":
        frame.to_csv(path, index=False)
    else:
        frame.to_parquet(path)
    with pytest.raises(InputError, match=f"column '{name}' is a label"):
        load(path)
