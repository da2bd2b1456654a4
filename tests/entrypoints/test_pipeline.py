"""The whole project as a person runs it, on real clips where they are."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from click.testing import CliRunner
from mlflow.tracking import MlflowClient

from genre_vae.records import FeatureSet
from genre_vae.tracking.stage import local_artifacts
from tests.helpers import ROOT, invoke, run_of


def test_real_clips_score_what_they_were_measured_to(
    runner: CliRunner, store: Path, gtzan_mini: Path
) -> None:
    result = invoke(runner, "easy", "--data", str(gtzan_mini))
    assert result.exit_code == 0, result.output
    assert "100 tracks in 10 genres, of 100 audio files" in result.output
    parent = MlflowClient().search_runs(["0"], "tags.entry_point = 'easy'")[0]
    table = pd.read_csv(local_artifacts(parent) / "easy_task_metrics.csv")
    nmi = table.set_index("method")["nmi"]
    assert 0.59 <= nmi["PCA + k-means"] <= 0.66
    assert nmi["VAE + k-means"] > 0.5
    assert (table["nmi_chance"] > 0.15).all()


def test_bad_files_among_real_ones(
    runner: CliRunner, store: Path, gtzan_mini: Path, tmp_path: Path
) -> None:
    """Six files more: four bad ones are listed, two good ones are in, nobody else's row moves."""
    folder = tmp_path / "copy"
    shutil.copytree(gtzan_mini, folder)
    genres = folder / "genres"
    (genres / "blues/a_empty.wav").write_bytes(b"")
    (genres / "country/country.00003b.wav").write_text("This is a text file.")
    whole = (genres / "disco/disco.00000.wav").read_bytes()
    (genres / "disco/a_truncated.wav").write_bytes(whole[: len(whole) // 2])
    soundfile.write(genres / "jazz/a_silent.wav", np.zeros(30 * 22050), 22050)
    rng = np.random.default_rng(0)
    stereo = 0.1 * rng.normal(size=(30 * 44100, 2)).cumsum(axis=0) / 100
    soundfile.write(genres / "metal/a_stereo.flac", stereo, 44100)
    soundfile.write(genres / "pop/zz.mp3", stereo[:, 0], 44100)

    clean = invoke(runner, "features", "--data", str(gtzan_mini))
    assert clean.exit_code == 0, clean.output
    before = FeatureSet.load(local_artifacts(run_of("features")), "mfcc")
    result = invoke(runner, "features", "--data", str(folder))
    assert result.exit_code == 0, result.output
    assert "102 tracks in 10 genres, 4 of 106 audio files cannot be used" in result.output
    run = run_of("features")
    assert run.data.metrics["skipped"] == 4
    artifacts = local_artifacts(run)
    skipped = pd.read_csv(artifacts / "skipped.csv").set_index("track_id")["reason"]
    assert skipped["genres/blues/a_empty.wav"] == "empty file"
    assert skipped["genres/country/country.00003b.wav"] == "text, not audio"
    assert "truncated: 50%" in skipped["genres/disco/a_truncated.wav"]
    assert "silent" in skipped["genres/jazz/a_silent.wav"]
    assert len(skipped) == 4
    after = FeatureSet.load(artifacts, "mfcc")
    new = {"genres/metal/a_stereo.flac", "genres/pop/zz.mp3"}
    assert set(after.ids.tolist()) - set(before.ids.tolist()) == new
    same = after.select(before.ids)
    np.testing.assert_array_equal(same.values, before.values)
    np.testing.assert_array_equal(same.labels, before.labels)


@pytest.fixture
def elsewhere(corpus: Path, tmp_path: Path) -> Path:
    """A person's folder with music in it, and a copy of the project in another one."""
    project = tmp_path / "deep" / "project"
    for name in ("MLproject", "conda.yaml"):
        project.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, project)
    for name in ("genre_vae", "entrypoints"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(corpus, tmp_path / "person" / "music")
    return tmp_path / "person"


def mlflow_run(person: Path, entry: str, *parameters: str) -> subprocess.CompletedProcess[str]:
    """The mlflow command, typed in the person's folder."""
    bin_folder = Path(sys.executable).parent
    environment = {k: v for k, v in os.environ.items() if not k.startswith("MLFLOW")}
    environment["PATH"] = f"{bin_folder}:{environment['PATH']}"
    project = str(person.parent / "deep" / "project")
    command = [str(bin_folder / "mlflow"), "run", project, "-e", entry, "--env-manager", "local"]
    for parameter in parameters:
        command += ["-P", parameter]
    return subprocess.run(command, cwd=person, env=environment, capture_output=True, text=True)


def test_mlflow_run_from_another_folder(elsewhere: Path) -> None:
    for expected in ("done in", "reused run"):
        ran = mlflow_run(elsewhere, "features", "data=music", "workers=1")
        assert ran.returncode == 0, ran.stderr
        assert expected in ran.stdout
        assert "20 tracks in 10 genres" in ran.stdout
    client = MlflowClient(f"sqlite:///{elsewhere / 'mlflow.db'}")
    found = client.search_runs(["0"])
    assert len(found) == 3
    assert {run.info.status for run in found} == {"FINISHED"}


def test_mlflow_run_passes_on_what_mlproject_does_not_declare(elsewhere: Path) -> None:
    """``mlflow run . -e hard -P epochs=5 -P lr=0.01``; a name that does not exist gets a line."""
    few = ("data=music", "methods=pca,vae", "seeds=1", "lyrics=none", "register=no")
    ran = mlflow_run(elsewhere, "hard", *few, "epochs=5", "lr=0.01")
    assert ran.returncode == 0, ran.stderr
    client = MlflowClient(f"sqlite:///{elsewhere / 'mlflow.db'}")
    trained = client.search_runs(["0"], "tags.stage = 'train' and tags.model = 'vae'")
    assert [(run.data.params["epochs"], run.data.params["lr"]) for run in trained] == [
        ("5", "0.01"),
        ("5", "0.01"),
    ], "on MFCC, and on the descriptor"
    (parent,) = client.search_runs(["0"], "tags.entry_point = 'hard'")
    assert parent.data.params["epochs"] == "5"
    wrong = mlflow_run(elsewhere, "hard", *few, "epoch=5")
    assert wrong.returncode != 0
    assert "Error: No such option '--epoch'. Did you mean '--epochs'?" in wrong.stderr
    assert "Traceback" not in wrong.stderr
