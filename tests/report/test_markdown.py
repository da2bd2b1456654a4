from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest

from genre_vae.evaluation import metrics
from genre_vae.evaluation.artists import ArtistAudit
from genre_vae.evaluation.audit import audit
from genre_vae.evaluation.differences import Difference
from genre_vae.evaluation.metrics import LABEL
from genre_vae.evaluation.table import Row, table
from genre_vae.report.markdown import (
    audit_markdown,
    cluster_table,
    clusters_markdown,
    effect,
    first_member,
    markdown,
    placed_markdown,
    placed_table,
    statement,
    sweep_markdown,
)
from tests.helpers import blobs, row

PLACED = {
    "file": "a|b.wav",
    "cluster": 1,
    "genre": "rock",
    "genre_share": 0.5,
    "distance": 0.25,
    "percentile": 99.5,
    "unlike_anything": True,
    "neighbours": [
        {"track_id": f"rock/{n}.wav", "genre": "rock", "distance": n / 10} for n in range(4)
    ],
    "latent": [1.0, 2.0],
}
BROKEN = {"file": "c.wav", "error": "cannot be decoded"}


def shown(*rows: Row) -> str:
    return markdown(table(rows, level="easy", names={}))


def heads(text: str) -> list[str]:
    return [name.strip() for name in text.splitlines()[0].strip("|").split("|")]


def test_a_table_shows_mean_interval_and_chance() -> None:
    text = shown(row("a", 0.5))
    assert "0.500 ± 0.100" in text
    assert "± is half the 95 % interval over seeds and tracks together." in text
    assert "0.600 (0.200)" in text


def test_an_interval_that_the_range_cuts_is_shown_by_its_ends() -> None:
    assert "0.950 [0.850, 1.000]" in shown(row("a", 0.95, ami_high=1.0))
    assert "in brackets" in shown(row("a", 0.95, ami_high=1.0))


def test_two_seeds_have_no_interval_and_the_table_says_why() -> None:
    ends = dict.fromkeys(("ami_low", "ami_high", "ami_seeds"), np.nan)
    text = shown(row("a", 0.5, seeds=2, **ends))
    assert "2 seeds: too few for an interval." in text
    assert "±" not in text
    text = shown(row("a", 0.5, seeds=1, **ends), row("b", 0.5, seeds=2, **ends), row("c", 0.1))
    assert "1 or 2 seeds: too few for an interval." in text
    assert "deterministic" not in text


def test_too_few_tracks_have_no_interval_and_the_table_says_why() -> None:
    ends = dict.fromkeys(("ami_low", "ami_high", "ami_tracks"), np.nan)
    text = shown(row("a", 0.5, **ends))
    assert "Rows without ±: too few tracks for halves of them to be clustered." in text
    assert "seeds:" not in text
    assert "too few" not in shown(row("a", 0.5))


def test_a_deterministic_row_among_others_is_explained() -> None:
    text = shown(row("a", 0.5), row("b", 0.4, seeds=1, ami_seeds=0.0))
    assert "Rows with 1 seed are deterministic: their ± is over tracks alone." in text
    assert "too few" not in text
    assert "compare them with care" not in text


def test_nothing_is_minus_zero() -> None:
    ends = dict.fromkeys(("ami_low", "ami_high"), np.nan)
    assert "-0.000" not in shown(row("a", -1e-9, **ends))


def test_oracles_are_named_as_such() -> None:
    assert "oracle" not in shown(row("honest", 0.1))
    text = shown(row("honest", 0.1), row("cheat", 0.9, "feature"))
    assert "Rows without a rank are oracles" in text


def test_without_genres_a_table_says_that_silhouette_orders_it() -> None:
    unlabelled = dict.fromkeys([*LABEL, "nmi_chance"], np.nan)
    text = shown(*(row(name, np.nan, silhouette=0.1, **unlabelled) for name in "ab"))
    assert "in the order of silhouette" in text
    assert "chance" not in text
    assert "nmi" not in heads(text)


def test_noise_input_and_run_are_shown_where_they_differ() -> None:
    assert not {"noise", "input", "run"} & set(heads(shown(row("a", 0.5), row("b", 0.4))))
    assert "noise" in heads(shown(row("a", 0.5, noise=0.2)))
    assert "input" in heads(shown(row("a", 0.5), row("b", 0.4, input="audio + control(tfidf)")))
    assert "run" in heads(shown(row("a", 0.5, run_id="1"), row("a", 0.4, run_id="2")))


def test_a_pretrained_row_has_its_origin_and_says_where_it_comes_from() -> None:
    tagged = row("b", 0.4, origin="pretrained", provenance="musicnn, trained on MagnaTagATune")
    text = shown(row("a", 0.5), tagged)
    assert {"origin", "rank in origin"} <= set(heads(text))
    assert text.count("Input: musicnn, trained on MagnaTagATune.") == 1


def test_the_statement_names_both_kinds() -> None:
    found = [
        Difference("VAE", "PCA", 0.2, 0.1, 0.3, 100, 5),
        Difference("VAE", "CVAE", 0.05, -0.1, 0.2, 100, 5),
    ]
    text = statement(found)
    assert "AMI tells **VAE** apart from PCA (+0.20 [+0.10, +0.30])" in text
    assert "Within noise of **VAE**: CVAE (+0.05 [-0.10, +0.20])" in text
    assert "Within noise" not in statement(found[:1])
    assert "apart" not in statement(found[1:])
    fewer = [found[0], found[1]._replace(n_samples=80, seeds=1)]
    assert "+0.20], on the 80 tracks that both have)" in statement(fewer)
    assert "over seeds (paired)" in text
    assert "over seeds" not in statement(fewer)
    assert "for all pairs of these rows together (Bonferroni)" in text
    assert "not compared with each other" in text


def test_the_statement_asked_for_beforehand_says_what_it_is_corrected_for() -> None:
    found = [
        Difference("PCA", "VAE", -0.2, -0.3, -0.1, 100, 5),
        Difference("PCA", "CVAE", 0.05, -0.1, 0.2, 100, 5),
    ]
    text = statement(found, planned=True)
    assert text.startswith("Asked beforehand: AMI tells **PCA** apart from VAE (-0.20 [-0.30, -0.1")
    assert "these 2 comparisons together (Bonferroni)" in text
    assert "all pairs" not in text
    assert statement(found[1:], planned=True).startswith(
        "Asked beforehand: Within noise of **PCA**"
    )


def test_where_nothing_can_be_compared_the_statement_says_so() -> None:
    assert "No row is compared with another" in statement([])


def test_the_effect_of_faults_is_over_ranked_rows() -> None:
    frame = table([row("a", 0.5), row("b", 0.4), row("c", 0.9, "encode")], level="easy", names={})
    text = effect(frame.assign(ami_without_faults=[0.52, 0.34, 0.1]), n_faults=3)
    assert text.startswith("3 tracks in")
    assert "changes by -0.020 on average over the ranked rows and by -0.060 at most (b)" in text
    assert effect(frame.assign(ami_without_faults=0.5), n_faults=1).startswith("1 track in")


def test_a_sweep_is_in_the_order_of_its_rows_and_has_no_ranks() -> None:
    frame = table([row("beta 1", 0.5), row("beta 4", 0.6)], level="hard", names={})
    frame = frame.assign(beta=[4.0, 0.5], val_reconstruction=[1.0, 2.0], val_kl=[3.0, 0.125])
    lines = sweep_markdown(frame).splitlines()
    assert heads(lines[0])[0] == "beta"
    assert [line.split("|")[1].strip() for line in lines[2:]] == ["4", "0.5"]
    assert "rank" not in lines[0]
    assert "0.12" in lines[3]


def test_an_audit_shows_every_modality_with_its_reason() -> None:
    features, reference = blobs(40, groups=4), blobs(40, groups=4, seed=1)
    none = blobs(8, groups=4)
    found = {
        "mfcc": audit(features, reference, seed=0),
        "few": audit(none, reference.select(none.ids), seed=0),
    }
    artists = {"mfcc": ArtistAudit(0.625, 0.25), "few": ArtistAudit()}
    frame = pd.DataFrame(
        [{"modality": name, **asdict(one), **asdict(artists[name])} for name, one in found.items()]
    )
    text = audit_markdown(frame)
    assert "kNN" in text
    assert "0.62 (0.25)" in text
    assert "other artists" not in text, "none are known"
    for name, one in found.items():
        assert f"- {name}: **{one.verdict}**: {one.reason}." in text
    assert "nan" not in text


def test_a_cluster_table_counts_tracks_and_their_most_frequent_genre() -> None:
    labels = np.array(["rock", "rock", "pop", "", "", ""])
    clusters = np.array([0, 0, 0, 0, 1, 1])
    frame = cluster_table(labels, clusters, [["guitar", "loud"], ["piano"]])
    assert frame["tracks"].tolist() == [4, 2]
    assert frame["genre"].tolist() == ["rock", ""]
    assert frame["genre_share"][0] == 0.5
    assert np.isnan(frame["genre_share"][1])
    assert frame["words"].tolist() == ["guitar, loud", "piano"]
    text = clusters_markdown(frame, title="VAE + k-means")
    assert text.startswith("VAE + k-means\n\n")
    assert "rock (50%)" in text
    assert "nan" not in text


def test_answers_of_a_model_are_flat_in_a_table() -> None:
    frame = placed_table([PLACED, BROKEN])
    assert frame["file"].tolist() == ["a|b.wav", "c.wav"]
    assert frame["cluster"].isna().tolist() == [False, True]
    assert (frame["neighbour_4"][0], frame["distance_4"][0]) == ("rock/3.wav", 0.3)
    assert (frame["z0"][0], frame["z1"][0]) == (1, 2)
    assert frame["error"][1] == "cannot be decoded"
    assert placed_table([BROKEN]).columns.tolist() == ["file", "error"]


@pytest.mark.parametrize("tags", [[], ["guitar", "loud"]])
def test_answers_of_a_model_are_one_line_each(tags: list[str]) -> None:
    answer = {**PLACED, "words": tags} if tags else PLACED
    header, _, placed, broken, _, counted = placed_markdown([answer, BROKEN]).splitlines()
    assert counted == "1 of 2 files placed, the others with why."
    assert ("in words" in header) == ("guitar, loud" in placed) == bool(tags)
    assert "a\\|b.wav" in placed
    assert "rock (50% of the cluster)" in placed
    assert "0.25, percentile 100, unlike anything here" in placed
    assert placed.count(".wav (") == 3, "three neighbours"
    assert "cannot be decoded" in broken
    assert broken.count("|") == header.count("|")


@pytest.mark.parametrize("labelled", [True, False])
def test_a_subtitle_says_which_member_it_is_about(labelled: bool) -> None:
    features = blobs(40, groups=4)
    clusters = np.arange(40, dtype=np.int64) % 4
    score = metrics.score(features.values, clusters, features.labels)
    frame = pd.DataFrame([{"seed": 7, **score}, {"seed": 8, **score}])
    text = first_member(frame, labelled=labelled)
    assert text.startswith("seed 7, one of 2: silhouette 0.9")
    assert ("ami 1.00" in text) == ("by chance" in text) == labelled
    assert "one of" not in first_member(frame[:1], labelled=labelled)
