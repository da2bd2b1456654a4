from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from click.testing import CliRunner
from mlflow.tracking import MlflowClient

from genre_vae.records import Assignment, FeatureSet
from genre_vae.tracking.stage import local_artifacts
from tests.helpers import (
    HARD_FILES,
    MEDIUM,
    QUICK,
    artifacts_of,
    invoke,
    noise_collection,
    run_of,
    tone,
)


def test_easy_makes_everything_it_promises(runner: CliRunner, store: Path, corpus: Path) -> None:
    result = invoke(runner, "easy", "--data", str(corpus), *QUICK, "--seeds", "3")
    assert result.exit_code == 0, result.output
    assert "20 tracks in 10 genres, of 20 audio files" in result.output
    assert "PCA + k-means" in result.output
    client = MlflowClient()
    all_runs = client.search_runs(["0"], max_results=100)
    assert {run.info.status for run in all_runs} == {"FINISHED"}
    (parent,) = [run for run in all_runs if "mlflow.parentRunId" not in run.data.tags]
    assert {"best/ami", "best/nmi", "best/silhouette"} <= parent.data.metrics.keys()
    folder = local_artifacts(parent)
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
        assert table[f"{name}_seeds"].notna().all()
        assert table[f"{name}_low"].isna().all(), "halves have one track for each cluster"
    assert "too few tracks for halves" in result.output
    for _, row in table.iterrows():  # the table says what the store says
        stored = client.get_run(row["run_id"]).data.metrics
        assert stored["ami"] == row["ami"]

    features = local_artifacts(run_of("features"))
    standardised = FeatureSet.load(features, "X")
    assert standardised.values.shape == (20, 40)
    np.testing.assert_allclose(standardised.values.mean(axis=0), 0, atol=1e-4)
    np.testing.assert_allclose(standardised.values.std(axis=0), 1, atol=1e-3)
    assert {"y.npy", "genre_map.json", "track_ids.json", "skipped.csv"} <= {
        path.name for path in features.iterdir()
    }

    second = invoke(runner, "easy", "--data", str(corpus), *QUICK, "--seeds", "3")
    assert second.exit_code == 0
    assert second.output.count("reused run") == 11
    assert "easy: 11 stages, 11 reused" in second.output


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
    table = pd.read_csv(local_artifacts(parent) / "easy_task_metrics.csv")
    assert table["ami"].isna().all()
    assert table["silhouette"].notna().all()
    assert table["n_clusters"].nunique() == 1, "one number for all methods"
    assert set(table["n_clusters_by"]) <= {"chosen", "no clear number"}
    (why,) = table["n_clusters_why"].unique()
    assert result.output.count(why) == 2, "when it is chosen, and below the table"
    counted = run_of("count")
    tried = pd.read_csv(local_artifacts(counted) / "n_clusters.csv")
    assert {"n_clusters", "stability", "low", "high", "null", "silhouette"} <= set(tried.columns)
    clustered = run_of("cluster")
    assert counted.data.tags["n_clusters_why"] == clustered.data.tags["n_clusters_why"] == why
    assert int(clustered.data.params["n_clusters"]) == table["n_clusters"].iloc[0]


def test_medium_on_its_own_lyrics(runner: CliRunner, store: Path, corpus: Path) -> None:
    result = invoke(runner, "medium", "--data", str(corpus), *MEDIUM)
    assert result.exit_code == 0, result.output
    assert (
        "20 of 20 tracks matched by filename" in result.output or "tracks matched" in result.output
    )
    parent = MlflowClient().search_runs(["0"], "tags.entry_point = 'medium'")[0]
    folder = local_artifacts(parent)
    names = {
        f"medium_task_{name}_tsne.png" for name in ("conv_vae", "vae_lyrics", "conv_vae_lyrics")
    }
    assert names | {"medium_task_metrics.csv"} <= {path.name for path in folder.iterdir()}
    table = pd.read_csv(folder / "medium_task_metrics.csv")
    assert table.columns[:8].tolist() == [
        *("dataset", "algorithm", "n_samples", "n_features"),
        *("silhouette", "calinski_harabasz", "davies_bouldin", "adjusted_rand"),
    ]
    assert len(table) == 30
    assert set(table["algorithm"]) == {"k-means", "agglomerative", "DBSCAN", "HDBSCAN", "spectral"}
    assert set(table["dataset"]) == {
        *("RawFeatures_PCA", "VAE_Latents", "ConvVAE_Latents", "VAE+Lyrics", "ConvVAE+Lyrics"),
        "ContrastiveEncoder_Latents",
    }
    finds_its_own = table["algorithm"].isin(["DBSCAN", "HDBSCAN"])
    assert set(table["n_clusters_by"][finds_its_own]) == {"clusterer"}
    assert set(table["n_clusters_by"][~finds_its_own]) == {"genres"}
    others = table[~finds_its_own]
    for metric in ("silhouette", "davies_bouldin", "calinski_harabasz", "ari", "nmi", "ami"):
        assert others[metric].notna().all(), metric
    assert (table["adjusted_rand"] == table["ari"]).all()
    assert (table["label_use"] == "none").all()
    lyrics = local_artifacts(run_of("lyrics"))
    assert FeatureSet.load(lyrics, "lyrics_embeddings").ids.shape == (20,)
    assert (lyrics / "lyrics_mapping.json").exists()


def test_themes_make_oracle_rows_and_a_missing_file_the_control(
    runner: CliRunner, store: Path, corpus: Path, tmp_path: Path
) -> None:
    shutil.copytree(corpus / "genres", tmp_path / "music" / "genres")
    medium = (*MEDIUM, "--seeds", "1", "--methods", "pca,vae,conv_vae,vae_lyrics,conv_vae_lyrics")
    result = invoke(runner, "medium", "--data", str(tmp_path / "music"), *medium)
    assert result.exit_code == 0, result.output
    assert "meaningless words stand in" in result.output
    result = invoke(
        runner, "medium", "--data", str(tmp_path / "music"), *medium, "--lyrics", "themes"
    )
    assert result.exit_code == 0, result.output
    parent = MlflowClient().search_runs(["0"], "tags.entry_point = 'medium'")[0]
    table = pd.read_csv(local_artifacts(parent) / "medium_task_metrics.csv")
    oracle = table["dataset"].str.contains("Lyrics")
    assert (table.loc[oracle, "label_use"] == "feature").all()
    assert table.loc[oracle, "rank"].isna().all()
    assert (table.loc[~oracle, "label_use"] == "none").all()
    assert oracle.tolist() == [False] * 15 + [True] * 10, "oracles stand below"
    without = invoke(
        runner, "medium", "--data", str(tmp_path / "music"), *medium, "--lyrics", "none"
    )
    assert without.exit_code == 0, without.output
    about = [line.strip() for line in without.output.splitlines() if "Lyrics" in line]
    assert about == [f"{name}+Lyrics left out: it needs lyrics" for name in ("VAE", "ConvVAE")]


def test_missing_lyrics_can_be_dropped(
    runner: CliRunner, store: Path, corpus: Path, tmp_path: Path
) -> None:
    lines = ["filename,lyrics"] + [f"rock.{n:05d},road and thunder {n}" for n in range(2)]
    lines += [f"pop.{n:05d},heart and kiss {n}" for n in range(2)]
    (tmp_path / "words.csv").write_text("\n".join(lines))
    arguments = ("--lyrics", str(tmp_path / "words.csv"), "--lyrics_missing", "drop")
    chosen = ("--methods", "pca,vae,vae_lyrics")
    result = invoke(
        runner, "medium", "--data", str(corpus), *MEDIUM, *arguments, *chosen, "--n_clusters", "2"
    )
    assert result.exit_code == 0, result.output
    parent = MlflowClient().search_runs(["0"], "tags.entry_point = 'medium'")[0]
    table = pd.read_csv(local_artifacts(parent) / "medium_task_metrics.csv")
    assert set(table.loc[table["dataset"].str.contains("Lyrics"), "n_samples"]) == {4}
    assert set(table.loc[~table["dataset"].str.contains("Lyrics"), "n_samples"]) == {20}


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


def test_main_has_the_best_scores_and_every_table_on_it(
    runner: CliRunner, store: Path, corpus: Path
) -> None:
    chosen = ("--seeds", "1", "--methods", "pca,vae,conv_vae")
    plain = ("--data", str(corpus), *MEDIUM)
    assert invoke(runner, "main", *plain, *chosen).exit_code == 0
    (run,) = MlflowClient().search_runs(["0"], "tags.entry_point = 'main'")
    assert "best/ami" in run.data.metrics
    assert "| rank" in run.data.tags["mlflow.note.content"]
    names = {path.name for path in local_artifacts(run).iterdir()}
    tables = {"easy_task_metrics.csv", "medium_task_metrics.csv", "hard_task_comparison.csv"}
    assert tables <= names
    for level in ("easy", "medium", "hard"):
        alone = invoke(runner, "compare", "--data", str(corpus), "--level", level)
        assert alone.exit_code == 0, alone.output


HARD_ROWS = {
    *("PCA + k-means", "Direct spectral + k-means", "Autoencoder + k-means", "VAE + k-means"),
    *("BetaVAE + k-means", "ConvVAE + k-means", "CVAE + k-means", "Multimodal + k-means"),
    "Contrastive encoder + k-means",
    *("CVAE, decoder alone + k-means", "CVAE on clusters + k-means", "Multimodal+Genre + k-means"),
    *(
        f"{method} (descriptor) + k-means"
        for method in ("PCA", "Direct", "Autoencoder", "VAE", "BetaVAE")
    ),
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
    assert oracle.tolist() == [False] * 14 + [True] * 3, "oracles stand below"
    ends = table[[f"ami_{end}" for end in ("low", "high")]]
    assert ends.isna().all(axis=None), "of two seeds there is no interval"
    text = (folder / "hard_task_comparison.md").read_text()
    assert "No row is compared with another" in text, "a half has one track for each cluster"
    every = pd.read_csv(folder / "hard_task_metrics.csv")
    assert len(every) == 17 + 2 + 4  # the two other fusions, and agglomerative of all four
    audit = pd.read_csv(folder / "audit.csv").set_index("modality")
    assert audit["verdict"]["genre"] == "label"
    assert set(audit.index) == {"mfcc", "descriptor", "mel", "lyrics", "genre"}

    for run in MlflowClient().search_runs(["0"], "tags.stage = 'fuse'"):
        values = FeatureSet.load(local_artifacts(run), "multimodal_features")
        assert str(values.label_use) == run.data.tags["label_use"]
    clustered = [
        run
        for run in MlflowClient().search_runs(["0"], "tags.stage = 'cluster'")
        if run.data.tags["model"].startswith("multimodal")
    ]
    assert len(clustered) == 8
    for run in clustered:
        assignment = Assignment.load(local_artifacts(run), "multimodal_clusters")
        is_late = run.data.tags["model"].endswith("late")
        seeds = (
            2 if is_late or run.data.tags["algorithm"] == "k-means" else 1
        )  # a deterministic row has one
        assert assignment.clusters.shape == (seeds, 20)
    names = {p.name for p in Path(store).rglob("*_best.pth")}
    assert {"cvae_best.pth", "betavae_best.pth", "vae_best.pth", "autoencoder_best.pth"} <= names
    names = {p.name for p in Path(store).rglob("Z_*.npy")}
    assert {"Z_cvae.npy", "Z_betavae.npy", "Z_vae.npy", "Z_autoencoder.npy"} <= names

    trained = MlflowClient().search_runs(["0"], "tags.stage = 'train'")
    betas = {run.data.tags["model"]: run.data.params.get("beta") for run in trained}
    logged = {run.data.tags["model"]: set(run.data.metrics) for run in trained}
    assert "best/within_clip_variance_explained" in logged["conv_vae"]
    assert "best/variance_explained" in logged["vae"] & logged["cvae"] & logged["autoencoder"]
    assert not [name for name in logged["contrastive"] if "explained" in name]
    assert "best/active_units" in logged["conv_vae"] & logged["contrastive"] & logged["vae"]
    assert betas["betavae"] == "9.0"
    assert betas["vae"] == betas["cvae"] == betas["conv_vae"] == "1.0", "beta is the BetaVAE's"

    second = invoke(runner, "hard", "--data", str(corpus), *MEDIUM, *beta)
    assert "hard: 49 stages, 49 reused" in second.output


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
    assert "AMI tells" not in result.output
    told = invoke(runner, "train", "--data", str(folder), "--model", "cvae", *QUICK)
    assert told.exit_code == 2
    assert "condition_on=clusters" in told.output


DENSE = "pca,autoencoder,vae,betavae,cvae,cvae_clusters"
FUSED = "multimodal_concatenate,multimodal,multimodal_late,multimodal_genre"


@pytest.mark.parametrize(
    ("methods", "label_free"),
    [(f"{DENSE},{FUSED}", 15), pytest.param("auto", 19, marks=pytest.mark.slow)],
)
def test_on_noise_label_free_rows_score_nothing_and_the_genre_itself_everything(
    runner: CliRunner, store: Path, tmp_path: Path, methods: str, label_free: int
) -> None:
    noise_collection(tmp_path / "noise", tracks_per_genre=60)
    quick = ("--epochs", "3", "--seeds", "2", "--widths", "4,4,4", "--workers", "2")
    data = ("--data", str(tmp_path / "noise"), "--methods", methods)
    result = invoke(runner, "hard", *data, *quick)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(artifacts_of("hard") / "hard_task_metrics.csv")
    assert (table["n_samples"] == 600).all()
    free = table["label_use"] == "none"
    assert free.sum() == label_free
    assert (table.loc[free, "ami"].abs() < 0.03).all()
    assert (table.loc[free, "nmi"] - table.loc[free, "nmi_chance"]).abs().max() < 0.03
    assert table.loc[free, "rank"].notna().all()
    genre = table[table["method"].str.startswith("Multimodal+Genre")]
    assert (genre["nmi"] > 0.9).all()
    assert (genre["label_use"] == "feature").all()
    assert genre["rank"].isna().all()
    audit = pd.read_csv(artifacts_of("hard") / "audit.csv").set_index("modality")["verdict"]
    clear = dict.fromkeys(("mfcc", "descriptor", "mel", "lyrics"), "clear")
    assert audit.to_dict() == {**clear, "genre": "label"}


def test_a_hard_table_is_the_same_bit_for_bit_when_computed_again(
    runner: CliRunner, store: Path, corpus: Path
) -> None:
    tables = []
    chosen = ("--methods", "pca,raw,vae,conv_vae,contrastive_vae,cvae,multimodal_late")
    for _ in range(2):
        result = invoke(runner, "hard", "--data", str(corpus), *MEDIUM, *chosen)
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


def test_small_and_copied_collections_end_in_a_table_or_in_one_line(
    runner: CliRunner, store: Path, corpus: Path, tmp_path: Path
) -> None:
    for name, tracks in {"six": "aabcde", "five": "abcde"}.items():
        for number, genre in enumerate(tracks):
            folder = tmp_path / name / f"genre {genre}"
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{number}.wav"
            soundfile.write(path, tone(200 * (number + 1)), 22050)
    some = (*MEDIUM, "--methods", "pca,raw,vae,conv_vae,cvae,multimodal,multimodal_late")
    six = invoke(runner, "hard", "--data", str(tmp_path / "six"), *some)
    assert six.exit_code == 0, six.output
    assert "nan" not in six.output
    five = invoke(runner, "hard", "--data", str(tmp_path / "five"), *some)
    assert five.exit_code == 2
    assert "give n_clusters" in five.output
    assert "train" not in five.output, "it is refused before anything is trained"
    song = next(corpus.glob("genres/rock/*.flac"))
    for genre in "ab":
        (tmp_path / "copies" / genre).mkdir(parents=True)
        for number in range(6):
            shutil.copy(song, tmp_path / "copies" / genre / f"{number}.flac")
    data = ("--data", str(tmp_path / "copies"), "--register", "no")
    copies = invoke(runner, "hard", *data, *some)
    assert copies.exit_code == 0, copies.output
    assert "11 the same as another" in copies.output


@pytest.mark.parametrize(
    ("level", "methods", "rows"),
    [
        ("easy", "pca,conv_vae", {"PCA + k-means", "ConvVAE + k-means"}),
        (
            "hard",
            "spectral,vae_lyrics",
            {
                *("Direct spectral + k-means", "Direct (descriptor) + k-means"),
                "VAE+Lyrics + k-means",
            },
        ),
        ("medium", "multimodal_late", {"Multimodal, late + k-means"}),
    ],
)
def test_any_level_runs_the_methods_that_are_asked_for(
    runner: CliRunner, store: Path, corpus: Path, level: str, methods: str, rows: set[str]
) -> None:
    """Whatever level they are listed in; a model that a fusion needs is trained and not a row."""
    given = ("--data", str(corpus), "--methods", methods, *MEDIUM)
    result = invoke(runner, level, *given)
    assert result.exit_code == 0, result.output
    stem = "hard_task_comparison" if level == "hard" else f"{level}_task_metrics"
    table = pd.read_csv(artifacts_of(level) / f"{stem}.csv")
    assert set(table["method"]) >= rows
    assert len(table) == (5 if level == "medium" else len(rows)), "Medium has five clusterers"


def test_a_method_that_needs_lyrics_is_refused_where_none_are_read(
    runner: CliRunner, store: Path, corpus: Path
) -> None:
    result = invoke(runner, "easy", "--data", str(corpus), "--methods", "vae_lyrics")
    assert result.exit_code == 2
    assert "reads lyrics, which easy does not" in result.output
    assert "train" not in result.output
