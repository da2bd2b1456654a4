"""What several tests use: made inputs, and entry points called in this process."""

from __future__ import annotations

import base64
import importlib
import io
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
from click.testing import CliRunner, Result
from mlflow.entities import Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from genre_vae.collection import audio
from genre_vae.records import FeatureSet, FloatArray
from genre_vae.tracking import store
from genre_vae.tracking.run import local_artifacts

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
