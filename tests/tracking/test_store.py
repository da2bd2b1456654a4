from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import INTERNAL_ERROR, RESOURCE_DOES_NOT_EXIST
from mlflow.tracking import MlflowClient

from genre_vae.tracking import store as stores
from tests.helpers import ROOT


def test_runs_of_dead_processes_of_this_host_are_marked_killed(store: Path) -> None:
    client = stores.open_store(store)
    mine, other = stores.identity(), {"host": "elsewhere", "boot": "x", "pid": "1"}
    dead = {
        "exited": mine | {"pid": "999999999"},
        "rebooted": mine | {"boot": "before"},
        "pid came again": mine | {"process_started": "1.00"},
    }
    alive = {"this": mine, "on another host": other | {"process_started": "1.00"}}
    ids = {
        name: client.create_run("0", tags=tags, run_name=name).info.run_id
        for name, tags in (dead | alive).items()
    }
    stores.open_store(store)
    status = {name: client.get_run(run_id).info.status for name, run_id in ids.items()}
    assert status == dict.fromkeys(dead, "KILLED") | dict.fromkeys(alive, "RUNNING")


def test_a_search_goes_past_the_stores_page(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = stores.open_store(store)
    other = client.create_experiment("another")
    made = [
        client.create_run(experiment, tags={"n": str(n)}).info.run_id
        for n, experiment in enumerate(["0", other] * 4)
    ]
    monkeypatch.setattr(stores, "PAGE", 3)
    found = [run.info.run_id for run in stores.search(client, "")]
    assert sorted(found) == sorted(made)
    assert len(stores.search(client, "", most=5)) == 5
    assert [run.data.tags["n"] for run in stores.search(client, "tags.n = '6'")] == ["6"]


SLEEPER = """
import sys, time
from pathlib import Path
from genre_vae.tracking import store
from genre_vae.tracking.run import open_run
store.project_root = lambda: Path(sys.argv[1])
try:
    with open_run("easy", {}) as run:
        print(run.run_id, flush=True)
        time.sleep(float(sys.argv[2]))
except store.Terminated:
    sys.exit(143)
"""


def sleeper(root: Path, seconds: float) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_RUN_ID"}
    return subprocess.Popen(
        [sys.executable, "-c", SLEEPER, str(root), str(seconds)],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )


def test_sigterm_leaves_a_killed_run_and_sigkill_one_that_is_found_later(new_store: Path) -> None:
    processes = [
        sleeper(new_store, 60),
        sleeper(new_store, 60),
    ]  # which also open a new store at once
    ids = [process.stdout.readline().strip() for process in processes if process.stdout]
    processes[0].send_signal(signal.SIGTERM)
    assert processes[0].wait(20) == 143
    processes[1].kill()
    processes[1].wait(20)
    client = MlflowClient()
    assert [client.get_run(run_id).info.status for run_id in ids] == ["KILLED", "RUNNING"]
    stores.open_store(new_store)
    assert [client.get_run(run_id).info.status for run_id in ids] == ["KILLED", "KILLED"]
    for process in processes:
        assert process.stdout
        process.stdout.close()


def test_four_first_writers_do_not_break_a_new_store(new_store: Path) -> None:
    processes = [sleeper(new_store, 0) for _ in range(4)]
    outputs = [process.communicate(timeout=60)[0].split()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert len(set(outputs)) == 4
    client = MlflowClient()
    assert {client.get_run(run_id).info.status for run_id in outputs} == {"FINISHED"}


def test_a_first_start_that_is_killed_leaves_a_store_that_opens(new_store: Path) -> None:
    """Killed at five moments while the tables are being made: there is no database, or a whole
    one, and no file of it is left beside."""
    for moment in range(5):
        process = sleeper(new_store, 0)
        deadline = time.monotonic() + 30
        while not list(new_store.glob(".mlflow.db.*.tmp")) and process.poll() is None:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(0.05 * moment)
        process.kill()
        process.communicate(timeout=30)
    assert sleeper(new_store, 0).communicate(timeout=60)[0]
    assert not list(new_store.glob(".mlflow.db.*"))
    (run,) = MlflowClient().search_runs(["0"], "attributes.status = 'FINISHED'")
    assert run.info.status == "FINISHED"


def opened_elsewhere(root: Path) -> str:
    """What a process of its own says when it cannot open a store."""
    script = "import sys; from pathlib import Path; from genre_vae.tracking import store\n"
    script += (
        "try:\n store.open_store(Path(sys.argv[1]))\nexcept ValueError as error:\n print(error)"
    )
    command = [sys.executable, "-c", script, str(root)]
    return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout


def test_a_half_made_store_gets_one_line_with_what_to_do(new_store: Path) -> None:
    with contextlib.closing(sqlite3.connect(new_store / "mlflow.db")) as database:
        # as a creation leaves it that was interrupted
        database.execute("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL)")
        database.execute("CREATE TABLE logged_models (model_id VARCHAR(36))")
    said = opened_elsewhere(new_store)
    assert "it holds no runs" in said
    assert "delete it and start again" in said
    assert said.count("\n") == 1


def test_a_damaged_store_is_not_called_half_made(store: Path) -> None:
    stores.open_store(store).create_run("0")
    with contextlib.closing(sqlite3.connect(store / "mlflow.db")) as database:
        database.execute("UPDATE alembic_version SET version_num = 'nonsense'")
        database.commit()
    said = opened_elsewhere(store)
    assert "it holds 1 runs, so keep a copy" in said
    assert said.count("\n") == 1


def test_only_what_does_not_exist_is_missing() -> None:
    assert stores.is_missing(MlflowException("gone", error_code=RESOURCE_DOES_NOT_EXIST))
    assert stores.is_missing(FileNotFoundError())
    assert not stores.is_missing(MlflowException("no answer", error_code=INTERNAL_ERROR))
    assert not stores.is_missing(PermissionError())
