from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import Run
from mlflow.tracking import MlflowClient

from genre_vae import tracking
from genre_vae.collection.catalog import Catalog, scan
from genre_vae.records import InputError
from genre_vae.tracking import Recorder, StageRun, Tracker
from tests.helpers import ROOT


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    for name in ("rock/a.wav", "blues/b.wav"):
        (tmp_path / "music" / name).parent.mkdir(parents=True)
        (tmp_path / "music" / name).write_bytes(name.encode())
    return scan(tmp_path / "music")


def write_result(record: Recorder) -> None:
    (record.folder / "sub").mkdir(exist_ok=True)
    (record.folder / "sub" / "result.txt").write_text("42")
    record.metrics({"answer": 42.0})
    record.note = "the answer is 42"


def stage(
    tracker: Tracker,
    catalog: Catalog,
    compute: Callable[[Recorder], None] = write_result,
    *,
    inputs: tuple[StageRun, ...] = (),
    **config: object,
) -> StageRun:
    return tracker.stage(
        "test", title="a stage", dataset=catalog, config=config, compute=compute, inputs=inputs
    )


def runs(where: str = "") -> list[Run]:
    client = MlflowClient()
    return list(client.search_runs([e.experiment_id for e in client.search_experiments()], where))


def test_a_stage_leaves_a_finished_child_run_with_all_that_is_needed(
    store: Path, catalog: Catalog
) -> None:
    with tracking.invocation("easy", {"seed": 7}) as tracker:
        done = stage(tracker, catalog, seed=7)
    child, parent = MlflowClient().get_run(done.run_id), MlflowClient().get_run(tracker.run_id)
    assert child.info.status == parent.info.status == "FINISHED"
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.params == {"seed": "7"}
    assert child.data.metrics == {"answer": 42.0}
    expected = {"stage": "test", "level": "easy", "dataset": catalog.fingerprint}
    assert expected.items() <= child.data.tags.items()
    assert child.inputs
    assert child.inputs.dataset_inputs[0].dataset.digest == catalog.fingerprint
    assert (done.folder / "sub/result.txt").read_text() == "42"
    environment = json.loads((tracking.local_artifacts(parent) / "environment.json").read_text())
    assert {"python", "torch", "numpy", "platform"} <= environment.keys()
    assert not list((store / ".cache/work").glob("*/*")), "the work folder is gone"


def test_finished_work_is_reused_and_says_so(
    store: Path, catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        with tracking.invocation("easy", {}) as tracker:
            done = stage(tracker, catalog)
    assert done.reused
    assert f"reused run {done.run_id[:8]}" in capsys.readouterr().out
    assert len(runs("tags.stage = 'test'")) == 1
    assert done.note == "the answer is 42"


def other_compute(record: Recorder) -> None:
    from genre_vae.evaluation import metrics

    record.metrics({"chance": metrics.CHANCE_DRAWS})


def test_what_decides_the_result_decides_the_fingerprint(
    store: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tracking.invocation("easy", {}) as tracker:
        first = stage(tracker, catalog, seed=1)
        assert stage(tracker, catalog, seed=1).reused
        assert not stage(tracker, catalog, seed=2).reused
        assert not stage(tracker, catalog, inputs=(first,), seed=1).reused
        Path(catalog.tracks["path"][0]).write_bytes(b"another sound")
        assert not stage(tracker, scan(catalog.folder), seed=1).reused
        versions = {"numpy": "0", "torch": "0", "scikit-learn": "0"}
        monkeypatch.setattr(tracking, "_version", versions.get)
        assert not stage(tracker, catalog, seed=1).reused


def test_the_source_that_computes_decides_the_fingerprint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "genre_vae"
    package.mkdir()
    (package / "deep.py").write_text("X = 1\n")
    (package / "records.py").write_text("from genre_vae import deep\n")
    (package / "other.py").write_text("Y = 1\n")
    entry = tmp_path / "entry.py"
    entry.write_text("def f():\n    from genre_vae.records import FeatureSet\n")
    monkeypatch.setattr(tracking, "PACKAGE", package)

    def digest() -> str:
        tracking.source_digest.cache_clear()
        return tracking.source_digest(entry)

    before = digest()
    (package / "other.py").write_text("Y = 2\n")
    assert digest() == before, "a module that is not imported does not count"
    (package / "deep.py").write_text("X = 2\n")
    assert digest() != before, "one imported by an import does"


@pytest.mark.parametrize("damage", ["delete", "shorten", "forget"])
def test_work_with_damaged_artifacts_is_done_again(
    store: Path, catalog: Catalog, damage: str
) -> None:
    with tracking.invocation("easy", {}) as tracker:
        first = stage(tracker, catalog)
        if damage == "delete":
            (first.folder / "sub/result.txt").unlink()
        elif damage == "shorten":
            (first.folder / "sub/result.txt").write_text("4")
        else:
            (first.folder / "manifest.json").unlink()
        again = stage(tracker, catalog)
    assert not again.reused
    assert (again.folder / "sub/result.txt").read_text() == "42"


def fail(record: Recorder) -> None:
    record.metrics({"before": 1.0})
    raise InputError("no such thing")


def test_a_failed_stage_marks_its_runs_failed_and_is_not_reused(
    store: Path, catalog: Catalog
) -> None:
    with pytest.raises(InputError), tracking.invocation("easy", {}) as tracker:
        stage(tracker, catalog, fail)
    assert {run.info.status for run in runs()} == {"FAILED"}
    assert runs("tags.stage = 'test'")[0].data.metrics == {"before": 1.0}
    with tracking.invocation("easy", {}) as tracker, pytest.raises(InputError):
        stage(tracker, catalog, fail)
    assert len(runs("tags.stage = 'test'")) == 2


def test_metrics_arrive_complete_and_in_order(store: Path, catalog: Catalog) -> None:
    def many(record: Recorder) -> None:
        for step in range(1203):
            record.metrics({"loss": float(step)}, step=step)

    with tracking.invocation("easy", {}) as tracker:
        done = stage(tracker, catalog, many)
    history = MlflowClient().get_metric_history(done.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(step, step) for step in range(1203)]


def test_a_deleted_run_is_not_reused(store: Path, catalog: Catalog) -> None:
    with tracking.invocation("easy", {}) as tracker:
        first = stage(tracker, catalog)
        MlflowClient().delete_run(first.run_id)
        assert not stage(tracker, catalog).reused


def test_runs_of_dead_processes_of_this_host_are_marked_killed(store: Path) -> None:
    client = tracking.open_store(store)
    mine, other = tracking._identity(), {"host": "elsewhere", "boot": "x", "pid": "1"}
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
    tracking.open_store(store)
    status = {name: client.get_run(run_id).info.status for name, run_id in ids.items()}
    assert status == dict.fromkeys(dead, "KILLED") | dict.fromkeys(alive, "RUNNING")


SLEEPER = """
import sys, time
from pathlib import Path
from genre_vae import tracking
tracking.project_root = lambda: Path(sys.argv[1])
try:
    with tracking.invocation("easy", {}) as tracker:
        print(tracker.run_id, flush=True)
        time.sleep(float(sys.argv[2]))
except tracking.Terminated:
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


def test_sigterm_leaves_a_killed_run_and_sigkill_one_that_is_found_later(store: Path) -> None:
    processes = [sleeper(store, 60), sleeper(store, 60)]  # which also open a new store at once
    ids = [process.stdout.readline().strip() for process in processes if process.stdout]
    processes[0].send_signal(signal.SIGTERM)
    assert processes[0].wait(20) == 143
    processes[1].kill()
    processes[1].wait(20)
    client = MlflowClient()
    assert [client.get_run(run_id).info.status for run_id in ids] == ["KILLED", "RUNNING"]
    tracking.open_store(store)
    assert [client.get_run(run_id).info.status for run_id in ids] == ["KILLED", "KILLED"]
    for process in processes:
        assert process.stdout
        process.stdout.close()


def test_four_first_writers_do_not_break_a_new_store(store: Path) -> None:
    processes = [sleeper(store, 0) for _ in range(4)]
    outputs = [process.communicate(timeout=60)[0].split()[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0, 0]
    assert len(set(outputs)) == 4
    client = MlflowClient()
    assert {client.get_run(run_id).info.status for run_id in outputs} == {"FINISHED"}


WORKER = """
import sys, time
from pathlib import Path
from genre_vae import tracking
from genre_vae.collection.catalog import scan

def compute(record):
    time.sleep(1.5)
    (record.folder / "result.txt").write_text("42")

tracking.project_root = lambda: Path(sys.argv[1])
with tracking.invocation("easy", {}) as tracker:
    catalog = scan(Path(sys.argv[1]) / "music")
    tracker.stage("test", title="slow", dataset=catalog, config={}, compute=compute)
"""


def test_the_same_work_asked_for_twice_at_once_is_done_once(
    store: Path, catalog: Catalog, tmp_path: Path
) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    tracking.open_store(store)
    command = [sys.executable, str(tmp_path / "worker.py"), str(store)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted("reused run" in output for output in outputs) == [False, True]
    assert len(runs("tags.stage = 'test'")) == 1


def test_scored_reads_clustering_runs_of_one_dataset(store: Path, catalog: Catalog) -> None:
    def score(record: Recorder) -> None:
        record.metrics({"ami": 0.5})
        record.tags({"input": "audio", "label_use": "none"})

    with tracking.invocation("easy", {}) as tracker:
        ids = [
            tracker.stage(
                "cluster",
                title=method,
                dataset=catalog,
                config={"seeds": 5, "method": method},
                compute=score,
                tags={"method": method},
            ).run_id
            for method in ("a", "b")
        ]
        (catalog.folder / "rock" / "c.wav").write_bytes(b"c")
        assert tracker.scored(scan(catalog.folder)) == []
        assert [row["method"] for row in tracker.scored(catalog)] == ["b", "a"]
        only = tracker.scored(catalog, [ids[0]])
    assert [(row["method"], row["ami"], row["seeds"]) for row in only] == [("a", 0.5, 5)]


def test_under_mlflow_run_its_run_is_used_and_its_params_left(
    store: Path, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = tracking.open_store(store)
    run_id = client.create_run("0").info.run_id
    client.log_param(run_id, "beta", "5.0")  # as mlflow run logs what was typed
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    with tracking.invocation("easy", {"beta": 5, "seed": 0}) as tracker:
        assert tracker.run_id == run_id
    run = client.get_run(run_id)
    assert run.data.params == {"beta": "5.0", "seed": "0"}
    assert run.info.run_name == "easy"
    assert mlflow.active_run() is None


def test_what_a_killed_run_left_does_not_become_an_artifact(store: Path, catalog: Catalog) -> None:
    fingerprint = tracking.fingerprint_of("test", {}, catalog, (), write_result)
    work = store / ".cache" / "work" / fingerprint
    work.mkdir(parents=True)
    for name in (".X.npy.1.tmp", "stale.txt", "vae_last.pth"):
        (work / name).write_text("left")
    with tracking.invocation("easy", {}) as tracker:
        done = stage(tracker, catalog)
    names = {path.name for path in done.folder.rglob("*") if path.is_file()}
    assert names == {"vae_last.pth", "result.txt", "manifest.json"}, "checkpoints are resumed from"


def test_only_finished_runs_are_reused_however_whole(store: Path, catalog: Catalog) -> None:
    with tracking.invocation("easy", {}) as tracker:
        first = stage(tracker, catalog)
        MlflowClient().set_terminated(first.run_id, "FAILED")
        assert not stage(tracker, catalog).reused
