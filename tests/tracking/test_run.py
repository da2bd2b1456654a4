from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from genre_vae.collection.catalog import Catalog, scan
from genre_vae.records import InputError
from genre_vae.tracking import store as stores
from genre_vae.tracking.run import open_run
from genre_vae.tracking.stage import Recorder, local_artifacts
from tests.helpers import ROOT, every_run
from tests.tracking.stages import Answer, Config, ask


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    for name in ("rock/a.wav", "blues/b.wav"):
        (tmp_path / "music" / name).parent.mkdir(parents=True)
        (tmp_path / "music" / name).write_bytes(name.encode())
    return scan(tmp_path / "music")


def test_a_stage_leaves_a_finished_child_run_with_all_that_is_needed(
    store: Path, catalog: Catalog
) -> None:
    with open_run("easy", {"seed": "7"}) as run:
        done = ask(run, catalog, Config(seed=7))
        more = ask(run, catalog, earlier=[done, done])
    assert done.value == Answer(42)
    assert more.value == Answer(3 * 42)
    child, parent = MlflowClient().get_run(done.run_id), MlflowClient().get_run(run.run_id)
    assert child.info.status == parent.info.status == "FINISHED"
    assert child.data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert child.data.params == {"seed": "7", "points": "0", "fails": "False", "breaks": "False"}
    assert child.data.metrics == {"answer": 42.0}
    expected = {"stage": "test", "level": "easy", "dataset": catalog.fingerprint}
    assert expected.items() <= child.data.tags.items()
    assert child.inputs
    assert child.inputs.dataset_inputs[0].dataset.digest == catalog.fingerprint
    environment = json.loads((local_artifacts(parent) / "environment.json").read_text())
    assert {"python", "torch", "numpy", "platform"} <= environment.keys()
    assert not list((store / ".cache/work").glob("*/*")), "the work folder is gone"


def test_finished_work_is_reused_and_says_so(
    store: Path, catalog: Catalog, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):
        with open_run("easy", {}) as run:
            done = ask(run, catalog)
    assert done.reused
    assert done.value == Answer(42), "read from its files"
    assert f"reused run {done.run_id[:8]}" in capsys.readouterr().out
    assert len(every_run("tags.stage = 'test'")) == 1
    assert done.note == "the answer is 42"


def test_config_inputs_and_content_decide_what_is_reused(store: Path, catalog: Catalog) -> None:
    with open_run("easy", {}) as run:
        first = ask(run, catalog, Config(seed=1))
        assert ask(run, catalog, Config(seed=1)).reused
        assert not ask(run, catalog, Config(seed=2)).reused
        assert not ask(run, catalog, Config(seed=1), earlier=[first]).reused
        Path(catalog.tracks["path"][0]).write_bytes(b"another sound")
        assert not ask(run, scan(catalog.folder), Config(seed=1)).reused


def test_a_collection_that_was_moved_is_the_same_collection(store: Path, catalog: Catalog) -> None:
    with open_run("easy", {}) as run:
        ask(run, catalog)
        moved = catalog.folder.rename(catalog.folder.with_name("elsewhere"))
        assert ask(run, scan(moved)).reused


@pytest.mark.parametrize("damage", ["delete", "shorten", "forget", "garble", "remove"])
def test_work_with_damaged_artifacts_is_done_again(
    store: Path, catalog: Catalog, damage: str
) -> None:
    with open_run("easy", {}) as run:
        first = ask(run, catalog)
        if damage == "delete":
            (first.folder / "sub/result.txt").unlink()
        elif damage == "shorten":
            (first.folder / "sub/result.txt").write_text("4")
        elif damage == "remove":
            shutil.rmtree(first.folder)
        elif damage == "forget":
            (first.folder / "manifest.json").unlink()
        else:
            (first.folder / "manifest.json").write_bytes(b"\xff[]")
        again = ask(run, catalog)
    assert not again.reused
    assert again.value == Answer(42)


def test_a_failed_stage_marks_its_runs_failed_and_is_not_reused(
    store: Path, catalog: Catalog
) -> None:
    with pytest.raises(InputError), open_run("easy", {}) as run:
        ask(run, catalog, Config(fails=True))
    assert {one.info.status for one in every_run()} == {"FAILED"}
    assert every_run("tags.stage = 'test'")[0].data.metrics == {"answer": 42.0}
    with open_run("easy", {}) as run, pytest.raises(InputError):
        ask(run, catalog, Config(fails=True))
    assert len(every_run("tags.stage = 'test'")) == 2


def test_metrics_arrive_complete_and_in_order(store: Path, catalog: Catalog) -> None:
    with open_run("easy", {}) as run:
        done = ask(run, catalog, Config(points=1203))
    history = MlflowClient().get_metric_history(done.run_id, "loss")
    assert [(m.step, m.value) for m in history] == [(step, step) for step in range(1203)]


def test_metrics_of_several_threads_are_neither_lost_nor_doubled(tmp_path: Path) -> None:
    """With the interpreter switching threads as often as it can."""

    class Client:
        def __init__(self) -> None:
            self.steps: list[int] = []

        def log_batch(self, run_id: str, metrics: list[mlflow.entities.Metric]) -> None:
            self.steps += [metric.step for metric in metrics]

    def send(steps: Sequence[int]) -> None:
        for step in steps:
            record.metrics({"m": 0.0}, step=step)

    client = Client()
    record = Recorder(client, "run", tmp_path)  # type: ignore[arg-type]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [
            threading.Thread(target=send, args=(range(number, 20_000, 4),)) for number in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(before)
    record.flush()
    assert sorted(client.steps) == list(range(20_000))


def test_a_deleted_run_is_not_reused(store: Path, catalog: Catalog) -> None:
    with open_run("easy", {}) as run:
        first = ask(run, catalog)
        MlflowClient().delete_run(first.run_id)
        assert not ask(run, catalog).reused


def test_only_finished_runs_are_reused_however_whole(store: Path, catalog: Catalog) -> None:
    with open_run("easy", {}) as run:
        first = ask(run, catalog)
        MlflowClient().set_terminated(first.run_id, "FAILED")
        assert not ask(run, catalog).reused


def test_a_run_is_found_by_the_beginning_of_its_id_with_its_inputs(
    store: Path, catalog: Catalog
) -> None:
    with open_run("easy", {}) as run:
        first = ask(run, catalog)
        second = ask(run, catalog, earlier=[first])
    with open_run("easy", {}) as run:
        found = run.find(second.run_id[:12], catalog)
        assert found.value == Answer(84)
        assert [one.run_id for one in run.inputs(found)] == [first.run_id]
        for wrong in ("nonsense!", "0123456789abcdef", run.run_id):
            with pytest.raises(InputError, match="run '"):
                run.find(wrong, catalog)


def test_what_a_killed_run_left_does_not_become_an_artifact(store: Path, catalog: Catalog) -> None:
    with open_run("easy", {}) as run:
        first = ask(run, catalog)
        MlflowClient().delete_run(first.run_id)
        work = store / ".cache" / "work" / first.fingerprint
        work.mkdir(parents=True)
        for name in (".X.npy.1.tmp", "stale.txt", "vae_last.pth"):
            (work / name).write_text("left")
        done = ask(run, catalog)
    names = {path.name for path in done.folder.rglob("*") if path.is_file()}
    assert names == {"vae_last.pth", "result.txt", "manifest.json"}, "checkpoints are resumed from"


def test_a_fault_keeps_the_checkpoints_and_its_own_message(store: Path, catalog: Catalog) -> None:
    """What trained for hours is resumed after a full disk; a wrong input leaves nothing."""
    work = store / ".cache" / "work"
    with pytest.raises(OSError, match="the disk is full"), open_run("easy", {}) as run:
        ask(run, catalog, Config(breaks=True))
    assert [path.name for path in work.glob("*/*")] == ["vae_last.pth"]
    (failed,) = MlflowClient().search_runs(["0"], "tags.stage = 'test'")
    assert failed.info.status == "FAILED"
    assert failed.data.metrics == {"answer": 42.0}, "what was measured before the fault is kept"
    shutil.rmtree(work)
    with pytest.raises(InputError), open_run("easy", {}) as run:
        ask(run, catalog, Config(fails=True))
    assert not list(work.glob("*/*"))


def test_no_ids_are_no_runs_and_another_format_is_not_found(store: Path, catalog: Catalog) -> None:
    with open_run("easy", {}) as run:
        first = ask(run, catalog)
        assert [one.info.run_id for one in run.finished("test", catalog)] == [first.run_id]
        assert run.finished("test", catalog, []) == []
        MlflowClient().set_tag(first.run_id, "format", "1")
        second = ask(run, catalog)
    assert second.run_id != first.run_id, "files of another format cannot be read"


def test_under_mlflow_run_its_run_is_used_and_its_params_left(
    store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = stores.open_store(store)
    run_id = client.create_run("0").info.run_id
    client.log_param(run_id, "beta", "5.0")  # as mlflow run logs what was typed
    monkeypatch.setenv("MLFLOW_RUN_ID", run_id)
    with open_run("easy", {"beta": "5", "seed": "0"}) as run:
        assert run.run_id == run_id
    stored = client.get_run(run_id)
    assert stored.data.params == {"beta": "5.0", "seed": "0"}
    assert stored.info.run_name == "easy"
    assert mlflow.active_run() is None


WORKER = """
import sys, time
from pathlib import Path
from genre_vae.collection.catalog import scan
from genre_vae.tracking import store
from genre_vae.tracking.run import open_run
from genre_vae.tracking.stage import Recorder, stage
from tests.tracking.stages import Answer, Config

@stage("test")
def slow(record: Recorder, catalog: object, *, config: Config) -> Answer:
    time.sleep(1.5)
    return Answer(42)

store.project_root = lambda: Path(sys.argv[1])
with open_run("easy", {}) as run:
    run.do(slow, scan(Path(sys.argv[1]) / "music"), config=Config(), title="slow")
"""


def test_the_same_work_asked_for_twice_at_once_is_done_once(
    store: Path, catalog: Catalog, tmp_path: Path
) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    stores.open_store(store)
    command = [sys.executable, str(tmp_path / "worker.py"), str(store)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=60)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sorted("reused run" in output for output in outputs) == [False, True]
    assert len(every_run("tags.stage = 'test'")) == 1
