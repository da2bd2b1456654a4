"""A real tracking server on loopback, with its own folder for artifacts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from tests.helpers import ROOT, copy_database
from tests.tracking.servers import mlflow_server

QUICK = ("--epochs", "2", "--seeds", "2", "--workers", "2", "--methods", "pca,vae")


@pytest.fixture
def server(tmp_path: Path, empty_database: Path) -> Iterator[str]:
    copy_database(empty_database, tmp_path / "server.db", "mlflow-artifacts:/0")
    arguments = ["--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}"]
    arguments += ["--artifacts-destination", str(tmp_path / "kept"), "--serve-artifacts"]
    with mlflow_server(tmp_path, *arguments) as address:
        yield address


def command(address: str, root: Path, *words: str) -> str:
    """An entry point in a process of its own, whose project is in another folder."""
    script = "import runpy, sys; from pathlib import Path; from genre_vae.tracking import store\n"
    script += f"store.project_root = lambda: Path({str(root)!r})\n"
    script += f"sys.argv = {list(words)!r}\n"
    script += f"runpy.run_module('entrypoints.{words[0]}', run_name='__main__')"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
    environment |= {"MLFLOW_TRACKING_URI": address}
    ran = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    return ran.stdout


def test_hard_registers_and_predicts_on_a_tracking_server(
    server: str, corpus: Path, tmp_path: Path
) -> None:
    said = command(server, tmp_path, "hard", "--data", str(corpus), *QUICK)
    assert "registered as genre-vae version 1, champion" in said
    again = command(server, tmp_path, "hard", "--data", str(corpus), *QUICK)
    assert "is already genre-vae version 1, champion" in again
    assert " 0 reused" not in again
    song = next(corpus.glob("genres/rock/*.flac"))
    placed = command(server, tmp_path, "predict", "--file", str(song))
    assert song.name in placed
    client = MlflowClient(server)
    experiments = [one.experiment_id for one in client.search_experiments()]
    assert {run.info.status for run in client.search_runs(experiments)} == {"FINISHED"}
    assert client.get_model_version_by_alias("genre-vae", "champion").tags["label_use"] == "none"
    assert (tmp_path / "kept").is_dir(), "artifacts are the server's"
