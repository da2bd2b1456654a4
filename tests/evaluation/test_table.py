from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from genre_vae.clustering import ALGORITHMS
from genre_vae.evaluation.metrics import LABEL
from genre_vae.evaluation.table import (
    METRICS,
    SEED_COLUMNS,
    Description,
    Row,
    best,
    champion,
    compared,
    named,
    newest,
    scores,
    table,
)
from genre_vae.records import InputError, LabelUse
from tests.helpers import row

NAMES = {"pca": "RawFeatures_PCA", "vae": "VAE_Latents", "vae_lyrics": "VAE+Lyrics"}
UNLABELLED = dict.fromkeys([*LABEL, "nmi_chance"], np.nan)


def easy(*rows: Row) -> pd.DataFrame:
    return table(rows, level="easy", names={})


def audio_alone(one: Row) -> str | None:
    return None if one.about.input == "mfcc" else "it needs more than audio"


@pytest.mark.parametrize("label_use", list(LabelUse))
@pytest.mark.parametrize("text", ["", "VAE + k-means", "mel, first window", "été\n| = ;", "None"])
def test_a_description_comes_back_from_its_tags(text: str, label_use: LabelUse) -> None:
    names = [field.name for field in fields(Description) if field.name != "label_use"]
    texts = (f"{text}{number}" * bool(text) for number in range(len(names)))
    about = Description(**dict(zip(names, texts, strict=True)), label_use=label_use)
    assert Description.of(about.tags()) == about
    assert Description.of({**about.tags(), "stage": "cluster", "level": "hard"}) == about


def test_tags_are_the_fields_as_text() -> None:
    tags = row("VAE", 0.5, "encode", model="vae").about.tags()
    assert list(tags) == [field.name for field in fields(Description)]
    assert (tags["method"], tags["model"], tags["label_use"]) == ("VAE", "vae", "encode")


def test_missing_tags_are_empty_and_the_old_name_of_the_raw_model_is_known() -> None:
    empty = Description.of({})
    assert set(empty.tags().values()) == {"", "feature"}, "what is not known cannot rank"
    assert empty.label_use is LabelUse.FEATURE
    assert Description.of({"model": "spectral", "algorithm": "spectral"}).model == "raw"
    assert Description.of({"algorithm": "spectral"}).algorithm == "spectral"


def test_a_row_is_what_the_store_has_of_a_run() -> None:
    about = row("PCA", 0.5).about
    one = Row.of("1a2b", {"ami": 0.5}, about.tags(), {"seeds": "3", "seed": "7", "beta": "4"})
    assert one == Row("1a2b", about, {"ami": 0.5}, seeds=3, settings=("3", "7", None))
    assert one.metric("ami") == 0.5
    assert np.isnan(one.metric("nmi"))


def test_the_table_begins_with_the_seeds_columns() -> None:
    frame = easy(row("PCA + k-means", 0.5))
    assert frame.columns[:3].tolist() == ["method", "silhouette", "calinski_harabasz"]
    assert frame.columns.is_unique
    for name in (
        "ami_low",
        "ami_high",
        "ami_seeds",
        "ami_tracks",
        "nmi_chance",
        "seeds",
        "label_use",
        "rank",
        "run_id",
    ):
        assert name in frame


def test_the_best_label_free_row_ranks_first() -> None:
    frame = easy(row("a", 0.3), row("b", 0.5), row("c", 0.4))
    assert frame["method"].tolist() == ["b", "c", "a"]
    assert frame["rank"].tolist() == [1, 2, 3]
    first = best(frame)
    assert first is not None
    assert first["method"] == "b"


@pytest.mark.parametrize("label_use", ["train", "encode", "feature"])
def test_an_oracle_stands_below_without_a_rank_however_well_it_scores(label_use: str) -> None:
    frame = easy(row("oracle", 0.99, label_use), row("honest", 0.1))
    assert frame["method"].tolist() == ["honest", "oracle"]
    assert frame["rank"].tolist()[0] == 1
    assert frame["rank"].isna().tolist() == [False, True]
    first = best(frame)
    assert first is not None
    assert first["method"] == "honest"


def test_without_an_honest_row_nothing_is_best() -> None:
    assert best(easy(row("x", 0.9, "encode"))) is None


def test_without_genres_silhouette_ranks() -> None:
    rows = [
        row("a", np.nan, silhouette=0.1, **UNLABELLED),
        row("b", np.nan, silhouette=0.2, **UNLABELLED),
    ]
    assert easy(*rows)["method"].tolist() == ["b", "a"]


@pytest.mark.parametrize("level", SEED_COLUMNS)
@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_rows_does_not_matter(level: str, seed: int) -> None:
    rows = [
        row("a", 0.3),
        row("b", 0.5, origin="pretrained"),
        row("a", 0.3, run_id="equal but for its run"),
        row("c", np.nan),
        row("d", np.nan, n_clusters=np.nan),
        row("oracle", 0.9, "encode"),
        row("oracle", 0.9, "feature", run_id="another"),
        replace(row("e", 0.4), metrics={"n_samples": 80.0}),
    ]
    order = np.random.default_rng(seed).permutation(len(rows))
    pd.testing.assert_frame_equal(
        table([rows[place] for place in order], level=level, names=NAMES),
        table(rows, level=level, names=NAMES),
        check_exact=True,
    )


def test_numbers_survive_the_csv(tmp_path: Path) -> None:
    frame = easy(row("a", 1 / 3), row("b", 0.2, "feature"))
    frame.to_csv(tmp_path / "table.csv", index=False)
    again = pd.read_csv(tmp_path / "table.csv")
    assert again["ami"].tolist() == frame["ami"].tolist()
    assert again["rank"].tolist()[0] == 1
    assert np.isnan(again["rank"].tolist()[1])


def test_medium_names_its_rows_as_the_seed_did() -> None:
    rows = [
        row(f"{model} + {algorithm}", 0.4, model=model, algorithm=algorithm, n_features=16.0)
        for model in NAMES
        for algorithm in ALGORITHMS
    ]
    frame = table(rows, level="medium", names=NAMES)
    assert frame.columns[:8].tolist() == list(SEED_COLUMNS["medium"])
    assert len(frame) == len(NAMES) * len(ALGORITHMS)
    assert set(frame["dataset"]) == set(NAMES.values())
    assert (frame["adjusted_rand"] == frame["ari"]).all()
    assert (frame["n_features"] == 16).all()
    unnamed = table([row("x", 0.5, model="betavae"), *rows], level="medium", names=NAMES)
    assert unnamed["dataset"].isna().sum() == 1


def test_hard_begins_with_the_seeds_columns_and_keeps_oracles_below() -> None:
    rows = [
        row("CVAE + k-means", 0.1, "encode", model="cvae"),
        row("Multimodal+Genre + k-means", 1.0, "feature", model="multimodal_genre"),
        row("PCA + k-means", 0.5),
    ]
    frame = table(rows, level="hard", names={})
    assert frame.columns[:7].tolist() == list(SEED_COLUMNS["hard"])
    assert frame["method"].iloc[0] == "PCA + k-means"
    assert frame["rank"].isna().tolist() == [False, True, True]


def test_a_pretrained_best_row_is_compared_with_all_and_the_others_among_themselves() -> None:
    rows = [row("p", 0.9, origin="pretrained"), row("a", 0.5), row("b", 0.4)]
    groups = [group["method"].tolist() for group in compared(easy(*rows))]
    assert groups == [["p", "a", "b"], ["a", "b"]]
    assert [len(group) for group in compared(easy(*rows[1:]))] == [2]
    assert [len(group) for group in compared(easy(*rows[:2]))] == [2], "one row is no group"
    assert compared(easy(rows[0])) == []
    ranks = easy(*rows)["rank_in_origin"]
    assert ranks.tolist() == [1, 1, 2]


NAMED = [
    row("PCA + k-means", 0.5),
    row("PCA (musicnn) + k-means", 0.7),
    row("VAE + k-means", 0.6, model="vae"),
    row("CVAE + k-means", 0.9, "encode", model="cvae"),
    row("Raw + k-means", np.nan, model="raw"),
]


@pytest.mark.parametrize(
    ("name", "meant"),
    [("VAE + k-means", 2), ("VAE", 2), ("vae", 2), ("PCA", 0), ("PCA (musicnn)", 1)],
)
def test_a_row_is_named_by_its_name_its_title_or_its_key(name: str, meant: int) -> None:
    assert named(NAMED, name) is NAMED[meant]
    assert named(NAMED[::-1], name) is NAMED[meant]


@pytest.mark.parametrize("name", ["pca", "cvae", "raw", "Vae", "", "k-means"])
def test_a_name_of_no_row_or_of_two_says_what_there_is(name: str) -> None:
    with pytest.raises(InputError, match=f"against={name} is") as error:
        named(NAMED, name)
    assert "PCA (musicnn) + k-means; PCA + k-means" in str(error.value)
    assert ("VAE" in str(error.value)) == (name != "pca"), "of two rows only these are named"
    assert "CVAE" not in str(error.value), "oracles are compared with nothing"
    assert "\n" not in str(error.value)


def test_without_genres_no_row_can_be_named() -> None:
    with pytest.raises(InputError, match="against=pca is no ranked row with an AMI: there is none"):
        named([row("PCA", np.nan, **UNLABELLED)], "pca")


def test_of_several_runs_of_a_method_the_newest_counts() -> None:
    rows = [
        row("PCA + k-means", 0.1, run_id="new"),
        row("PCA + k-means", 0.9, run_id="old"),
        row("PCA + k-means, of another input", 0.9, reads="musicnn"),
        row("PCA + DBSCAN", 0.5, algorithm="DBSCAN"),
        row("VAE + k-means", 0.5, model="vae"),
        row("CVAE + k-means", 0.5, model="cvae"),
        row("VAE + spectral", 0.5, model="vae", algorithm="spectral"),
    ]
    found = newest(rows, models=("pca", "vae"), algorithms=("k-means", "DBSCAN"))
    assert [one.run_id for one in found] == ["new", *(rows[n].run_id for n in (2, 3, 4))]
    found = newest(rows, models={"vae": 1, "cvae": 2}, algorithms=["k-means"])
    assert [one.about.model for one in found] == ["vae", "cvae"]
    assert newest(rows, models=(), algorithms=("k-means",)) == []


def test_the_settings_of_the_newest_row_are_preferred() -> None:
    rows = [
        row("PCA + k-means", 0.1, settings="5 0 auto", run_id="new"),
        row("VAE + k-means", 0.2, settings="1 0 3", model="vae", run_id="other"),
        row("VAE + k-means", 0.3, settings="5 0 auto", model="vae", run_id="alike"),
        row("AE", 0.3, settings="2 0 auto", model="autoencoder", run_id="alone"),
    ]
    found = newest(rows, models=("pca", "vae", "autoencoder"), algorithms=("k-means",))
    assert [one.run_id for one in found] == ["new", "alike", "alone"]


def test_the_champion_is_the_best_that_can_serve() -> None:
    rows = [
        row("oracle", 0.99, "encode", model="cvae"),
        row("fused", 0.8, input="mfcc + lyrics(tfidf)", model="multimodal"),
        row("VAE", 0.6, model="vae", silhouette=0.1),
        row("PCA", 0.5, silhouette=0.4),
    ]
    first, passed, metric = champion(rows, metric=None, unservable=audio_alone)
    assert metric == "ami"
    assert first.about.method == "VAE"
    assert passed == ["fused (ami 0.800) is passed over: it needs more than audio"]
    by_silhouette, _, _ = champion(rows, metric="silhouette", unservable=audio_alone)
    assert by_silhouette.about.method == "PCA"
    for hopeless in (rows[:1], rows[:2], []):
        with pytest.raises(InputError, match="nothing to register"):
            champion(hopeless, metric="ami", unservable=audio_alone)


def test_davies_bouldin_is_best_when_low() -> None:
    rows = [row("a", 0.2, davies_bouldin=2.0), row("b", 0.1, davies_bouldin=1.0)]
    first, _, _ = champion(rows, metric="davies_bouldin", unservable=audio_alone)
    assert first.about.method == "b"


def test_without_genres_silhouette_chooses_the_champion() -> None:
    rows = [
        row("a", np.nan, silhouette=0.1, **UNLABELLED),
        row("b", np.nan, silhouette=0.4, **UNLABELLED),
    ]
    first, _, metric = champion(rows, metric=None, unservable=audio_alone)
    assert (first.about.method, metric) == ("b", "silhouette")
    with pytest.raises(InputError, match="no row that no label touched has a defined ami"):
        champion(rows, metric="ami", unservable=audio_alone)


def test_scores_are_the_defined_metrics_as_text() -> None:
    found = scores(row("a", 0.5, purity=np.nan))
    assert found["ami"] == "0.500 [0.400, 0.600] (seeds ± 0.020, tracks ± 0.090)"
    assert found["silhouette"] == "0.300"
    assert (found["seeds"], found["n_samples"]) == ("5", "100")
    assert set(found) - {"seeds", "n_samples"} <= set(METRICS)
    assert "purity" not in found
