from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from genre_vae import comparison
from genre_vae.metrics import LABEL


def row(method: str, ami: float, label_use: str = "none", **more: object) -> dict[str, object]:
    return {
        "method": method,
        "model": "pca",
        "algorithm": "k-means",
        "ari": ami / 2,
        "noise": 0.0,
        "ami": ami,
        "ami_low": ami - 0.1,
        "ami_high": ami + 0.1,
        "nmi": ami + 0.1,
        "nmi_chance": 0.2,
        "silhouette": 0.3,
        "calinski_harabasz": 20.0,
        "n_samples": 100.0,
        "n_clusters": 10.0,
        "seeds": 5,
        "input": "audio",
        "label_use": label_use,
        "run_id": f"run of {method}",
        **more,
    }


def test_the_table_begins_with_the_seeds_columns() -> None:
    frame = comparison.table([row("PCA + k-means", 0.5)], level="easy")
    assert frame.columns[:3].tolist() == ["method", "silhouette", "calinski_harabasz"]
    assert frame.columns.is_unique
    for name in ("ami_low", "ami_high", "nmi_chance", "seeds", "label_use", "rank", "run_id"):
        assert name in frame


def test_the_best_label_free_row_ranks_first() -> None:
    rows = [row("a", 0.3), row("b", 0.5), row("c", 0.4)]
    frame = comparison.table(rows, level="easy")
    assert frame["method"].tolist() == ["b", "c", "a"]
    assert frame["rank"].tolist() == [1, 2, 3]
    best = comparison.best(frame)
    assert best is not None
    assert best["method"] == "b"


@pytest.mark.parametrize("label_use", ["train", "encode", "feature"])
def test_an_oracle_stands_below_without_a_rank_however_well_it_scores(label_use: str) -> None:
    frame = comparison.table([row("oracle", 0.99, label_use), row("honest", 0.1)], level="easy")
    assert frame["method"].tolist() == ["honest", "oracle"]
    assert frame["rank"].tolist()[0] == 1
    assert frame["rank"].isna().tolist() == [False, True]
    best = comparison.best(frame)
    assert best is not None
    assert best["method"] == "honest"
    assert "oracles" in comparison.markdown(frame)


def test_without_an_honest_row_nothing_is_best() -> None:
    assert comparison.best(comparison.table([row("x", 0.9, "encode")], level="easy")) is None


def test_without_genres_silhouette_ranks() -> None:
    unlabelled = dict.fromkeys([*LABEL, "nmi_chance"], np.nan)
    rows = [
        {**row("a", 0.0), **unlabelled, "silhouette": 0.1},
        {**row("b", 0.0), **unlabelled, "silhouette": 0.2},
    ]
    frame = comparison.table(rows, level="easy")
    assert frame["method"].tolist() == ["b", "a"]
    text = comparison.markdown(frame)
    assert "in the order of silhouette" in text
    assert "chance" not in text
    assert "nmi" not in text.splitlines()[0]


def test_numbers_survive_the_csv(tmp_path: object) -> None:
    frame = comparison.table([row("a", 1 / 3), row("b", 0.2, "feature")], level="easy")
    path = f"{tmp_path}/table.csv"
    frame.to_csv(path, index=False)
    again = pd.read_csv(path)
    assert again["ami"].tolist() == frame["ami"].tolist()
    assert again["rank"].tolist()[0] == 1
    assert np.isnan(again["rank"].tolist()[1])


def test_markdown_shows_mean_interval_and_chance() -> None:
    text = comparison.markdown(comparison.table([row("a", 0.5)], level="easy"))
    assert "0.500 ± 0.100" in text
    assert "0.600 (0.200)" in text


def test_medium_names_its_rows_as_the_seed_did() -> None:
    rows = [
        row(f"{model} + {algorithm}", 0.4, model=model, algorithm=algorithm, n_features=16.0)
        for model in comparison.MODELS["medium"]
        for algorithm in comparison.ALGORITHMS["medium"]
    ]
    frame = comparison.table(rows, level="medium")
    assert frame.columns[:8].tolist() == list(comparison.SEED_COLUMNS["medium"])
    assert len(frame) == 15
    assert set(frame["dataset"]) == set(comparison.MODELS["medium"].values())
    assert (frame["adjusted_rand"] == frame["ari"]).all()
    assert (frame["n_features"] == 16).all()


def test_of_several_runs_of_a_method_the_newest_counts() -> None:
    rows = [
        row("PCA + k-means", 0.1, run_id="new"),
        row("PCA + k-means", 0.9, run_id="old"),
        row("PCA + DBSCAN", 0.5, algorithm="DBSCAN"),
        row("VAE + k-means", 0.5, model="vae"),
    ]
    assert [r["method"] for r in comparison.newest(rows, level="medium")] == [
        *("PCA + k-means", "PCA + DBSCAN", "VAE + k-means")
    ]
    easy = comparison.newest(rows, level="easy")
    assert [r["run_id"] for r in easy] == ["new", "run of VAE + k-means"]


def test_noise_and_input_are_shown_where_they_differ() -> None:
    plain = comparison.markdown(comparison.table([row("a", 0.5)], level="easy"))
    assert "noise" not in plain.splitlines()[0]
    assert "input" not in plain.splitlines()[0]
    rows = [row("a", 0.5, noise=0.2), row("b", 0.4, input="audio + control(tfidf)")]
    mixed = comparison.markdown(comparison.table(rows, level="easy"))
    assert "noise" in mixed.splitlines()[0]
    assert "audio + control(tfidf)" in mixed
