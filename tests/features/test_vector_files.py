"""Files of vectors, whole and broken, read through `vectors.load`, which checks what they hold."""

from __future__ import annotations

import io
import json
import os
import random
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest

from genre_vae.features.vectors import Vectors, load
from genre_vae.records import FeatureSet, InputError
from tests.features.vector_forms import (
    FORMS,
    IDS,
    KEYS,
    TRACKS,
    VALUES,
    Values,
    csv,
    csv_text,
    frame,
    npy,
    npz,
    parquet,
    saved,
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
        found = load(path).values
        assert np.isposinf(found[3, 0])
        assert np.isfinite(found).sum() == found.size - 1


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
def test_the_first_of_the_known_columns_of_ids_counts(tmp_path: Path, better: str) -> None:
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
        if form.startswith("csv"):  # a cut within a number leaves a number; all else is an error
            kept = set(whole[:size].decode("utf-8", "ignore").splitlines()[:-1])
            found = tried(path)
            assert found is None or len(found.keys) in (len(kept) - 1, len(kept))
        else:
            assert tried(path) is None


# Breaking NumPy's header makes it try another reading, with a warning of its own
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::SyntaxWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("form", ["npy npy", "npz", "csv", "parquet", "parquet lists"])
def test_whatever_breaks_gets_one_line(tmp_path: Path, form: str) -> None:
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


def test_whatever_is_written_into_an_archive_or_beside_a_table_gets_one_line(
    tmp_path: Path,
) -> None:
    """Nonsense behind a right checksum: in an array within an archive, and in what pandas notes."""
    chance = random.Random(0)

    def broken(content: bytes) -> bytes:
        changed = bytearray(content)
        for _ in range(chance.choice([1, 3, 9])):
            changed[chance.randrange(len(changed))] = chance.choice(b"\0\xff()[]{},:'\"09a ")
        return bytes(changed)

    ids, values = saved(np.array(KEYS)), saved(VALUES)
    for _ in range(300):
        content = _zip_of(**{"i.npy": broken(ids[:128]) + ids[128:], "v.npy": broken(values)})
        tried(_bytes("a.npz", content)(tmp_path))
    table = pyarrow.Table.from_pandas(frame(KEYS, VALUES).set_index("track_id"))
    noted = table.schema.metadata[b"pandas"]
    for _ in range(300):
        changed = table.replace_schema_metadata({b"pandas": broken(noted)})
        pyarrow.parquet.write_table(changed, tmp_path / "a.parquet")
        tried(tmp_path / "a.parquet")


@pytest.mark.parametrize("form", ["npy txt", "npz", "csv", "parquet", "parquet lists"])
def test_an_error_of_the_program_is_not_taken_for_one_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    path = FORMS[form](tmp_path, KEYS, VALUES)

    def fail(*_: object, **__: object) -> None:
        raise AttributeError("a mistake of ours")

    for name in ("stack", "column_stack", "ascontiguousarray"):
        monkeypatch.setattr(np, name, fail)
    with pytest.raises(AttributeError, match="a mistake of ours"):
        load(path)


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
