"""Shared inputs: a small synthesised corpus, real clips where they are, a store of one's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
from click.testing import CliRunner

from genre_vae.collection import demo
from genre_vae.tracking.store import create_database
from tests.helpers import GTZAN_MINI, copy_database


@pytest.fixture(scope="session")
def gtzan_mini() -> Path:
    """100 real clips, ten a genre. They may not be distributed, so they lie beside the project."""
    if not GTZAN_MINI.is_dir():
        pytest.skip(f"the real clips are not at {GTZAN_MINI}")
    return GTZAN_MINI


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two songs of each demo genre. Read only: copy it to change it."""
    return demo.ensure(tmp_path_factory.mktemp("demo") / "corpus", workers=2, tracks_per_genre=2)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with MLflow's tables, which take 2 s to make."""
    path = tmp_path_factory.mktemp("store") / "mlflow.db"
    create_database(f"sqlite:///{path}")
    return path


@pytest.fixture
def new_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project root without a tracking store, for entry points called in this process."""
    monkeypatch.setattr("genre_vae.tracking.store.project_root", lambda: tmp_path)
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    mlflow.set_tracking_uri(uri)
    yield tmp_path
    while mlflow.active_run():
        mlflow.end_run()
    mlflow.set_tracking_uri("")


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


@pytest.fixture
def store(new_store: Path, empty_database: Path) -> Path:
    """A project root with an empty tracking store, for entry points called in this process."""
    copy_database(empty_database, new_store / "mlflow.db", str(new_store / "mlruns" / "0"))
    return new_store
