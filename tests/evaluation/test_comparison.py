from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_mutual_info_score

from genre_vae.evaluation import comparison
from genre_vae.evaluation.metrics import LABEL
from genre_vae.records import Assignment, InputError


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
        "reads": "mfcc",
        "input": "mfcc",
        "origin": "scratch",
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
    assert len(frame) == 28
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


def noisy(name: str, *, wrong: float, rng: np.random.Generator, n: int = 150) -> Assignment:
    """Clusters of six genres with a share of tracks put anywhere, three seeds that mostly agree."""
    truth = np.arange(n) % 6
    bad = rng.random(n) < wrong
    clusters = np.where(bad, rng.integers(0, 6, (3, n)), truth)
    clusters[:, : n // 2] = clusters[0, : n // 2]
    ids = np.array([f"{row:04d}.wav" for row in range(n)])
    return Assignment(name, ids, clusters.astype(np.int64), np.array([f"g{g}" for g in truth]))


def test_equally_good_methods_are_rarely_told_apart_and_unequal_ones_are() -> None:
    rng = np.random.default_rng(0)
    false = [
        not comparison.differences(
            [noisy("a", wrong=0.5, rng=rng), noisy("b", wrong=0.5, rng=rng)]
        )[0].within_noise
        for _ in range(60)
    ]
    assert sum(false) <= 6  # 3 expected at 95 %
    (one,) = comparison.differences(
        [noisy("a", wrong=0.1, rng=rng), noisy("b", wrong=0.7, rng=rng)]
    )
    assert not one.within_noise
    assert one.low < one.difference < one.high
    assert one.difference > 0.3


def test_the_interval_is_as_wide_as_differences_scatter() -> None:
    """Against draws of the whole experiment, which only a simulation can repeat."""
    rng = np.random.default_rng(1)
    drawn = [
        comparison.differences([noisy("a", wrong=0.4, rng=rng), noisy("b", wrong=0.6, rng=rng)])[0]
        for _ in range(60)
    ]
    scatter = 1.96 * np.std([one.difference for one in drawn])
    half = np.mean([(one.high - one.low) / 2 for one in drawn])
    assert scatter < half < 1.6 * scatter


def test_a_difference_is_of_common_tracks_with_genres_in_any_order() -> None:
    rng = np.random.default_rng(2)
    one, other = noisy("a", wrong=0.2, rng=rng), noisy("b", wrong=0.5, rng=rng)
    order = rng.permutation(150)
    moved = Assignment("b", other.ids[order], other.clusters[:, order], other.labels[order])
    assert comparison.differences([one, other]) == comparison.differences([one, moved])
    labels = other.labels.copy()
    fewer = Assignment("b", other.ids[20:], other.clusters[:, 20:], labels[20:])
    unknown = one.labels.copy()
    unknown[:20] = ""
    partly = Assignment("a", one.ids, one.clusters, unknown)
    assert comparison.differences([one, fewer]) == comparison.differences([partly, other])


def test_more_comparisons_make_wider_intervals() -> None:
    rng = np.random.default_rng(3)
    first, second = noisy("a", wrong=0.2, rng=rng), noisy("b", wrong=0.5, rng=rng)
    (alone,) = comparison.differences([first, second])
    among = comparison.differences([first, second, *[second] * 9])[0]
    assert among.high - among.low > 1.2 * (alone.high - alone.low)


def test_a_method_is_within_noise_of_itself() -> None:
    one = noisy("a", wrong=0.4, rng=np.random.default_rng(4))
    (same,) = comparison.differences([one, one])
    assert (same.difference, same.low, same.high) == (0, 0, 0)
    assert same.within_noise


def test_the_statement_names_both_kinds() -> None:
    found = [
        comparison.Difference("VAE", "PCA", 0.2, 0.1, 0.3, 100, 5),
        comparison.Difference("VAE", "CVAE", 0.05, -0.1, 0.2, 100, 5),
    ]
    text = comparison.statement(found)
    assert "AMI tells **VAE** apart from PCA (+0.20 [+0.10, +0.30])" in text
    assert "Within noise of **VAE**: CVAE (+0.05 [-0.10, +0.20])" in text
    assert "Within noise" not in comparison.statement(found[:1])
    assert "apart" not in comparison.statement(found[1:])
    fewer = [found[0], found[1]._replace(n_samples=80, seeds=1)]
    assert "+0.20], on the 80 tracks that both have)" in comparison.statement(fewer)
    assert "over seeds (paired)" in text
    assert "over seeds" not in comparison.statement(fewer)


def test_one_cluster_is_within_noise_of_another_and_not_undefined() -> None:
    good = noisy("a", wrong=0.2, rng=np.random.default_rng(6))
    lump = Assignment("b", good.ids, np.zeros_like(good.clusters), good.labels)
    (one,) = comparison.differences([good, lump])
    assert one.low > 0
    assert np.isfinite(one.high)
    (same,) = comparison.differences([lump, lump])
    assert same.within_noise


def test_two_genres_are_needed_for_a_difference() -> None:
    one = noisy("a", wrong=0.2, rng=np.random.default_rng(7))
    alike = Assignment("b", one.ids, one.clusters, np.full(150, "g"))
    assert comparison.differences([alike, one]) == []
    assert np.isnan(comparison.ami_without(alike, []))


def test_the_settings_of_the_newest_row_are_preferred() -> None:
    rows = [
        row("PCA + k-means", 0.1, settings=["5", "0", "auto"], run_id="new"),
        row("VAE + k-means", 0.2, settings=["1", "0", "3"], model="vae", run_id="other"),
        row("VAE + k-means", 0.3, settings=["5", "0", "auto"], model="vae", run_id="alike"),
        row("AE", 0.3, settings=["2", "0", "auto"], model="autoencoder", run_id="alone"),
    ]
    found = [one["run_id"] for one in comparison.newest(rows, level="easy")]
    assert found == ["new", "alike", "alone"]


def test_ami_without_some_tracks_is_that_of_the_others() -> None:
    one = noisy("a", wrong=0.4, rng=np.random.default_rng(5))
    left = one.ids[:30].tolist()
    expected = np.mean(
        [adjusted_mutual_info_score(one.labels[30:], clusters[30:]) for clusters in one.clusters]
    )
    assert comparison.ami_without(one, left) == pytest.approx(expected)
    assert comparison.ami_without(one, ["no such track"]) == comparison.ami_without(one, [])


def test_hard_begins_with_the_seeds_columns_and_keeps_oracles_below() -> None:
    rows = [
        row("CVAE + k-means", 0.1, "encode", model="cvae"),
        row("Multimodal+Genre + k-means", 1.0, "feature", model="multimodal_genre"),
        row("PCA + k-means", 0.5),
    ]
    frame = comparison.table(rows, level="hard")
    assert frame.columns[:7].tolist() == list(comparison.SEED_COLUMNS["hard"])
    assert frame["method"].iloc[0] == "PCA + k-means"
    assert frame["rank"].isna().tolist() == [False, True, True]


def test_the_champion_is_the_best_that_takes_audio_alone() -> None:
    rows = [
        row("oracle", 0.99, "encode", model="cvae"),
        row("of a file", 0.85, reads="theirs.npz", input="theirs.npz"),
        row("fused", 0.8, input="audio + lyrics(tfidf)", model="multimodal"),
        row("density", 0.7, algorithm="DBSCAN"),
        row("spectral", 0.65, model="spectral"),
        row("VAE", 0.6, model="vae", silhouette=0.1),
        row("PCA", 0.5, silhouette=0.4),
    ]
    best, passed, metric = comparison.champion(rows, metric="auto")
    assert metric == "ami"
    assert best["method"] == "VAE"
    over = [line.split(" (")[0] for line in passed]
    assert over == ["of a file", "fused", "density", "spectral"]
    assert comparison.champion(rows, metric="silhouette")[0]["method"] == "PCA"
    lower = [row("a", 0.1, davies_bouldin=2.0), row("b", 0.2, davies_bouldin=1.0)]
    assert comparison.champion(lower, metric="davies_bouldin")[0]["method"] == "b"
    unknown = [{**one, "ami": np.nan} for one in rows]
    assert comparison.champion(unknown, metric="auto")[0]["method"] == "PCA"
    for hopeless in (rows[:1], rows[:5], []):
        with pytest.raises(InputError, match="nothing to register"):
            comparison.champion(hopeless, metric="ami")
