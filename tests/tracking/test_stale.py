"""Reuse as a person meets it: a copy of the project is edited between two commands.

Each command runs in a process of its own. What is edited on the path of a stage makes the stage
anew, with the result that a fresh store gives; a plot's colour makes nothing anew.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from tests.helpers import ROOT, tone

QUICK = ("--epochs", "2", "--seeds", "1", "--workers", "1")
PCA = (*QUICK[2:], "--model", "pca")


class Project:
    """A copy of the project with a collection of its own, named as GTZAN is."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "music"
        for name in ("genre_vae", "entrypoints"):
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        shutil.copy(ROOT / "MLproject", folder)
        for genre, low in {"country": 300, "metal": 2000}.items():
            (self.data / genre).mkdir(parents=True)
            for number in range(6):
                path = self.data / genre / f"{genre}.{number:05d}.wav"
                soundfile.write(path, tone(low + 40 * number, seconds=2), 22050)

    def run(self, entry: str, *arguments: str, store: str = "mlflow.db") -> str:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
        environment["MLFLOW_TRACKING_URI"] = f"sqlite:///{self.folder / store}"
        environment["PYTHONPATH"] = f"{self.folder}"
        command = [sys.executable, "-m", f"entrypoints.{entry}"]
        command += ["--data", str(self.data)] * (entry != "predict")
        ran = subprocess.run(
            [*command, *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def edit(self, name: str, old: str, new: str) -> None:
        path = self.folder / name
        text = path.read_text("utf-8")
        assert text.count(old) == 1, f"{name} has {old!r} {text.count(old)} times"
        path.write_text(text.replace(old, new), "utf-8")


@pytest.fixture
def project(store: Path) -> Project:
    made = Project(store / "project")
    shutil.copy(store / "mlflow.db", made.folder)
    made.run("cluster", *PCA)
    return made


def reused(output: str) -> set[str]:
    return {line.split()[0] for line in output.splitlines() if "reused run" in line}


def test_an_edited_helper_makes_its_stage_anew_with_a_fresh_stores_result(
    project: Project,
) -> None:
    project.edit(
        "genre_vae/clustering.py",
        "    genres = len(known_genres(features.labels))\n",
        "    genres = len(known_genres(features.labels)) + 2\n",
    )
    again = project.run("cluster", *PCA)
    assert reused(again) == {"features", "train"}
    assert "4 clusters" in again
    fresh = project.run("cluster", *PCA, store="fresh.db")
    assert reused(fresh) == set()
    scores = [out[out.index("4 clusters") :].splitlines()[0] for out in (again, fresh)]
    assert scores[0] == scores[1]


def test_an_edited_list_of_faults_makes_the_features_anew(project: Project) -> None:
    before = project.run("features", "--workers", "1")
    assert "1 in GTZAN's list of faulty clips" in before
    with (project.folder / "genre_vae/collection/gtzan_faults.txt").open("a") as file:
        file.write("metal/metal.00001\n")
    again = project.run("features", "--workers", "1")
    assert "reused run" not in again
    assert "2 in GTZAN's list of faulty clips" in again


def test_an_edit_of_what_makes_rows_of_runs_changes_the_table(project: Project) -> None:
    assert "reused run" not in project.run("evaluate", "--workers", "1").partition("evaluate")[2]
    assert "reused run" in project.run("evaluate", "--workers", "1").partition("evaluate ")[2]
    project.edit(*row_edit(project))
    again = project.run("evaluate", "--workers", "1")
    assert "reused run" not in again.partition("evaluate ")[2]
    assert "0.125" in again


def row_edit(project: Project) -> tuple[str, str, str]:
    """An edit by which every row has an AMI of .125."""
    name = "genre_vae/evaluation/table.py"
    text = (project.folder / name).read_text("utf-8")
    start = text.index("return cls(", text.index("class Row"))
    line = text[text.rindex("\n", 0, start) + 1 : text.index("\n", start)]
    indent = line[: len(line) - len(line.lstrip())]
    return name, line, f"{indent}metrics = {{**metrics, 'ami': 0.125}}\n{line}"


def test_another_version_of_an_audio_library_makes_the_features_anew(project: Project) -> None:
    (project.folder / "sitecustomize.py").write_text(
        "import importlib.metadata as metadata\n"
        "true = metadata.version\n"
        "metadata.version = lambda name: '99.0' if name == 'librosa' else true(name)\n"
    )
    again = project.run("cluster", *PCA)
    assert "features" not in reused(again)


def test_another_colour_trains_nothing_anew(project: Project) -> None:
    before = project.run("easy", *QUICK, "--methods", "vae")
    assert reused(before) == {"features"}
    project.edit("genre_vae/report/style.py", '"#0072B2"', '"#0072B3"')
    again = project.run("easy", *QUICK, "--methods", "vae")
    assert {"features", "train", "cluster"} <= reused(again)
    assert "visualize" not in reused(again), "the map has the new colour"
