"""The same vectors in every form that is read."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from genre_vae.records import FeatureSet

Values = npt.NDArray[Any]

IDS = [f"genres/{g}/{g}.{n:05d}.wav" for g in ("blues", "rock") for n in range(4)]
TRACKS = FeatureSet(
    "mfcc", np.array(IDS), np.zeros((8, 1), np.float32), np.repeat(["blues", "rock"], 4)
)
VALUES = np.random.default_rng(0).normal(size=(8, 3)).astype(np.float32)
VALUES[0] = 1e-42, -0.0, 3e38  # subnormal, signed and large: text must keep all of them
KEYS = [track_id.removeprefix("genres/") for track_id in IDS]


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
