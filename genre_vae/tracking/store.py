"""The tracking store: opened safely, searched in pages, and kept true about dead processes."""

from __future__ import annotations

import contextlib
import importlib.metadata
import logging
import os
import platform
import signal
import socket
import sqlite3
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import FrameType

import psutil
from filelock import FileLock

from genre_vae.records import InputError
from genre_vae.tracking.locations import bring_home, database_of, sqlite_uri

# Read when mlflow is imported: be quiet, and do not wait minutes for a server that is down.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow.entities import Run, RunStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

PACKAGE = Path(__file__).resolve().parent.parent
PAGE = 1000  # runs asked of the store at a time
RECORDED = (  # whose versions a run keeps
    *("numpy", "torch", "scikit-learn", "librosa", "mlflow", "pandas", "safetensors"),
    *("scipy", "soundfile", "soxr"),
)


class Terminated(BaseException):
    """SIGTERM, as an exception, so that runs are closed and temporary files removed."""


def project_root() -> Path:
    """The folder of MLproject; where the package was installed without it, the working folder."""
    return PACKAGE.parent if (PACKAGE.parent / "MLproject").exists() else Path.cwd()


def open_store(root: Path) -> MlflowClient:
    """The tracking store: MLFLOW_TRACKING_URI where set, else ``<root>/mlflow.db``.

    A database that is not there yet is created under a lock. Where the project was moved or copied,
    its own store is told, and so is the reader, in a line. Runs of this host whose process is gone
    are marked KILLED.

    Raises
    ------
    InputError
        If it cannot be opened, or nothing can be written to it.
    """
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)  # it reports each table
    lock = root / ".cache" / "store.lock"
    try:
        lock.parent.mkdir(exist_ok=True)
        lock.touch()
    except OSError as error:
        raise InputError(f"{lock.parent}: cannot be written: {error.strerror}") from error
    uri = os.environ.setdefault("MLFLOW_TRACKING_URI", sqlite_uri(root / "mlflow.db"))
    with FileLock(lock), contextlib.chdir(root):  # ./mlruns is taken from the working folder
        try:
            create_database(uri)
            _bring_home(uri, root)
            client = MlflowClient()
            _mark_dead_runs(client)
        except Exception as error:
            if not _is_of_the_store(error):
                raise
            reason = " ".join(str(error).split("[SQL")[0].split())[:300]
            raise InputError(
                f"the tracking store {uri} cannot be opened: {reason}{_what_to_do(uri)}"
            ) from error
    return client


def _is_of_the_store(error: Exception) -> bool:
    """Whether an error comes from MLflow or the database below it, and not from this code."""
    known = ("mlflow", "sqlalchemy", "alembic", "sqlite3")
    return type(error).__module__.partition(".")[0] in known


def _bring_home(uri: str, root: Path) -> None:
    database = database_of(uri)
    if database is not None and (said := bring_home(database, root)):
        print(f"{'store':<10} {said}", flush=True)


def create_database(uri: str) -> None:
    """Create an SQLite store whose file is not there yet, whole or not at all.

    MLflow makes its tables one after the other, for seconds, and a database in which that was
    interrupted can never be opened again. So it is made under another name and renamed.
    """
    path = database_of(uri)
    if path is None or path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    making = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        MlflowClient(tracking_uri=sqlite_uri(making)).search_experiments()  # makes the tables
        making.replace(path)
    finally:
        for left in path.parent.glob(f".{path.name}.*.tmp*"):  # a killed process's as well
            left.unlink(missing_ok=True)


def _what_to_do(uri: str) -> str:
    """What helps against a store that cannot be opened, as far as that can be known."""
    path = database_of(uri)
    if path is None or not path.is_file() or not os.access(path, os.W_OK):
        return ""
    try:
        with contextlib.closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
        ) as database:
            (runs,) = database.execute("SELECT COUNT(*) FROM runs").fetchone()
    except sqlite3.Error:
        runs = 0
    if runs:
        return f"; it holds {runs} runs, so keep a copy of it before anything else"
    return "; it holds no runs, as one whose creation was interrupted: delete it and start again"


def search(client: MlflowClient, where: str, *, most: int | None = None) -> list[Run]:
    """Runs of every experiment, the newest first: work is reused wherever it was filed.

    Parameters
    ----------
    where
        An MLflow filter.
    most
        How many at most; None for all, however many pages they take.
    """
    experiments = [one.experiment_id for one in _all_experiments(client)]
    found: list[Run] = []
    token = None
    while True:
        page = client.search_runs(
            experiments,
            where,
            order_by=["attributes.start_time DESC"],
            max_results=min(most or PAGE, PAGE),
            page_token=token,
        )
        found += page
        token = page.token
        if not token or (most is not None and len(found) >= most):
            return found[:most]


def _all_experiments(client: MlflowClient) -> list[mlflow.entities.Experiment]:
    found = list(page := client.search_experiments())
    while page.token:
        found += (page := client.search_experiments(page_token=page.token))
    return found


def is_missing(error: Exception) -> bool:
    """Whether an error says that something does not exist. Any other, of a server that does not
    answer for one, must not be taken for that."""
    known = isinstance(error, MlflowException) and error.error_code == "RESOURCE_DOES_NOT_EXIST"
    return known or isinstance(error, FileNotFoundError)


def environment() -> dict[str, object]:
    """What the numbers were computed with."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        **{name: version_of(name) for name in RECORDED},
    }


@cache
def version_of(distribution: str) -> str:
    """The version of an installed distribution; "" where it is not installed."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


@contextlib.contextmanager
def sigterm_raises() -> Iterator[None]:
    """SIGTERM raises `Terminated` in this block."""

    def handler(signum: int, frame: FrameType | None) -> None:
        raise Terminated

    previous = signal.signal(signal.SIGTERM, handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def identity() -> dict[str, str]:
    """Host, boot and process, as tags of a run: a process id alone comes again."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    process = psutil.Process()
    return {
        "host": socket.gethostname(),
        "boot": boot.read_text().strip() if boot.exists() else str(int(psutil.boot_time())),
        "pid": str(process.pid),
        "process_started": f"{process.create_time():.2f}",
    }


def _mark_dead_runs(client: MlflowClient) -> None:
    here = identity()
    where = f"tags.host = '{here['host']}' and attributes.status = 'RUNNING'"
    for run in search(client, where):
        tags = run.data.tags
        process = tags.get("pid", ""), tags.get("process_started", "")
        alive = tags.get("boot") == here["boot"] and _is_alive(*process)
        if not alive:
            client.set_terminated(run.info.run_id, RunStatus.to_string(RunStatus.KILLED))


def _is_alive(pid: str, started: str) -> bool:
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" == started
    except (psutil.Error, ValueError):
        return False
