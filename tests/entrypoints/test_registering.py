from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from genre_vae.records import Assignment
from genre_vae.tracking.stage import local_artifacts
from tests.helpers import (
    MEDIUM,
    QUICK,
    artifacts_of,
    champion,
    invoke,
    run_of,
)


def versions() -> list[ModelVersion]:
    found = MlflowClient().search_model_versions("name = 'genre-vae'")
    return sorted(found, key=lambda version: int(version.version))


def test_the_champion_is_registered_and_places_the_collection_where_it_was(
    runner: CliRunner, store: Path, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    result = invoke(runner, "hard", "--data", str(corpus), *MEDIUM, "--metric", "silhouette")
    assert result.exit_code == 0, result.output
    version = champion()
    table = pd.read_csv(artifacts_of("hard") / "hard_task_comparison.csv")
    free = table[table["label_use"] == "none"].sort_values("silhouette", ascending=False)
    servable = free[~free["method"].str.contains("Multimodal|spectral")]
    assert version.tags["method"] == servable["method"].iloc[0]
    assert version.tags["label_use"] == "none"
    assert version.tags["chosen_by"] == "silhouette"
    row = servable.iloc[0]
    assert version.tags["silhouette"] == f"{row['silhouette']:.3f}", "no interval of two seeds"
    assert {"dataset", "dataset_fingerprint", "fingerprint", "seeds"} <= version.tags.keys()
    methods = free["method"].tolist()
    for better in methods[: methods.index(row["method"])]:
        assert f"{better} (silhouette" in result.output, "a better row is passed over with a reason"

    again = invoke(runner, "register", "--data", str(corpus), "--metric", "silhouette")
    assert again.exit_code == 0, again.output
    assert "is already genre-vae version 1, champion" in again.output
    other = invoke(runner, "train", "--data", str(corpus), "--model", "vae", *QUICK)
    assert other.exit_code == 0
    assert invoke(runner, "cluster", "--data", str(corpus), "--model", "vae", *QUICK).exit_code == 0
    run_id = run_of("cluster").info.run_id
    second = invoke(runner, "register", "--data", str(corpus), "--run", run_id)
    assert second.exit_code == 0, second.output
    assert [v.version for v in versions()] in (["1", "2"], [1, 2])
    assert champion().tags["method"] == "VAE + k-means"
    assert champion().tags["chosen_by"] == "given"
    assert f"champion instead of version 1, {version.tags['method']} of corpus" in second.output

    client = MlflowClient()
    client.delete_logged_model(str(champion().source).rpartition("/")[2])
    healed = invoke(runner, "register", "--data", str(corpus), "--run", run_id)
    assert healed.exit_code == 0, healed.output
    assert "registered as genre-vae version 3" in healed.output

    tracked = Assignment.load(local_artifacts(run_of("cluster")))
    clusters = dict(zip(tracked.ids.tolist(), tracked.clusters[0].tolist(), strict=True))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(corpus / "genres", tmp_path / "songs")
    (tmp_path / "songs" / "broken.wav").write_bytes(b"no sound")
    placed = invoke(runner, "predict", "--file", "songs", "--output", "answer.json")
    assert placed.exit_code == 0, placed.output
    records = json.loads((tmp_path / "answer.json").read_text())
    assert len(records) == 21
    assert records[[r["file"] for r in records].index("broken.wav")]["error"] == "text, not audio"
    for record in records:
        if "error" not in record:
            assert record["cluster"] == clusters[f"genres/{record['file']}"]
    one = invoke(runner, "predict", "--file", f"songs/{records[3]['file']}", "--output", "one.csv")
    assert one.exit_code == 0, one.output
    written = pd.read_csv(tmp_path / "one.csv")
    assert written["cluster"].item() == records[3]["cluster"]
    assert written["z0"].item() == pytest.approx(records[3]["latent"][0], abs=1e-5)
    for arguments, said in (
        (["--file", "nowhere.wav"], "no file at"),
        (["--file", ""], "file is empty"),
        (["--file", "songs/broken.wav"], "could be placed"),
        (["--file", "songs", "--output", "x.txt"], "ends neither in .csv nor in .json"),
        (["--file", "songs", "--model_uri", "models:/nobody@champion"], "cannot be loaded"),
    ):
        wrong = invoke(runner, "predict", *arguments)
        assert wrong.exit_code == 2, arguments
        assert said in wrong.output
        assert "Traceback" not in wrong.output


def test_an_oracle_is_not_registered(runner: CliRunner, store: Path, corpus: Path) -> None:
    nothing = invoke(runner, "register", "--data", str(corpus), "--workers", "2")
    assert nothing.exit_code == 2
    assert "run the entry point hard first" in nothing.output
    told = ("--data", str(corpus), "--model", "cvae", *QUICK)
    assert invoke(runner, "cluster", *told).exit_code == 0
    oracle = invoke(
        runner, "register", "--data", str(corpus), "--run", run_of("cluster").info.run_id
    )
    assert oracle.exit_code == 2
    assert "CVAE + k-means is an oracle (label use encode)" in oracle.output
    dense = ("--data", str(corpus), "--model", "pca", "--algorithm", "DBSCAN")
    assert invoke(runner, "cluster", *dense, "--workers", "2").exit_code == 0
    other = invoke(
        runner, "register", "--data", str(corpus), "--run", run_of("cluster").info.run_id
    )
    assert other.exit_code == 2
    assert "DBSCAN does not say where a new track belongs" in other.output
    assert versions() == []


def test_a_model_answers_with_the_code_that_it_was_registered_with(
    runner: CliRunner, store: Path, corpus: Path
) -> None:
    """As an older model does, whose package had other modules than the one that is imported here:
    its copy is edited so that every answer shows it, and a module of today's is taken away."""
    data = ("--data", str(corpus), *QUICK)
    assert invoke(runner, "cluster", *data, "--model", "pca").exit_code == 0
    run_id = run_of("cluster").info.run_id
    assert invoke(runner, "register", "--data", str(corpus), "--run", run_id).exit_code == 0
    (package,) = store.rglob("code/genre_vae")
    requests = package / "serving" / "requests.py"
    text = requests.read_text("utf-8")
    (package / "serving" / "older.py").write_text(text.replace("def predict(", "def answer("))
    requests.unlink()
    (model,) = store.rglob("models/*/artifacts/pyfunc.py")
    code = model.read_text("utf-8").replace("requests.predict(", "requests.answer(")
    model.write_text(code.replace("serving import requests", "serving import older as requests"))
    song = next(corpus.glob("genres/rock/*.flac"))
    answered = invoke(runner, "predict", "--file", str(song))
    assert answered.exit_code == 0, answered.output
    assert song.name in answered.output
    from genre_vae.serving import requests as ours

    assert hasattr(ours, "predict"), "this process has its own modules again"
