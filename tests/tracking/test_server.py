"""A real tracking server on loopback, with its own folder for artifacts."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from benchmarks.serving import free_port
from tests.helpers import ROOT, copy_database

QUICK = ("--epochs", "2", "--seeds", "2", "--workers", "2", "--methods", "pca,vae")


@pytest.fixture
def server(tmp_path: Path, empty_database: Path) -> Iterator[str]:
    copy_database(empty_database, tmp_path / "server.db", "mlflow-artifacts:/0")
    port = free_port()
    command = [str(Path(sys.executable).with_name("mlflow")), "server"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}"]
    command += ["--artifacts-destination", str(tmp_path / "kept"), "--serve-artifacts"]
    log = (tmp_path / "server.log").open("w")
    process = subprocess.Popen(
        command, cwd=tmp_path, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            if _answers(f"{address}/health"):
                break
            assert process.poll() is None, (tmp_path / "server.log").read_text()
            time.sleep(0.2)
        yield address
    finally:
        os.killpg(process.pid, 15)
        process.wait(30)
        log.close()


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return int(answer.status) == 200
    except OSError:
        return False


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
