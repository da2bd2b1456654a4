"""Where an SQLite store lies, and where it says that artifacts lie.

MLflow takes the artifacts' folder, ``mlruns`` beside the store, from the working folder once, and
writes it as an absolute path into every experiment, run, logged model and version of a registered
model. Relative locations would be taken from the working folder of whoever reads them, and
``mlflow-artifacts:`` ones need a server. So a store that finds itself in another folder than it was
made in is repaired: what it says of the former folder is said of the present one.
"""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from urllib.parse import unquote
from urllib.request import url2pathname

SQLITE = "sqlite:///"
ARTIFACTS = "mlruns"  # MLflow's name for the folder
LOCATIONS = (  # the columns with absolute locations of artifacts, by table
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def sqlite_uri(database: Path) -> str:
    """The URI of a database."""
    return SQLITE + _quoted(str(database))


def _quoted(path: str) -> str:
    """A path as MLflow takes it for itself: it unquotes even plain ones. One in which nothing would
    be taken for something else stays as people type it."""
    meant = unquote(path) == path and "?" not in path
    return path if meant else path.replace("%", "%25").replace("?", "%3F")


def database_of(uri: str) -> Path | None:
    """The file of an SQLite store, the inverse of `sqlite_uri`; None for any other store."""
    if not uri.startswith(SQLITE):
        return None
    return Path(unquote(uri.removeprefix(SQLITE).partition("?")[0]))


def bring_home(database: Path, root: Path) -> str:
    """Have a store say that the artifacts lie in ``<root>/mlruns``, where it says another folder.

    That folder is known from the default experiment, which is made with the store. All rows are
    changed in one transaction, or none; files are not touched, here or there. What the store says
    of any third place stays.

    Parameters
    ----------
    database
        The store's file. One that lies elsewhere than below `root` is left as it is.
    root
        The project's folder.

    Returns
    -------
    str
        In a line, what was found; ``""`` where nothing was moved.

    Raises
    ------
    sqlite3.Error
        If the file cannot be written, or is no database.
    """
    with contextlib.closing(sqlite3.connect(database, timeout=60, isolation_level=None)) as store:
        store.execute("BEGIN IMMEDIATE")  # no matter what: runs cannot be kept where this fails
        if not database.resolve().is_relative_to(root.resolve()):
            return ""
        said = _repair(store, database.name, root)
        store.execute("COMMIT")
    return said


def _repair(store: sqlite3.Connection, name: str, root: Path) -> str:
    home = _quoted(f"{root}/{ARTIFACTS}")
    _rewrite(store, f"{root}/{ARTIFACTS}", home)  # as MLflow writes it
    former = _recorded(store)
    if former is None or former == home:
        return ""
    place = local_path(former)
    if place.resolve() == (root / ARTIFACTS).resolve():  # by way of a symbolic link
        return ""
    here = elsewhere = models = 0
    for table, column in (("runs", "artifact_uri"), ("logged_models", "artifact_location")):
        for rest in _below(store, table, column, former):
            if (root / ARTIFACTS / rest).exists():
                here, models = here + (table == "runs"), models + (table != "runs")
            else:
                elsewhere += (place / rest).exists()
    _rewrite(store, former, home)
    how = "copied" if (place.parent / name).exists() else "moved"
    left = f"; the files of {elsewhere} more are only there: copy {place} to {root}" * bool(
        elsewhere
    )
    return (
        f"the project was {how} from {place.parent} to {root}: {here} runs and {models} models "
        f"are found here again{left}"
    )


def local_path(location: str) -> Path:
    """The path that MLflow makes of a local location."""
    return Path(url2pathname(location.removeprefix("file://")))


def _recorded(store: sqlite3.Connection) -> str | None:
    """The folder of artifacts that the store was made with; None where that is not known, or is
    not a folder as MLflow makes it by itself."""
    if "artifact_location" not in _columns(store, "experiments"):
        return None  # half made: MLflow says so
    found = store.execute(
        "SELECT artifact_location FROM experiments WHERE experiment_id = 0"
    ).fetchone()
    location = str(found[0] if found else "").rstrip("/")
    local = location.startswith(("/", "file:///"))
    return location.removesuffix("/0") if local and location.endswith(f"/{ARTIFACTS}/0") else None


def _columns(store: sqlite3.Connection, table: str) -> set[str]:
    return {str(row[1]) for row in store.execute(f"PRAGMA table_info({table})")}


def _below(store: sqlite3.Connection, table: str, column: str, folder: str) -> list[str]:
    """What follows a folder in the locations of a table that are below it."""
    if column not in _columns(store, table):
        return []
    start = f"{folder}/"
    rows = store.execute(
        f"SELECT substr({column}, ?) FROM {table} WHERE substr({column}, 1, ?) = ?",
        (len(start) + 1, len(start), start),
    )
    return [str(rest) for (rest,) in rows]


def _rewrite(store: sqlite3.Connection, old: str, new: str) -> None:
    if old == new:
        return
    for table, column in LOCATIONS:
        if column in _columns(store, table):
            store.execute(
                f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
                f"WHERE substr({column}, 1, ?) = ?",
                (f"{new}/", len(old) + 2, len(old) + 1, f"{old}/"),
            )
