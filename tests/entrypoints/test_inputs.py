"""Inputs beside the audio's own features, through the entry points: a tagger's, and a file's."""

from __future__ import annotations

import json
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from mlflow.tracking import MlflowClient

from genre_vae.collection import catalog
from genre_vae.features import descriptor, musicnn
from genre_vae.records import Block, FeatureSet, Geometry
from genre_vae.serving import requests
from genre_vae.serving.index import TAGGER
from genre_vae.tracking.stage import local_artifacts
from tests.features.checkpoints import random_arrays, wheel_of
from tests.helpers import MEDIUM, QUICK, artifacts_of, champion, invoke, noise_collection, run_of

STATED = ("--input_about", "a test's own vectors", "--input_label_use", "none")


def vectors_file(corpus: Path, path: Path, *, left_out: int = 0, surplus: int = 0) -> list[str]:
    """Random vectors of a collection's tracks, called by their ids, in an order of their own."""
    ids = catalog.scan(corpus).tracks["track_id"].tolist()
    rng = np.random.default_rng(0)
    named = [*ids[left_out:], *(f"nobody_{n}" for n in range(surplus))]
    rng.shuffle(named)
    np.savez(path, ids=np.array(named), vectors=rng.normal(size=(len(named), 12)))
    return sorted(ids[left_out:])


def test_every_method_of_hard_runs_on_a_file(
    runner: CliRunner, store: Path, corpus: Path, tmp_path: Path
) -> None:
    ids = vectors_file(corpus, tmp_path / "theirs.npz", left_out=2, surplus=1)
    given = ("--data", str(corpus), "--input", str(tmp_path / "theirs.npz"), *STATED)
    result = invoke(runner, "hard", *given, *MEDIUM, "--beta", "9")
    assert result.exit_code == 0, result.output
    assert "18 of 20 tracks have vectors of 12 dimensions" in result.output
    table = pd.read_csv(artifacts_of("hard") / "hard_task_comparison.csv").set_index("method")
    on_file = table[table["input"].str.startswith("theirs.npz")]
    assert set(on_file.index) == {
        f"{method} (theirs.npz) + k-means"
        for method in (
            *("PCA", "Direct", "Autoencoder", "VAE", "BetaVAE", "CVAE", "CVAE, decoder alone"),
            *("CVAE on clusters", "Multimodal", "Multimodal+Genre"),
        )
    }
    assert (on_file["n_samples"] == 18).all()
    assert (on_file["origin"] == "pretrained").all()
    assert (
        on_file["provenance"].str.contains("a test's own vectors, label use none, as stated").all()
    )
    on_mel = table.drop(on_file.index)
    assert set(on_mel["input"]) == {"mel"}
    assert (on_mel["origin"] == "scratch").all()
    assert len(on_mel) == 2
    assert (on_mel["n_samples"] == 20).all()
    ranked = table[table["rank"].notna()]
    assert sorted(ranked["rank"]) == list(range(1, len(ranked) + 1))
    for _, rows in ranked.groupby("origin"):
        assert rows.sort_values("rank")["rank_in_origin"].tolist() == list(range(1, len(rows) + 1))
    assert "a test's own vectors" in (artifacts_of("hard") / "hard_task_comparison.md").read_text()
    assert champion().tags["method"] in set(on_mel.index), "of a file no new track has vectors"
    if ranked.index[0] not in on_mel.index:
        assert "nothing here makes the vectors of theirs.npz" in result.output

    embedded = run_of("embed")
    folder = local_artifacts(embedded)
    assert FeatureSet.load(folder, "vectors").ids.tolist() == ids
    assert len(pd.read_csv(folder / "unmatched.csv")) == 3
    assert embedded.data.params["input_about"] == "a test's own vectors"
    audit = pd.read_csv(artifacts_of("hard") / "audit.csv").set_index("modality")
    assert {"mfcc", "descriptor", "mel", "input", "lyrics", "genre"} == set(audit.index)
    again = invoke(runner, "hard", *given, *MEDIUM, "--beta", "9")
    assert "40 stages, 40 reused" in again.output


def test_both_inputs_stand_in_one_table(
    runner: CliRunner, store: Path, corpus: Path, tmp_path: Path
) -> None:
    vectors_file(corpus, tmp_path / "theirs.npz")
    assert invoke(runner, "easy", "--data", str(corpus), *QUICK).exit_code == 0
    given = ("--data", str(corpus), "--input", str(tmp_path / "theirs.npz"), *STATED)
    assert invoke(runner, "easy", *given, *QUICK).exit_code == 0
    result = invoke(runner, "compare", "--data", str(corpus), "--level", "easy")
    assert result.exit_code == 0, result.output
    table = pd.read_csv(artifacts_of("compare") / "easy_task_metrics.csv")
    assert table["input"].value_counts().to_dict() == {"mfcc": 3, "theirs.npz": 3}
    assert table["method"].is_unique
    assert "rank in origin" in result.output
    swept = invoke(runner, "sweep", *given, *QUICK, "--betas", "1,4")
    assert swept.exit_code == 0, swept.output


def test_inputs_combine_and_stand_beside_each_in_its_geometry(
    runner: CliRunner, store: Path, corpus: Path, tmp_path: Path
) -> None:
    """Side by side for the tracks that all have, served where the audio gives all; a geometry that
    was given makes rows of its own."""
    vectors_file(corpus, tmp_path / "theirs.npz", left_out=3)
    given = ("--data", str(corpus), *QUICK)
    both = f"descriptor+{tmp_path / 'theirs.npz'}"
    assert invoke(runner, "easy", *given, "--input", both, *STATED).exit_code == 0
    table = pd.read_csv(artifacts_of("easy") / "easy_task_metrics.csv").set_index("method")
    row = table.loc["PCA (descriptor+theirs.npz) + k-means"]
    assert (row["n_samples"], row["origin"]) == (17, "pretrained")
    vectors = FeatureSet.load(local_artifacts(run_of("embed")), "vectors")
    assert vectors.blocks == (*descriptor.BLOCKS, Block("theirs", 12, Geometry.COSINE))

    methods = ("--methods", "pca,raw,vae", "--lyrics", "none")
    hard = invoke(runner, "hard", *given, *methods, "--input", "mfcc+descriptor")
    assert hard.exit_code == 0, hard.output
    assert champion().tags["method"].endswith("(mfcc+descriptor) + k-means")
    other = invoke(runner, "easy", *given, "--input", "descriptor", "--geometry", "cosine")
    assert other.exit_code == 0, other.output
    own = invoke(runner, "easy", *given, "--input", "descriptor", "--geometry", "standardised")
    assert own.exit_code == 0, own.output
    compared = invoke(runner, "compare", "--data", str(corpus), "--level", "easy")
    assert compared.exit_code == 0, compared.output
    table = pd.read_csv(artifacts_of("compare") / "easy_task_metrics.csv")
    assert set(table["input"]) == {
        *("descriptor", "descriptor, cosine", "mfcc+descriptor", "descriptor+theirs.npz"),
    }


def test_hard_has_rows_of_the_descriptor_beside_those_of_mfcc(
    runner: CliRunner, store: Path, corpus: Path
) -> None:
    chosen = ("--methods", "pca,raw,vae,cvae", "--lyrics", "none", "--register", "no")
    result = invoke(runner, "hard", "--data", str(corpus), *QUICK, *chosen)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(artifacts_of("hard") / "hard_task_comparison.csv").set_index("method")
    assert dict(table["input"]) == {
        "PCA + k-means": "mfcc",
        "VAE + k-means": "mfcc",
        "CVAE + k-means": "mfcc",
        "Direct spectral + k-means": "mel",
        "PCA (descriptor) + k-means": "descriptor",
        "VAE (descriptor) + k-means": "descriptor",
        "Direct (descriptor) + k-means": "descriptor",
    }
    assert (table["origin"] == "scratch").all()


def test_the_genre_in_an_innocent_file_ends_below_the_ranking(
    runner: CliRunner, store: Path, tmp_path: Path
) -> None:
    """The person states that no label touched it; the audit finds that one did."""
    noise_collection(tmp_path / "music", tracks_per_genre=12)
    tracks = catalog.scan(tmp_path / "music").tracks
    rng = np.random.default_rng(1)
    hot = np.eye(10)[tracks["genre"].str[1:].astype(int)] + 0.1 * rng.normal(size=(120, 10))
    frame = pd.DataFrame(hot, columns=[f"x{n}" for n in range(10)])
    frame.insert(0, "track_id", tracks["track_id"])
    frame.sample(frac=1, random_state=0).to_csv(tmp_path / "hot.csv", index=False)
    result = invoke(
        runner,
        "easy",
        *("--data", str(tmp_path / "music"), "--input", str(tmp_path / "hot.csv"), *STATED, *QUICK),
    )
    assert result.exit_code == 0, result.output
    assert "audit: label" in result.output
    table = pd.read_csv(artifacts_of("easy") / "easy_task_metrics.csv")
    assert len(table) == 3
    assert (table["label_use"] == "feature").all()
    assert table["rank"].isna().all()


def test_a_stated_label_use_is_kept(
    runner: CliRunner, store: Path, corpus: Path, tmp_path: Path
) -> None:
    vectors_file(corpus, tmp_path / "theirs.npz")
    stated = ("--input_about", "fine-tuned on these genres", "--input_label_use", "train")
    given = ("--data", str(corpus), "--input", str(tmp_path / "theirs.npz"), *stated)
    assert invoke(runner, "cluster", *given, "--model", "pca", *QUICK).exit_code == 0
    for stage in ("embed", "train", "cluster"):
        assert run_of(stage).data.tags["label_use"] == "train"
    refused = invoke(
        runner, "register", "--data", str(corpus), "--run", run_of("cluster").info.run_id
    )
    assert refused.exit_code == 2
    assert "is an oracle (label use train)" in refused.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--input", "v.npz"], "state input_about and input_label_use"),
        (["--input", "v.npz", "--input_about", "OpenL3"], "state input_label_use,"),
        (["--input", "v.npz", "--input_label_use", "none"], "state input_about,"),
        (["--input", ""], "input is empty"),
        (["--input", "nowhere.npz", *STATED], "no such file"),
        (["--input", "descriptor+nowhere.npz", *STATED], "no such file"),
        (["--input", "descriptor+v.npz"], "input v.npz: nothing here can tell"),
        (["--input", "mfcc+"], "input is empty"),
        (["--input", "mfcc+descriptor+mfcc"], "the same one twice"),
        (["--input", "audio+descriptor"], "name mfcc or descriptor beside others"),
        (["--geometry", "euclid"], "'--geometry'"),
        (["--input", "musicn"], "no such file; name a file of vectors, 'mfcc', 'descriptor'"),
        (["--input", ".", *STATED], "a folder, not a file"),
        (["--input", "v.npz", *STATED, "--input_label_use", "some"], "'--input_label_use'"),
        (["--input", "musicnn", "--musicnn_wheel", "nowhere.whl"], "musicnn wheel"),
        (["--temperature", "0", "--model", "contrastive"], "'--temperature'"),
        (["--contrast", "-1"], "'--contrast'"),
        (["--model", "contrastive", "--mel_view", "first"], "two windows of each track"),
    ],
)
def test_a_wrong_input_gets_one_line(
    runner: CliRunner,
    store: Path,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    said: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    vectors_file(corpus, tmp_path / "v.npz")
    result = invoke(runner, "train", "--data", str(corpus), *QUICK, *arguments)
    assert result.exit_code == 2, result.output
    errors = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert said in errors[0]
    assert "Traceback" not in result.output


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A wheel with random weights, taken for the true one."""
    path = tmp_path / musicnn.WHEEL
    monkeypatch.setattr(musicnn, "SHA256", wheel_of(random_arrays(), path))
    return path


def test_a_tagger_as_input_and_in_the_registered_model(
    runner: CliRunner,
    store: Path,
    corpus: Path,
    wheel: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The champion takes audio, carries the tagger, and places the collection where it was."""
    given = ("--data", str(corpus), "--input", "musicnn")
    result = invoke(runner, "easy", *given, "--musicnn_wheel", str(wheel), *QUICK)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(artifacts_of("easy") / "easy_task_metrics.csv").set_index("method")
    assert table.loc["PCA (musicnn) + k-means", "input"] == "musicnn"
    assert table.loc["PCA (musicnn) + k-means", "origin"] == "pretrained"

    wheel.unlink()  # it was needed once
    (run,) = MlflowClient().search_runs(["0"], "tags.method = 'PCA (musicnn) + k-means'")
    drawn = invoke(runner, "visualize", *given, "--run", run.info.run_id)
    assert drawn.exit_code == 0, drawn.output
    clusters = pd.read_csv(artifacts_of("visualize") / "hard_task_clusters.csv")
    assert clusters["tracks"].sum() == 20
    assert clusters["words"].notna().all()
    registered = invoke(runner, "register", "--data", str(corpus), "--run", run.info.run_id)
    assert registered.exit_code == 0, registered.output
    assert champion().tags["method"] == "PCA (musicnn) + k-means"
    monkeypatch.setenv("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    model = mlflow.pyfunc.load_model("models:/genre-vae@champion")
    tracks = catalog.scan(corpus).tracks
    placed = model.predict(tracks["path"].tolist())
    folder = local_artifacts(run)
    tracked = np.load(folder / "clusters.npy", allow_pickle=False)[:, 0]
    assert json.loads((folder / "track_ids.json").read_text()) == tracks["track_id"].tolist()
    assert [record["cluster"] for record in placed] == tracked.tolist()
    assert all(1 <= len(record["words"]) <= 3 for record in placed)
    bad = model.predict(["nowhere.wav", requests.example()])
    assert "error" in bad[0]
    assert "cluster" in bad[1]
    weights = next(Path(store).rglob(f"placement/{TAGGER}"))
    assert "Permission to use" in musicnn.load(weights).licence, "the licence goes with the weights"


def test_the_contrastive_weight_is_its_rows_own(
    runner: CliRunner, store: Path, corpus: Path
) -> None:
    chosen = ("--methods", "pca,vae,conv_vae,contrastive_vae,contrastive")
    given = ("--data", str(corpus), *MEDIUM, "--seeds", "1", "--lyrics", "none", *chosen)
    assert invoke(runner, "medium", *given, "--contrast", "7").exit_code == 0
    trained = MlflowClient().search_runs(["0"], "tags.stage = 'train'")
    weights = {run.data.tags["model"]: run.data.params.get("contrast") for run in trained}
    assert weights == {
        "pca": None,
        "vae": "0.0",
        "conv_vae": "0.0",
        "contrastive_vae": "7.0",
        "contrastive": "1.0",
    }
    without = invoke(runner, "medium", *given, "--contrast", "0")
    assert without.exit_code == 0, without.output
    assert _lines_about_contrast(without.output, store) == [
        f"{title} left out: contrast=0" for title in ("ConvVAE, contrastive", "Contrastive encoder")
    ]
    first = invoke(runner, "medium", *given, "--mel_view", "first")
    assert first.exit_code == 0, first.output
    reason = "it contrasts windows of a track, and mel_view=first has one"
    assert _lines_about_contrast(first.output, store) == [
        f"{title} left out: {reason}" for title in ("ConvVAE, contrastive", "Contrastive encoder")
    ]
    told = invoke(
        runner, "train", "--data", str(corpus), *MEDIUM, "--model", "conv_vae", "--contrast", "3"
    )
    assert told.exit_code == 0, told.output
    assert run_of("train").data.tags["model"] == "contrastive_vae"


def _lines_about_contrast(output: str, store: Path) -> list[str]:
    lines = output.replace(str(store), "").splitlines()
    return [line.strip() for line in lines if "trastive" in line]
