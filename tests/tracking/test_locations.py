"""A project that was moved or copied goes on where it is, and writes nothing where it was."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from genre_vae.collection.catalog import Catalog, scan
from genre_vae.records import InputError
from genre_vae.tracking import locations
from genre_vae.tracking import store as stores
from genre_vae.tracking.run import open_run
from genre_vae.tracking.stage import local_artifacts
from tests.helpers import ROOT, copy_database, every_run
from tests.tracking.servers import mlflow_server
from tests.tracking.stages import Answer, Config, ask
from tests.tracking.test_stale import Project

Stand = Callable[[Path], Path]


@pytest.fixture
def stand(new_store: Path, monkeypatch: pytest.MonkeyPatch) -> Stand:
    """Say in which folder the project is now, for what is called in this process."""

    def to(root: Path) -> Path:
        uri = locations.sqlite_uri(root / "mlflow.db")
        monkeypatch.setattr("genre_vae.tracking.store.project_root", lambda: root)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        mlflow.set_tracking_uri(uri)
        return root

    return to


@pytest.fixture
def project(new_store: Path, empty_database: Path, stand: Stand) -> Path:
    """A project in which a stage was done and a model logged and registered."""
    root = new_store / "nested" / "first"
    (root / "music" / "rock").mkdir(parents=True)
    for name in "ab":
        (root / "music" / "rock" / f"{name}.wav").write_bytes(name.encode())
    copy_database(empty_database, root / "mlflow.db", f"{root}/mlruns/0")
    work(stand(root))
    client = MlflowClient()
    model = client.create_logged_model("0", name="genre-vae")
    placed(model.artifact_location).mkdir(parents=True)
    (placed(model.artifact_location) / "MLmodel").write_text("flavors: {}")
    client.create_registered_model("genre-vae")
    client.create_model_version("genre-vae", model.model_uri, model_id=model.model_id)
    client.create_model_version("genre-vae", model.artifact_location)
    return root


def placed(location: str) -> Path:
    return locations.local_path(location)


def work(root: Path, seed: int = 0) -> bool:
    """Do the test's stage, or find it done; returns whether it was found."""
    with open_run("easy", {}) as run:
        done = ask(run, scan(root / "music"), Config(seed=seed))
        assert done.value == Answer(42)
        assert done.folder.resolve().is_relative_to(root)
    return done.reused


COLUMNS = {
    "experiments": ["artifact_location"],
    "runs": ["artifact_uri"],
    "logged_models": ["artifact_location"],
    "model_versions": ["source", "storage_location"],
}


def recorded(root: Path) -> list[str]:
    """Every location in a store."""
    with contextlib.closing(sqlite3.connect(root / "mlflow.db")) as store:
        rows = [
            row
            for table, columns in COLUMNS.items()
            for row in store.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
        ]
    return [str(one) for row in rows for one in row if not str(one).startswith("models:/")]


def files(root: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in root.rglob("*")} | {
        root: root.stat().st_mtime_ns
    }


@pytest.mark.parametrize(
    "where",
    [
        "renamed",
        "deeper/and/deeper",
        "../above",
        "with space, 100% of é #1",
        "quoted%20like%2Ethis",
    ],
)
def test_a_moved_project_finds_its_work_and_writes_nothing_where_it_was(
    project: Path, stand: Stand, where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    new = (project.parent / where).resolve()
    new.parent.mkdir(parents=True, exist_ok=True)
    project.rename(new)
    capsys.readouterr()
    assert work(stand(new)), "found again"
    said = capsys.readouterr().out
    was = f"the project was moved from {project} to {new}: 2 runs and 1 models are found here again"
    assert [line.split(maxsplit=1)[1] for line in said.splitlines() if "was moved" in line] == [was]
    assert not work(new, seed=1), "new work is done"
    assert "was moved" not in capsys.readouterr().out, "said once"
    MlflowClient().create_experiment("another")
    stores.open_store(new)
    assert not project.exists()
    assert all(placed(one).is_relative_to(new) for one in recorded(new))
    versions = MlflowClient().search_model_versions("name = 'genre-vae'")
    folders = [
        MlflowClient().get_model_version_download_uri("genre-vae", str(one.version))
        for one in versions
    ]
    assert [(placed(one) / "MLmodel").is_file() for one in folders] == [True, True]
    assert {run.info.status for run in every_run()} == {"FINISHED"}
    assert all((local_artifacts(run)).is_dir() for run in every_run())


def test_a_copy_leaves_the_original_alone_and_the_original_goes_on(
    project: Path, stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = project.with_name("first copy")
    shutil.copytree(project, copy)
    before = files(project)
    assert work(stand(copy))
    assert "the project was copied from" in capsys.readouterr().out
    assert not work(copy, seed=1)
    assert files(project) == before
    assert not [one for one in recorded(copy) if str(project / "x")[:-1] in one]
    assert work(stand(project)), "the original has its own"
    assert "was copied" not in capsys.readouterr().out


def test_a_store_that_was_copied_without_its_files_says_what_to_copy(
    project: Path, stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    """It does not point into the original, and finds the files when they are brought."""
    copy = project.with_name("second")
    shutil.copytree(project, copy, ignore=shutil.ignore_patterns("mlruns"))
    before = files(project)
    stores.open_store(stand(copy))
    said = capsys.readouterr().out
    assert "0 runs and 0 models are found here again; the files of 3 more are only there" in said
    assert f"copy {project / 'mlruns'} to {copy}" in said
    shutil.copytree(project / "mlruns", copy / "mlruns", dirs_exist_ok=True)
    assert work(copy)
    assert files(project) == before


def test_a_store_and_its_files_alone_are_enough(project: Path, stand: Stand) -> None:
    other = project.with_name("cloned anew")
    other.mkdir()
    for name in ("mlflow.db", "mlruns", "music"):
        (project / name).rename(other / name)
    assert work(stand(other))


def test_a_project_seen_through_a_link_was_not_moved(
    project: Path, stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    before = recorded(project)
    link = project.with_name("link")
    link.symlink_to(project)
    with open_run("easy", {}) as run:
        stand(link)
        assert ask(run, scan(link / "music")).reused
    stores.open_store(link)
    assert "was moved" not in capsys.readouterr().out
    assert set(before) <= set(recorded(project))


def test_the_link_left_at_the_old_place_may_go_later(project: Path, stand: Stand) -> None:
    new = project.with_name("renamed")
    project.rename(new)
    project.symlink_to(new)
    assert work(stand(new)), "through the link"
    project.unlink()
    mlflow.set_tracking_uri("")
    assert work(stand(new))
    assert not project.exists()


@pytest.mark.parametrize("form", ["{}/", "file://{}"])
def test_other_spellings_of_the_former_folder_are_read(
    project: Path, stand: Stand, form: str
) -> None:
    with contextlib.closing(sqlite3.connect(project / "mlflow.db")) as store:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            form_of = f"'{form.partition('{}')[0]}' || {column} || '{form.partition('{}')[2]}'"
            store.execute(f"UPDATE {table} SET {column} = {form_of}")
        store.commit()
    new = project.with_name("renamed")
    project.rename(new)
    assert work(stand(new))


@pytest.mark.parametrize(
    "other", ["s3://bucket/mlruns/0", "/elsewhere/kept", "mlflow-artifacts:/0"]
)
def test_a_place_that_was_chosen_is_kept(project: Path, stand: Stand, other: str) -> None:
    def place(experiment: int) -> str:
        return MlflowClient().get_experiment(str(experiment)).artifact_location

    chosen = MlflowClient().create_experiment("chosen", "/big/disk/mlruns/7")
    new = project.with_name("renamed")
    project.rename(new)
    stores.open_store(stand(new))
    assert place(int(chosen)) == "/big/disk/mlruns/7"
    with contextlib.closing(sqlite3.connect(new / "mlflow.db")) as store:
        store.execute(
            "UPDATE experiments SET artifact_location = ? WHERE name = 'Default'", (other,)
        )
        store.commit()
    stores.open_store(new)
    assert place(0) == other


def test_a_store_elsewhere_is_not_touched(
    project: Path, stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = stand(project.with_name("renamed"))
    project.rename(new)
    outside = project.with_name("outside.db")
    (new / "mlflow.db").rename(outside)
    before = outside.read_bytes()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", locations.sqlite_uri(outside))
    mlflow.set_tracking_uri(locations.sqlite_uri(outside))
    stores.open_store(new)
    assert outside.read_bytes() == before
    assert not (new / "mlflow.db").exists()


def test_a_repair_that_fails_half_way_changes_nothing(project: Path, stand: Stand) -> None:
    with contextlib.closing(sqlite3.connect(project / "mlflow.db")) as store:
        store.execute(
            "CREATE TRIGGER stop BEFORE UPDATE ON model_versions "
            "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        )
        store.commit()
    new = project.with_name("renamed")
    project.rename(new)
    before = recorded(new)
    with pytest.raises(InputError, match="cannot be opened: the disk is full"):
        stores.open_store(stand(new))
    assert recorded(new) == before


OPENER = """
import os, sys; from pathlib import Path
from genre_vae.tracking import store
if sys.argv[2:]:  # as a user who may read and not write, once all that is needed is imported
    store.open_store(Path(sys.argv[2]))
    del os.environ["MLFLOW_TRACKING_URI"]
    os.seteuid(65534)
try:
    store.open_store(Path(sys.argv[1]))
except ValueError as error:
    print("refused:", error)
"""


def opener(*roots: Path) -> subprocess.Popen[str]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
    return subprocess.Popen(
        [sys.executable, "-c", OPENER, *map(str, roots)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    )


def test_of_two_that_open_it_at_once_one_repairs(project: Path) -> None:
    new = project.with_name("renamed")
    project.rename(new)
    both = [opener(new), opener(new)]
    outputs = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], outputs
    assert sorted("moved" in out for out, _ in outputs) == [False, True]
    assert all(placed(one).is_relative_to(new) for one in recorded(new))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become a user who may not write")
@pytest.mark.parametrize("closed", ["the store", "the folder"])
def test_a_store_that_is_read_only_gets_one_line(
    project: Path, empty_database: Path, closed: str
) -> None:
    new, other = project.with_name("renamed"), project.with_name("other")
    project.rename(new)
    other.mkdir()
    copy_database(empty_database, other / "mlflow.db", f"{other}/mlruns/0")
    for folder in new.parents[:-2]:  # below /tmp
        folder.chmod(0o755)
    if closed == "the store":
        for path in (new, *new.rglob("*")):
            path.chmod(0o777)
        (new / "mlflow.db").chmod(0o444)
    process = opener(new, other)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert out.startswith(f"refused: {'the tracking store' if closed == 'the store' else new}")
    assert ("readonly database" if closed == "the store" else "cannot be written: Perm") in out
    assert out.count("\n") == 1
    assert recorded(new)[0] == f"{project}/mlruns/0"


def test_music_that_was_moved_is_the_same_music(
    project: Path, stand: Stand, tmp_path: Path
) -> None:
    def catalog(folder: Path) -> Catalog:
        return scan(folder, cache=project / ".cache")

    with open_run("easy", {}) as run:
        assert ask(run, catalog(project / "music")).reused
        moved = (project / "music").rename(tmp_path / "on another disk")
        assert ask(run, catalog(moved)).reused


@pytest.mark.parametrize("name", ["plain", "100% é #1", "a%20b", "what?", "a b", "x&y=z;"])
def test_the_uri_of_a_store_is_its_file(tmp_path: Path, empty_database: Path, name: str) -> None:
    path = tmp_path / name / "mlflow.db"
    path.parent.mkdir()
    shutil.copy(empty_database, path)
    uri = locations.sqlite_uri(path)
    assert locations.database_of(uri) == path
    assert MlflowClient(uri).create_experiment(name)
    with contextlib.closing(sqlite3.connect(path)) as store:
        assert (name,) in store.execute("SELECT name FROM experiments").fetchall()
    assert locations.database_of("http://127.0.0.1:5000") is None


@pytest.mark.slow
def test_a_level_its_model_and_the_ui_after_a_move(tmp_path: Path) -> None:
    """Real commands, each in a process of its own, in a copy of the project."""
    (tmp_path / "here").mkdir()
    quick = ("--epochs", "2", "--seeds", "2", "--workers", "1", "--methods", "pca,vae")
    project = Project(tmp_path / "here")
    first = project.run("hard", *quick)
    assert "registered as genre-vae version 1, champion" in first
    project.run("easy", *quick)
    new = tmp_path / "a shelf" / "there, 100% é"
    new.parent.mkdir()
    project.folder = project.folder.rename(new)
    project.data = new / "music"

    track = next(project.data.rglob("*.wav"))
    answer = project.run("predict", "--file", str(track))
    assert "the project was moved from" in answer
    assert track.name in answer
    before = len(recorded(new))
    again = project.run("easy", *quick)
    stages = re.search(r"easy: (\d+) stages, (\d+) reused", again)
    assert stages is not None
    assert stages[1] == stages[2], again
    assert "is already genre-vae version 1, champion" in project.run("hard", *quick)
    assert len(recorded(new)) > before
    assert all(placed(one).is_relative_to(new) for one in recorded(new))
    assert not (tmp_path / "here").exists()

    client = MlflowClient(locations.sqlite_uri(new / "mlflow.db"))
    (run,) = client.search_runs(["0"], "tags.entry_point = 'hard'", max_results=1)
    uri = locations.sqlite_uri(new / "mlflow.db")
    with mlflow_server(new, "--backend-store-uri", uri) as address:
        url = f"{address}/get-artifact?path=hard_task_comparison.csv&run_uuid={run.info.run_id}"
        with urllib.request.urlopen(url) as file:
            assert file.read().startswith(b"method,n_samples,n_clusters")
