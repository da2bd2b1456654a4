from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pandas as pd
import pytest
import soundfile
from click.testing import CliRunner
from mlflow.entities.model_registry import ModelVersion
from mlflow.tracking import MlflowClient

from entrypoints import options
from genre_vae import tracking
from genre_vae.records import Assignment, FeatureSet
from tests.helpers import (
    MEDIUM,
    QUICK,
    artifacts_of,
    champion,
    invoke,
    noise_collection,
    run_of,
    tone,
)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("easy", ["--epochs", "abc"], "'--epochs'"),
        ("easy", ["--epochs", "0"], "'--epochs'"),
        ("easy", ["--lr", "0"], "'--lr'"),
        ("easy", ["--lr", "nan"], "'--lr'"),
        ("easy", ["--beta", "nan"], "'--beta'"),
        ("easy", ["--n_clusters", "1"], "'--n_clusters'"),
        ("easy", ["--n_clusters", "many"], "'--n_clusters'"),
        ("easy", ["--seeds", "-3"], "'--seeds'"),
        ("train", ["--model", "magic"], "'--model'"),
        ("compare", ["--level", "absurd"], "'--level'"),
        ("main", ["--nonsense", "1"], "--nonsense"),
        ("features", ["--workers", "0"], "'--workers'"),
        ("medium", ["--widths", "16,32"], "'--widths'"),
        ("medium", ["--eps", "0"], "'--eps'"),
        ("medium", ["--lyrics_match", "magic"], "'--lyrics_match'"),
        ("medium", ["--lyrics_weight", "-1"], "'--lyrics_weight'"),
        ("features", ["--workers", "257"], "'--workers'"),
        ("easy", ["--n_clusters", "٣"], "'--n_clusters'"),
        ("features", ["--data", ""], "data is empty"),
        ("features", ["--data", "   "], "data is empty"),
        ("features", ["--data", "~nobody_of_that_name/x"], "is no path"),
        ("features", ["--data", "x" * 5000], "File name too long"),
        ("features", ["--data", "/nowhere/at/all"], "no folder at /nowhere/at/all"),
    ],
)
def test_a_wrong_argument_gets_one_line_and_exit_code_2(
    runner: CliRunner, store: Path, name: str, arguments: list[str], said: str
) -> None:
    result = invoke(runner, name, *arguments)
    assert result.exit_code == 2
    assert result.output.startswith("Error: ")
    assert said in result.output
    assert result.output.count("\n") == 1


def test_bad_data_marks_the_run_failed(runner: CliRunner, store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "music"
    (folder / "rock").mkdir(parents=True)
    for name in "abc":
        (folder / "rock" / f"{name}.wav").write_bytes(b"")
    result = invoke(runner, "easy", "--data", str(folder))
    assert result.exit_code == 2
    assert "3 of 3 audio files cannot be used" in result.output
    assert "Traceback" not in result.output
    statuses = {run.info.status for run in MlflowClient().search_runs(["0"])}
    assert statuses == {"FAILED"}


def test_more_clusters_than_tracks(runner: CliRunner, store: Path, corpus: Path) -> None:
    result = invoke(
        runner, "cluster", "--data", str(corpus), "--model", "pca", "--n_clusters", "21"
    )
    assert result.exit_code == 2
    assert "Error: n_clusters=21 with 20 tracks" in result.output


def test_comparing_nothing_says_what_to_run(runner: CliRunner, store: Path, corpus: Path) -> None:
    result = invoke(runner, "compare", "--data", str(corpus))
    assert result.exit_code == 2
    assert "run the entry point easy first" in result.output


def test_easy_makes_everything_it_promises(runner: CliRunner, store: Path, corpus: Path) -> None:
    result = invoke(runner, "easy", "--data", str(corpus), *QUICK)
    assert result.exit_code == 0, result.output
    assert "20 tracks in 10 genres, 0 files left out" in result.output
    assert "PCA + k-means" in result.output
    client = MlflowClient()
    all_runs = client.search_runs(["0"], max_results=100)
    assert {run.info.status for run in all_runs} == {"FINISHED"}
    (parent,) = [run for run in all_runs if "mlflow.parentRunId" not in run.data.tags]
    assert {"best/ami", "best/nmi", "best/silhouette"} <= parent.data.metrics.keys()
    folder = tracking.local_artifacts(parent)
    names = {"easy_task_metrics.csv", "easy_task_metrics.md"}
    names |= {"easy_task_pca_tsne.png", "easy_task_vae_tsne.png"}
    assert names <= {path.name for path in folder.iterdir()}

    table = pd.read_csv(folder / "easy_task_metrics.csv")
    assert set(table["method"]) == {"PCA + k-means", "Autoencoder + k-means", "VAE + k-means"}
    assert (table["n_samples"] == 20).all()
    assert (table["label_use"] == "none").all()
    assert sorted(table["rank"]) == [1, 2, 3]
    for name in ("silhouette", "calinski_harabasz", "nmi", "ami", "ari", "purity"):
        assert table[name].notna().all()
        assert (
            (table[f"{name}_low"] <= table[name]) & (table[name] <= table[f"{name}_high"])
        ).all()
    for _, row in table.iterrows():  # the table says what the store says
        stored = client.get_run(row["run_id"]).data.metrics
        assert stored["ami"] == row["ami"]

    features = tracking.local_artifacts(run_of("features"))
    standardised = FeatureSet.load(features, "X")
    assert standardised.values.shape == (20, 40)
    np.testing.assert_allclose(standardised.values.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(standardised.values.std(axis=0), 1, atol=1e-3)
    assert {"y.npy", "genre_map.json", "track_ids.json", "skipped.csv"} <= {
        path.name for path in features.iterdir()
    }

    second = invoke(runner, "easy", "--data", str(corpus), *QUICK)
    assert second.exit_code == 0
    assert second.output.count("reused run") == 11
    assert "easy: 11 stages, 11 reused" in second.output


def test_seeds_are_members_with_their_own_latents(
    runner: CliRunner, store: Path, corpus: Path
) -> None:
    assert invoke(runner, "cluster", "--data", str(corpus), *QUICK).exit_code == 0
    train, cluster = (tracking.local_artifacts(run_of(s)) for s in ("train", "cluster"))
    first, second = FeatureSet.load(train, "Z_vae"), FeatureSet.load(train / "seed_1", "Z_vae")
    np.testing.assert_array_equal(first.ids, second.ids)
    assert not np.allclose(first.values, second.values)
    assert {"vae_best.pth", "vae_last.pth", "vae_loss.png", "history.csv"} <= {
        path.name for path in train.iterdir()
    }
    assert Assignment.load(cluster).clusters.shape == (2, 20)
    members = pd.read_csv(cluster / "members.csv")
    assert members["seed"].tolist() == [0, 1]
    assert run_of("cluster").data.metrics["ami"] == pytest.approx(members["ami"].mean())


def test_a_collection_without_genres(runner: CliRunner, store: Path, tmp_path: Path) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    for n in range(12):  # three kinds of tone
        soundfile.write(folder / f"{n:02d}.wav", tone((200, 1000, 5000)[n % 3] + 5 * n), 22050)
    result = invoke(runner, "easy", "--data", str(folder), *QUICK)
    assert result.exit_code == 0, result.output
    assert "12 tracks without genres" in result.output
    assert "in the order of silhouette" in result.output
    parent = MlflowClient().search_runs(["0"], "tags.entry_point = 'easy'")[0]
    table = pd.read_csv(tracking.local_artifacts(parent) / "easy_task_metrics.csv")
    assert table["ami"].isna().all()
    assert table["silhouette"].notna().all()
    assert (table["n_clusters"] >= 2).all()


def test_medium_on_its_own_lyrics(runner: CliRunner, store: Path, corpus: Path) -> None:
    result = invoke(runner, "medium", "--data", str(corpus), *MEDIUM)
    assert result.exit_code == 0, result.output
    assert (
        "20 of 20 tracks matched by filename" in result.output or "tracks matched" in result.output
    )
    parent = MlflowClient().search_runs(["0"], "tags.entry_point = 'medium'")[0]
    folder = tracking.local_artifacts(parent)
    names = {
        f"medium_task_{name}_tsne.png" for name in ("conv_vae", "vae_lyrics", "conv_vae_lyrics")
    }
    assert names | {"medium_task_metrics.csv"} <= {path.name for path in folder.iterdir()}
    table = pd.read_csv(folder / "medium_task_metrics.csv")
    assert table.columns[:8].tolist() == [
        *("dataset", "algorithm", "n_samples", "n_features"),
        *("silhouette", "calinski_harabasz", "davies_bouldin", "adjusted_rand"),
    ]
    assert len(table) == 28
    assert set(table["algorithm"]) == {"k-means", "agglomerative", "DBSCAN", "spectral"}
    assert set(table["dataset"]) == {
        *("RawFeatures_PCA", "VAE_Latents", "ConvVAE_Latents", "VAE+Lyrics", "ConvVAE+Lyrics"),
        *("ContrastiveVAE_Latents", "ContrastiveEncoder_Latents"),
    }
    others = table[table["algorithm"] != "DBSCAN"]
    for metric in ("silhouette", "davies_bouldin", "calinski_harabasz", "ari", "nmi", "ami"):
        assert others[metric].notna().all(), metric
    assert (table["adjusted_rand"] == table["ari"]).all()
    assert (table["label_use"] == "none").all()
    lyrics = tracking.local_artifacts(run_of("lyrics"))
    assert FeatureSet.load(lyrics, "lyrics_embeddings").ids.shape == (20,)
    assert (lyrics / "lyrics_mapping.json").exists()


def test_themes_make_oracle_rows_and_a_missing_file_the_control(
    runner: CliRunner, store: Path, corpus: Path, tmp_path: Path
) -> None:
    shutil.copytree(corpus / "genres", tmp_path / "music" / "genres")
    result = invoke(runner, "medium", "--data", str(tmp_path / "music"), *MEDIUM)
    assert result.exit_code == 0, result.output
    assert "meaningless words stand in" in result.output
    result = invoke(
        runner, "medium", "--data", str(tmp_path / "music"), *MEDIUM, "--lyrics", "themes"
    )
    assert result.exit_code == 0, result.output
    parent = MlflowClient().search_runs(["0"], "tags.entry_point = 'medium'")[0]
    table = pd.read_csv(tracking.local_artifacts(parent) / "medium_task_metrics.csv")
    oracle = table["dataset"].str.contains("Lyrics")
    assert (table.loc[oracle, "label_use"] == "feature").all()
    assert table.loc[oracle, "rank"].isna().all()
    assert (table.loc[~oracle, "label_use"] == "none").all()
    assert oracle.tolist() == [False] * 20 + [True] * 8, "oracles stand below"
    without = invoke(
        runner, "medium", "--data", str(tmp_path / "music"), *MEDIUM, "--lyrics", "none"
    )
    assert without.exit_code == 0, without.output
    assert "Lyrics" not in without.output


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"filename,text\na,b\n", "no column 'lyrics'"),
        (b"filename,lyrics\na,x\na,y\n", "keys occur twice"),
        (b"\xff\xfe\x00", "not UTF-8"),
        (b"", "the file is empty"),
        (b"filename,lyrics\nnobody,x\n", "no song matches a track"),
    ],
)
def test_a_bad_lyrics_file_ends_in_one_line(
    runner: CliRunner, store: Path, corpus: Path, tmp_path: Path, content: bytes, said: str
) -> None:
    (tmp_path / "words.csv").write_bytes(content)
    arguments = ("--data", str(corpus), "--lyrics", str(tmp_path / "words.csv"), "--workers", "2")
    result = invoke(runner, "lyrics", *arguments)
    assert result.exit_code == 2
    assert said in result.output
    assert result.output.count("Error: ") == 1
    assert "Traceback" not in result.output


def test_missing_lyrics_can_be_dropped(
    runner: CliRunner, store: Path, corpus: Path, tmp_path: Path
) -> None:
    lines = ["filename,lyrics"] + [f"rock.{n:05d},road and thunder {n}" for n in range(2)]
    lines += [f"pop.{n:05d},heart and kiss {n}" for n in range(2)]
    (tmp_path / "words.csv").write_text("\n".join(lines))
    arguments = ("--lyrics", str(tmp_path / "words.csv"), "--lyrics_missing", "drop")
    result = invoke(
        runner, "medium", "--data", str(corpus), *MEDIUM, *arguments, "--n_clusters", "2"
    )
    assert result.exit_code == 0, result.output
    parent = MlflowClient().search_runs(["0"], "tags.entry_point = 'medium'")[0]
    table = pd.read_csv(tracking.local_artifacts(parent) / "medium_task_metrics.csv")
    assert set(table.loc[table["dataset"].str.contains("Lyrics"), "n_samples"]) == {4}
    assert set(table.loc[~table["dataset"].str.contains("Lyrics"), "n_samples"]) == {20}


@pytest.mark.parametrize("name", ["features", "lyrics", "train", "cluster", "visualize", "audit"])
def test_each_entry_point_works_alone(
    runner: CliRunner, store: Path, corpus: Path, name: str
) -> None:
    arguments = QUICK if name in ("train", "cluster", "visualize") else QUICK[-2:]
    result = invoke(runner, name, "--data", str(corpus), *arguments)
    assert result.exit_code == 0, result.output


def test_equal_seeds_give_equal_tables(
    runner: CliRunner, store: Path, corpus: Path, tmp_path: Path
) -> None:
    tables = []
    for number in range(2):
        result = invoke(runner, "easy", "--data", str(corpus), *QUICK)
        assert result.exit_code == 0, result.output
        parent = MlflowClient().search_runs(["0"], "tags.entry_point = 'easy'")[0]
        table = pd.read_csv(tracking.local_artifacts(parent) / "easy_task_metrics.csv")
        tables.append(table.drop(columns="run_id"))
        for run in MlflowClient().search_runs(["0"], "attributes.status = 'FINISHED'"):
            if number == 0 and "stage" in run.data.tags:
                MlflowClient().delete_run(run.info.run_id)  # so that nothing can be reused
    pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=True)


def test_relative_folders_are_taken_from_where_the_person_is(
    runner: CliRunner, store: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    shutil.copytree(corpus, tmp_path / "here" / "music")
    monkeypatch.chdir(tmp_path / "here")
    assert options.caller_folder() == tmp_path / "here"
    assert invoke(runner, "features", "--data", "music", "--workers", "1").exit_code == 0
    missing = invoke(runner, "features", "--data", "musik", "--workers", "1")
    assert f"no folder at {tmp_path / 'here' / 'musik'}" in missing.output


def test_an_option_can_be_typed_with_dashes(runner: CliRunner, store: Path) -> None:
    dashes = invoke(runner, "easy", "--n-clusters", "1")
    assert dashes.output == invoke(runner, "easy", "--n_clusters", "1").output
    assert dashes.exit_code == 2


def test_strange_names_and_a_loose_file_do_no_harm(
    runner: CliRunner, store: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "nm $x^{ $ 'quoted' ä"
    for genre, low in (("a $y^{2$ b", 200), ('it\'s "b"', 3000)):
        (folder / genre).mkdir(parents=True)
        for n in range(4):
            soundfile.write(folder / genre / f"{n} é.wav", tone(low + 9 * n), 22050)
    soundfile.write(folder / "loose.wav", tone(700), 22050)
    result = invoke(runner, "easy", "--data", str(folder), *QUICK)
    assert result.exit_code == 0, result.output
    assert "9 tracks in 2 genres (1 of them in none" in result.output
    assert "Ranked by AMI" in result.output


def test_a_store_that_cannot_be_opened_is_named(
    runner: CliRunner, store: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mlflow.set_tracking_uri("bogus://nowhere")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "bogus://nowhere")
    result = invoke(runner, "features", "--data", str(corpus))
    assert result.exit_code == 2
    assert result.output.startswith("Error: the tracking store bogus://nowhere cannot be opened")


def test_main_has_the_best_scores_and_every_table_on_it(
    runner: CliRunner, store: Path, corpus: Path
) -> None:
    assert invoke(runner, "main", "--data", str(corpus), *MEDIUM).exit_code == 0
    (run,) = MlflowClient().search_runs(["0"], "tags.entry_point = 'main'")
    assert "best/ami" in run.data.metrics
    assert "| rank" in run.data.tags["mlflow.note.content"]
    names = {path.name for path in tracking.local_artifacts(run).iterdir()}
    tables = {"easy_task_metrics.csv", "medium_task_metrics.csv", "hard_task_comparison.csv"}
    assert tables <= names
    for level in ("easy", "medium", "hard"):
        alone = invoke(runner, "compare", "--data", str(corpus), "--level", level)
        assert alone.exit_code == 0, alone.output


HARD_ROWS = {
    *("PCA + k-means", "Direct spectral + k-means", "Autoencoder + k-means", "VAE + k-means"),
    *("BetaVAE + k-means", "ConvVAE + k-means", "CVAE + k-means", "Multimodal + k-means"),
    *("ConvVAE, contrastive + k-means", "Contrastive encoder + k-means"),
    *("CVAE, decoder alone + k-means", "CVAE on clusters + k-means", "Multimodal+Genre + k-means"),
}
HARD_FILES = {
    *("hard_task_metrics.csv", "hard_task_comparison.csv", "hard_task_comparison.md"),
    *("hard_task_comparison.png", "hard_task_latent_space.png", "audit.csv"),
    *("hard_task_cluster_distribution.png", "hard_task_reconstructions.png"),
}


def test_hard_makes_everything_it_promises(runner: CliRunner, store: Path, corpus: Path) -> None:
    beta = ("--beta", "9")
    result = invoke(runner, "hard", "--data", str(corpus), *MEDIUM, *beta)
    assert result.exit_code == 0, result.output
    folder = artifacts_of("hard")
    assert {path.name for path in folder.iterdir()} >= HARD_FILES
    table = pd.read_csv(folder / "hard_task_comparison.csv")
    assert table.columns[:7].tolist() == [
        *("method", "n_samples", "n_clusters", "silhouette", "nmi", "ari", "purity")
    ]
    assert set(table["method"]) == HARD_ROWS
    uses = table.set_index("method")["label_use"]
    assert uses["CVAE + k-means"] == "encode"
    assert uses["CVAE, decoder alone + k-means"] == "train"
    assert uses["CVAE on clusters + k-means"] == "none"
    assert uses["Multimodal+Genre + k-means"] == "feature"
    oracle = table["label_use"] != "none"
    assert table.loc[oracle, "rank"].isna().all()
    assert oracle.tolist() == [False] * 10 + [True] * 3, "oracles stand below"
    for name in ("silhouette", "nmi", "ami", "ari", "purity", "accuracy"):
        ends = table[f"{name}_low"], table[f"{name}_high"]
        assert ((ends[0] <= table[name] + 1e-12) & (table[name] <= ends[1] + 1e-12)).all()
    text = (folder / "hard_task_comparison.md").read_text()
    assert "apart" in text or "Within noise of" in text
    every = pd.read_csv(folder / "hard_task_metrics.csv")
    assert len(every) == 13 + 2 + 4  # the two other fusions, and agglomerative of all four
    audit = pd.read_csv(folder / "audit.csv").set_index("modality")
    assert audit["verdict"]["genre"] == "label"
    assert set(audit.index) == {"mfcc", "mel", "lyrics", "genre"}

    for run in MlflowClient().search_runs(["0"], "tags.stage = 'fuse'"):
        values = FeatureSet.load(tracking.local_artifacts(run), "multimodal_features")
        assert str(values.label_use) == run.data.tags["label_use"]
    clustered = [
        tracking.local_artifacts(run)
        for run in MlflowClient().search_runs(["0"], "tags.stage = 'cluster'")
        if run.data.tags["model"].startswith("multimodal")
    ]
    assert len(clustered) == 8
    for folder in clustered:
        assert Assignment.load(folder, "multimodal_clusters").clusters.shape == (2, 20)
    names = {p.name for p in Path(store).rglob("*_best.pth")}
    assert {"cvae_best.pth", "betavae_best.pth", "vae_best.pth", "autoencoder_best.pth"} <= names
    names = {p.name for p in Path(store).rglob("Z_*.npy")}
    assert {"Z_cvae.npy", "Z_betavae.npy", "Z_vae.npy", "Z_autoencoder.npy"} <= names

    trained = MlflowClient().search_runs(["0"], "tags.stage = 'train'")
    betas = {run.data.tags["model"]: run.data.params.get("beta") for run in trained}
    assert betas["betavae"] == "9.0"
    assert betas["vae"] == betas["cvae"] == betas["conv_vae"] == "1.0", "beta is the BetaVAE's"

    second = invoke(runner, "hard", "--data", str(corpus), *MEDIUM, *beta)
    assert "hard: 41 stages, 41 reused" in second.output


def test_hard_without_genres_leaves_out_what_needs_them(
    runner: CliRunner, store: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "music"
    folder.mkdir()
    for n in range(12):
        soundfile.write(folder / f"{n:02d}.wav", tone((200, 1000, 5000)[n % 3] + 5 * n), 22050)
    result = invoke(runner, "hard", "--data", str(folder), *MEDIUM)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(artifacts_of("hard") / "hard_task_comparison.csv")
    needing = {"CVAE + k-means", "CVAE, decoder alone + k-means", "Multimodal+Genre + k-means"}
    assert set(table["method"]) == HARD_ROWS - needing
    assert "apart" not in result.output
    told = invoke(runner, "train", "--data", str(folder), "--model", "cvae", *QUICK)
    assert told.exit_code == 2
    assert "condition_on=clusters" in told.output


def test_on_noise_label_free_rows_score_nothing_and_the_genre_itself_everything(
    runner: CliRunner, store: Path, tmp_path: Path
) -> None:
    noise_collection(tmp_path / "noise", tracks_per_genre=60)
    quick = ("--epochs", "3", "--seeds", "2", "--widths", "4,4,4", "--workers", "2")
    result = invoke(runner, "hard", "--data", str(tmp_path / "noise"), *quick)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(artifacts_of("hard") / "hard_task_metrics.csv")
    assert (table["n_samples"] == 600).all()
    free = table["label_use"] == "none"
    assert free.sum() == 15
    assert (table.loc[free, "ami"].abs() < 0.03).all()
    assert (table.loc[free, "nmi"] - table.loc[free, "nmi_chance"]).abs().max() < 0.03
    assert table.loc[free, "rank"].notna().all()
    genre = table[table["method"].str.startswith("Multimodal+Genre")]
    assert (genre["nmi"] > 0.9).all()
    assert (genre["label_use"] == "feature").all()
    assert genre["rank"].isna().all()
    audit = pd.read_csv(artifacts_of("hard") / "audit.csv").set_index("modality")["verdict"]
    verdicts = {"mfcc": "clear", "mel": "clear", "lyrics": "clear", "genre": "label"}
    assert audit.to_dict() == verdicts


def test_words_from_the_genre_in_an_innocent_file_end_below_the_ranking(
    runner: CliRunner, store: Path, tmp_path: Path
) -> None:
    """The file declares nothing; the audit finds it out, and the fused rows are oracles."""
    noise_collection(tmp_path / "music", tracks_per_genre=12)
    rng = np.random.default_rng(1)
    lines = ["filename,lyrics"]
    for genre in range(10):
        themes = [f"theme{genre}{letter}" for letter in "abcdefgh"]
        lines += [f"g{genre}/{n:03d},{' '.join(rng.choice(themes, 30))}" for n in range(12)]
    (tmp_path / "words.csv").write_text("\n".join(lines))
    arguments = ("--data", str(tmp_path / "music"), "--lyrics", str(tmp_path / "words.csv"))
    result = invoke(runner, "multimodal", *arguments, "--seeds", "2", "--workers", "2")
    assert result.exit_code == 0, result.output
    assert "lyrics: label" in result.output
    table = pd.read_csv(tracking.local_artifacts(run_of("evaluate")) / "hard_task_metrics.csv")
    assert len(table) == 8
    assert (table["label_use"] == "feature").all()
    assert table["rank"].isna().all()
    declared = tracking.local_artifacts(run_of("lyrics"))
    assert FeatureSet.load(declared, "lyrics_embeddings").label_use == 0


def test_a_hard_table_is_the_same_bit_for_bit_when_computed_again(
    runner: CliRunner, store: Path, corpus: Path
) -> None:
    tables = []
    for _ in range(2):
        result = invoke(runner, "hard", "--data", str(corpus), *MEDIUM)
        assert result.exit_code == 0, result.output
        folder = artifacts_of("hard")
        tables.append(
            [
                pd.read_csv(folder / f"hard_task_{name}.csv").drop(columns="run_id")
                for name in ("metrics", "comparison")
            ]
        )
        for run in MlflowClient().search_runs(["0"], "attributes.status = 'FINISHED'"):
            if "stage" in run.data.tags:
                MlflowClient().delete_run(run.info.run_id)  # so that nothing can be reused
    for one, two in zip(*tables, strict=True):
        pd.testing.assert_frame_equal(one, two, check_exact=True)


def test_any_finished_clustering_run_can_be_evaluated_and_any_embedding_drawn(
    runner: CliRunner, store: Path, corpus: Path
) -> None:
    data = ("--data", str(corpus), "--workers", "2")
    nothing = invoke(runner, "evaluate", *data)
    assert nothing.exit_code == 2
    assert "no finished clustering run" in nothing.output
    cvae = ("--model", "cvae", "--condition_on", "clusters")
    result = invoke(runner, "cluster", "--data", str(corpus), *cvae, *QUICK)
    assert result.exit_code == 0, result.output
    clustering, embedding = run_of("cluster"), run_of("train")
    one = invoke(runner, "evaluate", *data, "--run", clustering.info.run_id[:12])
    assert one.exit_code == 0, one.output
    table = pd.read_csv(tracking.local_artifacts(run_of("evaluate")) / "hard_task_metrics.csv")
    assert table["method"].tolist() == ["CVAE on clusters + k-means"]
    assert table["ami"].item() == clustering.data.metrics["ami"]
    assert invoke(runner, "evaluate", *data).exit_code == 0
    for run_id, said in (
        ("nonsense!", "no such runs"),
        ("0123456789abcdef", "no such runs"),
        (embedding.info.run_id, "clusters nothing"),
    ):
        wrong = invoke(runner, "evaluate", *data, "--run", run_id)
        assert wrong.exit_code == 2
        assert said in wrong.output
    drawn = invoke(
        runner, "visualize", "--data", str(corpus), "--run", embedding.info.run_id, *QUICK
    )
    assert drawn.exit_code == 0, drawn.output
    names = {path.name for path in tracking.local_artifacts(run_of("visualize")).iterdir()}
    assert names >= {path for path in HARD_FILES if path.endswith(("space.png", "tion.png"))}
    first = run_of("visualize").info.run_id
    by_clusters = ("--data", str(corpus), "--run", clustering.info.run_id)  # five seeds by default
    assert invoke(runner, "visualize", *by_clusters).exit_code == 0
    again = invoke(runner, "visualize", "--data", str(corpus), "--run", embedding.info.run_id)
    assert again.exit_code == 0, again.output
    assert run_of("visualize").info.run_id == first, "an embedding has the seeds it was made with"
    wrong = invoke(
        runner, "visualize", "--data", str(corpus), "--run", run_of("features").info.run_id
    )
    assert wrong.exit_code == 2
    assert "can be drawn" in wrong.output


def test_small_and_copied_collections_end_in_a_table_or_in_one_line(
    runner: CliRunner, store: Path, corpus: Path, tmp_path: Path
) -> None:
    for name, tracks in {"six": "aabcde", "five": "abcde"}.items():
        for number, genre in enumerate(tracks):
            (tmp_path / name / genre).mkdir(parents=True, exist_ok=True)
            path = tmp_path / name / genre / f"{number}.wav"
            soundfile.write(path, tone(200 * (number + 1)), 22050)
    six = invoke(runner, "hard", "--data", str(tmp_path / "six"), *MEDIUM)
    assert six.exit_code == 0, six.output
    assert "nan" not in six.output
    five = invoke(runner, "hard", "--data", str(tmp_path / "five"), *MEDIUM)
    assert five.exit_code == 2
    assert "give n_clusters" in five.output
    assert "train" not in five.output, "it is refused before anything is trained"
    song = next(corpus.glob("genres/rock/*.flac"))
    for genre in "ab":
        (tmp_path / "copies" / genre).mkdir(parents=True)
        for number in range(6):
            shutil.copy(song, tmp_path / "copies" / genre / f"{number}.flac")
    copies = invoke(runner, "hard", "--data", str(tmp_path / "copies"), *MEDIUM, "--register", "no")
    assert copies.exit_code == 0, copies.output
    assert "11 the same as another" in copies.output


def test_a_sweep_does_not_change_the_hard_table(
    runner: CliRunner, store: Path, corpus: Path
) -> None:
    plain = ("--data", str(corpus), *QUICK)
    assert invoke(runner, "cluster", *plain, "--model", "betavae").exit_code == 0
    own = run_of("cluster").info.run_id
    assert invoke(runner, "sweep", *plain, "--betas", "4,9").exit_code == 0
    assert invoke(runner, "compare", "--data", str(corpus), "--level", "hard").exit_code == 0
    table = pd.read_csv(artifacts_of("compare") / "hard_task_comparison.csv")
    assert table["run_id"].tolist() == [own]


def test_a_run_about_another_collection_is_refused(
    runner: CliRunner, store: Path, corpus: Path, tmp_path: Path
) -> None:
    assert invoke(runner, "cluster", "--data", str(corpus), "--model", "pca").exit_code == 0
    shutil.copytree(corpus / "genres" / "rock", tmp_path / "other" / "rock")
    shutil.copytree(corpus / "genres" / "pop", tmp_path / "other" / "pop")
    run_id = run_of("cluster").info.run_id
    wrong = invoke(runner, "evaluate", "--data", str(tmp_path / "other"), "--run", run_id)
    assert wrong.exit_code == 2
    assert "about another collection" in wrong.output


def test_a_sweep_has_a_row_for_every_beta(runner: CliRunner, store: Path, corpus: Path) -> None:
    arguments = ("--data", str(corpus), "--betas", "0,1,8", *QUICK)
    result = invoke(runner, "sweep", *arguments, "--epochs", "40")
    assert result.exit_code == 0, result.output
    folder = tracking.local_artifacts(run_of("sweep"))
    assert (folder / "beta_sweep.png").exists()
    table = pd.read_csv(folder / "beta_sweep.csv")
    assert table["beta"].tolist() == [0, 1, 8]
    assert table["val_kl"].is_monotonic_decreasing, "a heavier KL term is a smaller one"
    assert table["val_reconstruction"].is_monotonic_increasing
    assert invoke(runner, "sweep", "--betas", "4").exit_code == 2


def test_faults_are_kept_or_dropped_by_name(
    runner: CliRunner, store: Path, corpus: Path, tmp_path: Path
) -> None:
    """A folder named as GTZAN is: two of its 70, and a clip that is there twice."""
    for genre, numbers in {"country": (7, 8), "metal": (3, 4), "rock": (0, 1)}.items():
        (tmp_path / "gtzan" / genre).mkdir(parents=True)
        for place, number in enumerate(numbers):
            sound, rate = soundfile.read(corpus / "genres" / genre / f"{genre}.{place:05d}.flac")
            path = tmp_path / "gtzan" / genre / f"{genre}.{number:05d}.wav"
            soundfile.write(path, sound[: 3 * rate], rate)
    shutil.copy(tmp_path / "gtzan/rock/rock.00000.wav", tmp_path / "gtzan/rock/rock.00002.wav")
    data = ("--data", str(tmp_path / "gtzan"), "--workers", "1")
    kept = invoke(runner, "features", *data)
    assert "7 tracks in 3 genres" in kept.output
    assert "2 in GTZAN's list of faulty clips, 1 the same as another" in kept.output
    table = pd.read_csv(tracking.local_artifacts(run_of("features")) / "faults.csv")
    assert set(table["track_id"]) == {
        *("country/country.00008.wav", "metal/metal.00004.wav", "rock/rock.00002.wav")
    }
    dropped = invoke(runner, "features", *data, "--faults", "drop")
    assert "2 clips in GTZAN's list of faults are dropped" in dropped.output
    assert "5 tracks in 3 genres" in dropped.output
    refused = invoke(runner, "features", "--data", str(corpus), "--faults", "drop")
    assert refused.exit_code == 2
    assert "not GTZAN" in refused.output


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
    low, high = row["silhouette_low"], row["silhouette_high"]
    assert version.tags["silhouette"] == f"{row['silhouette']:.3f} [{low:.3f}, {high:.3f}]"
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

    tracked = Assignment.load(tracking.local_artifacts(run_of("cluster")))
    clusters = dict(zip(tracked.ids.tolist(), tracked.clusters[0].tolist(), strict=True))
    monkeypatch.chdir(tmp_path)
    shutil.copytree(corpus / "genres", tmp_path / "songs")
    (tmp_path / "songs" / "broken.wav").write_bytes(b"no sound")
    placed = invoke(runner, "predict", "--file", "songs", "--output", "answer.json")
    assert placed.exit_code == 0, placed.output
    records = json.loads((tmp_path / "answer.json").read_text())
    assert len(records) == 21
    assert "cannot be decoded" in records[[r["file"] for r in records].index("broken.wav")]["error"]
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
