"""What several tests use: made inputs, and entry points called in this process."""

from __future__ import annotations

import base64
import contextlib
import importlib
import io
import shutil
import sqlite3
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from click.testing import CliRunner, Result
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from genre_vae.collection import audio
from genre_vae.evaluation.permutation import centred
from genre_vae.evaluation.table import Description, Row
from genre_vae.records import FeatureSet, FloatArray
from genre_vae.tracking import store
from genre_vae.tracking.stage import local_artifacts

ROOT = Path(__file__).resolve().parent.parent


GTZAN_MINI = ROOT.parent / "shared" / "data" / "gtzan_mini"


def blobs(n: int, *, groups: int, d: int = 6, spread: float = 0.05, seed: int = 0) -> FeatureSet:
    """`n` rows around `groups` distant centres, labelled by their group."""
    rng = np.random.default_rng(seed)
    group = np.arange(n) % groups
    centres = rng.normal(size=(groups, d)) * 3
    values = centres[group] + spread * rng.normal(size=(n, d))
    return FeatureSet(
        "blobs",
        np.array([f"g{g}/t{row:04d}.wav" for row, g in enumerate(group)]),
        values.astype(np.float32),
        np.array([f"g{g}" for g in group]),
    )


def tone(
    frequency: float = 440.0, seconds: float = 3.0, rate: int = audio.SAMPLE_RATE
) -> FloatArray:
    t = np.arange(round(seconds * rate)) / rate
    return (0.5 * np.sin(2 * np.pi * frequency * t)).astype(np.float32)


def uri(content: bytes, kind: str = "audio/wav") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def wav(samples: npt.NDArray[np.float32], rate: int = 22050) -> bytes:
    content = io.BytesIO()
    soundfile.write(content, samples, rate, format="WAV", subtype="PCM_16")
    return content.getvalue()


def two_gigabytes_claimed() -> bytes:
    content = bytearray(wav(tone(440)))
    data = content.index(b"data")
    content[data + 4 : data + 8] = (2_000_000_000).to_bytes(4, "little")
    content[4:8] = (2_000_000_036).to_bytes(4, "little")
    return bytes(content)


def zipped() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr("song.wav", wav(tone(440)))
    return content.getvalue()


QUICK = ("--epochs", "4", "--seeds", "2", "--latent_dim", "4", "--workers", "2")


def invoke(runner: CliRunner, name: str, *arguments: str) -> Result:
    command = importlib.import_module(f"entrypoints.{name}").main
    return runner.invoke(command, arguments)


def run_of(stage: str) -> Run:
    (run,) = MlflowClient().search_runs(["0"], f"tags.stage = '{stage}'", max_results=1)
    return run


MEDIUM = (*QUICK, "--epochs", "1", "--widths", "4,4,4")


HARD_FILES = {
    *("hard_task_metrics.csv", "hard_task_comparison.csv", "hard_task_comparison.md"),
    *("hard_task_comparison.png", "hard_task_latent_space.png", "audit.csv"),
    *("hard_task_cluster_distribution.png", "hard_task_reconstructions.png"),
}


def copy_database(source: Path, target: Path, artifacts: str) -> None:
    """Copy an empty tracking store, with another place for its artifacts."""
    shutil.copy(source, target)
    with contextlib.closing(sqlite3.connect(target)) as connection:
        connection.execute("UPDATE experiments SET artifact_location = ?", (artifacts,))
        connection.commit()


def every_run(where: str = "") -> list[Run]:
    """Runs of every experiment of the store, the newest first."""
    return store.search(MlflowClient(), where)


def artifacts_of(entry: str) -> Path:
    parent = MlflowClient().search_runs(["0"], f"tags.entry_point = '{entry}'", max_results=1)[0]
    assert parent.info.status == "FINISHED"
    return local_artifacts(parent)


def noise_collection(folder: Path, *, tracks_per_genre: int) -> None:
    """Ten genres of white noise through random filters: a sound of its own for each track, which
    knows nothing of the genre."""
    rng = np.random.default_rng(0)
    for genre in range(10):
        (folder / f"g{genre}").mkdir(parents=True)
        for n in range(tracks_per_genre):
            shaped = np.convolve(rng.normal(size=23_000), rng.normal(size=24), mode="same")
            loudness = np.repeat(rng.uniform(0.02, 0.15, 10), 2300)
            wave = loudness * shaped / np.abs(shaped).max()
            soundfile.write(folder / f"g{genre}" / f"{n:03d}.wav", wave, 22050)


def champion() -> ModelVersion:
    return MlflowClient().get_model_version_by_alias("genre-vae", "champion")


def row(method: str, ami: float, label_use: str = "none", /, **more: object) -> Row:
    """A scored clustering run; `more` replaces its ``run_id``, ``seeds``, ``settings``, a field of
    its description or a metric."""
    tags = {
        "method": method,
        "model": "pca",
        "algorithm": "k-means",
        "reads": "mfcc",
        "input": "mfcc",
        "origin": "scratch",
        "provenance": "",
        "label_use": label_use,
    }
    metrics = {
        "ami": ami,
        "ami_low": ami - 0.1,
        "ami_high": ami + 0.1,
        "ami_seeds": 0.02,
        "ami_tracks": 0.09,
        "ari": ami / 2,
        "nmi": ami + 0.1,
        "nmi_chance": 0.2,
        "silhouette": 0.3,
        "calinski_harabasz": 20.0,
        "noise": 0.0,
        "n_samples": 100.0,
        "n_clusters": 10.0,
    }
    run_id = str(more.pop("run_id", f"run of {method}"))
    seeds = int(str(more.pop("seeds", 5)))
    settings = tuple(str(more.pop("settings", "5 0 auto")).split())
    tags |= {name: str(more.pop(name)) for name in list(more) if name in tags}
    metrics |= {name: float(str(value)) for name, value in more.items()}
    return Row(run_id, Description.of(tags), metrics, seeds, settings)


def permute_within_genre(features: FeatureSet, *, seed: int) -> FeatureSet:
    """The same rows in another order within each genre: values (n, ...) -> (n, ...)."""
    rng = np.random.default_rng(seed)
    values = np.array(features.values)
    for genre in np.unique(features.labels):
        rows = np.flatnonzero(features.labels == genre)
        values[rows] = features.values[rng.permutation(rows)]
    return replace(features, name=f"{features.name}, permuted within genre", values=values)


def alignment_within_genre(one: FeatureSet, other: FeatureSet) -> float:
    """Linear CKA (Kornblith et al., 2019) of the same tracks' values less each genre's mean; nan
    where either is constant within genres."""
    assert np.array_equal(one.ids, other.ids)
    x, y = (
        centred(features.values.reshape(len(features), -1), features.labels)
        for features in (one, other)
    )
    norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return float(np.linalg.norm(x.T @ y) ** 2 / norms) if norms > 0 else float("nan")
