from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from genre_vae.records import InputError
from genre_vae.report import figures
from tests.helpers import blobs


def legends(figure: Figure) -> list[list[str]]:
    found = [axes.get_legend() for axes in figure.axes]
    return [[text.get_text() for text in legend.get_texts()] for legend in found if legend]


def draw(features: object, clusters: np.ndarray) -> Figure:
    return figures.latent_map(features, clusters, title="t", subtitle="s", seed=0)  # type: ignore[arg-type]


def test_a_map_has_clusters_and_genres_side_by_side() -> None:
    features = blobs(40, groups=4)
    figure = draw(features, np.arange(40) % 4)
    clusters, genres = legends(figure)
    assert genres == ["g0 (10)", "g1 (10)", "g2 (10)", "g3 (10)"]
    assert clusters == ["0: g0 100% (10)", "1: g1 100% (10)", "2: g2 100% (10)", "3: g3 100% (10)"]
    assert "trustworthiness" in figure.axes[0].get_xlabel()


def test_without_genres_there_is_one_panel() -> None:
    features = replace(blobs(40, groups=4), labels=np.full(40, ""))
    assert legends(draw(features, np.arange(40) % 2)) == [["0 (20)", "1 (20)"]]


def test_every_track_is_drawn_once_in_each_panel() -> None:
    figure = draw(blobs(45, groups=4), np.arange(45) % 3 - 1)  # one cluster is noise
    for axes in figure.axes:
        drawn = [np.asarray(points.get_offsets()) for points in axes.collections]
        assert len(np.concatenate(drawn)) == 45


@pytest.mark.parametrize("n", [4, 5, 12])
def test_few_tracks_can_be_mapped(n: int) -> None:
    points, trust = figures.tsne(blobs(n, groups=2).values, seed=0)
    assert points.shape == (n, 2)
    assert 0 <= trust <= 1


def test_a_map_keeps_distant_groups_apart_and_its_seed() -> None:
    features = blobs(60, groups=3)
    points, trust = figures.tsne(features.values, seed=0)
    again, _ = figures.tsne(features.values, seed=0)
    np.testing.assert_array_equal(points, again)
    assert trust > 0.85
    centres = np.stack([points[features.labels == g].mean(axis=0) for g in ("g0", "g1", "g2")])
    spread = max(points[features.labels == g].std() for g in ("g0",))
    assert np.linalg.norm(centres[0] - centres[1]) > 1.5 * spread / np.sqrt(2)


def test_a_cluster_takes_its_genres_colour() -> None:
    labels = blobs(40, groups=4).labels
    clusters = (np.arange(40) + 1) % 4  # g0 in cluster 1, ..., g3 in cluster 0
    assert figures.cluster_styles(labels, clusters) == {1: 0, 2: 1, 3: 2, 0: 3}


def test_surplus_clusters_get_colours_of_their_own() -> None:
    styles = figures.cluster_styles(blobs(40, groups=2).labels, np.arange(40) % 6)
    assert len(set(styles.values())) == 6


def test_colours_and_markers_tell_ten_groups_apart() -> None:
    assert len(set(figures.COLORS)) == len(figures.MARKERS) == 10
    colours = np.array([to_rgb(c) for c in figures.COLORS])
    distance = np.linalg.norm(colours[:, None] - colours, axis=2) + 10 * np.eye(10)
    assert distance.min() > 0.2


def test_loss_curves_mark_each_members_best_epoch() -> None:
    rows = [(1, 5.0, 6.0), (2, 4.0, 5.0), (3, 3.0, 5.5)]
    figure = figures.loss_curves({7: rows, 8: rows[:2]}, title="t")
    assert legends(figure) == [["seed 7, best 2", "seed 8, best 2"]]


def test_equal_rows_are_one_point_and_nothing_to_trust() -> None:
    points, trust = figures.tsne(np.ones((12, 4), np.float32), seed=0)
    assert (points == 0).all()
    assert np.isnan(trust)
    mostly = np.ones((12, 4), np.float32)
    mostly[3] = 2
    assert np.isfinite(figures.tsne(mostly, seed=0)[0]).all()


def test_names_are_shown_as_they_are_and_cut_where_too_long(tmp_path: object) -> None:
    labels = np.array(["a $x^{2$ b", "n" * 126])[np.arange(40) % 2]
    figure = draw(replace(blobs(40, groups=2), labels=labels), np.arange(40) % 2)
    figure.savefig(f"{tmp_path}/map.png")  # a formula that does not parse would raise here
    assert max(len(name) for legend in legends(figure) for name in legend) < 60


def test_tracks_without_a_genre_are_drawn_grey() -> None:
    features = blobs(40, groups=4)
    labels = features.labels.copy()
    labels[:5] = ""
    figure = draw(replace(features, labels=labels), np.arange(40) % 4)
    assert legends(figure)[1][-1] == "no genre (5)"
    grey = figure.axes[1].collections[-1]
    colour = np.asarray(grey.get_facecolor())[0, :3]
    assert np.allclose(colour, to_rgb(figures.NOISE_COLOR))


def test_a_cluster_that_has_most_of_another_genre_says_both() -> None:
    labels = np.array(["disco"] * 4 + ["pop"] * 11)
    clusters = np.array([0] * 4 + [0] * 6 + [1] * 5)
    features = replace(blobs(15, groups=2), labels=labels)
    found, _ = legends(draw(features, clusters))
    assert found == ["0: disco 40%, most pop 60% (10)", "1: pop 100% (5)"]


def test_many_members_leave_room_for_their_curves() -> None:
    rows = [(1, 5.0, 6.0), (2, 4.0, 5.0)]
    assert legends(figures.loss_curves(dict.fromkeys(range(40), rows), title="t")) == []


def test_the_distribution_is_ordered_to_the_diagonal() -> None:
    labels = np.repeat(np.array(["a", "b", "c"]), 10)
    clusters = np.repeat(np.array([2, 0, 1]), 10)  # each genre one cluster, in another order
    clusters[0] = -1
    figure = figures.cluster_distribution(labels, clusters, title="t", subtitle="s")
    axes = figure.axes[0]
    shares = np.asarray(axes.images[0].get_array())
    np.testing.assert_allclose(np.diag(shares[:, :3]), [0.9, 1, 1])
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    assert [text.get_text() for text in axes.get_xticklabels()] == [
        *("2\n(9)", "0\n(10)", "1\n(10)", "noise\n(1)")
    ]
    written = {
        (round(t.get_position()[0]), round(t.get_position()[1])): t.get_text()
        for t in axes.texts[:4]
    }
    assert written == {(0, 0): "9", (3, 0): "1", (1, 1): "10", (2, 2): "10"}


def test_more_clusters_than_genres_and_fewer_and_unknown_genres() -> None:
    labels = np.array(["a", "b", ""] * 8)
    for k in (1, 2, 5):
        clusters = np.arange(24) % k
        figure = figures.cluster_distribution(labels, clusters, title="t", subtitle="s")
        assert np.asarray(figure.axes[0].images[0].get_array()).shape == (2, k)


def test_reconstructions_show_original_result_and_signed_error() -> None:
    rng = np.random.default_rng(0)
    original = rng.normal(size=(3, 8, 12)).astype(np.float32)
    block = figures.Reconstructed(
        "VAE", ["x.wav", "y.wav", "z.wav"], original, original + 2, "dB", "mel"
    )
    short = figures.Reconstructed(
        *("AE", ["x.wav"], original[:1, :2], original[:1, :2], "sd", "mfcc", ("mean", "sd"))
    )
    figure = figures.reconstructions([block, short], title="t")
    panels = [axes for part in figure.subfigs for axes in part.axes if axes.images]
    images = [np.asarray(axes.images[0].get_array()) for axes in panels]
    np.testing.assert_array_equal(images[0], original[0])
    np.testing.assert_array_equal(images[3], original[0] + 2)
    np.testing.assert_allclose(images[6], 2, atol=1e-5)
    limits = panels[0].images[0].get_clim()
    assert limits == panels[3].images[0].get_clim() == (original.min(), original.max())
    low, high = panels[6].images[0].get_clim()
    assert low == -high
    assert "RMSE 2.00 dB" in panels[6].get_xlabel()


def test_the_chart_keeps_oracles_below_the_line() -> None:
    frame = pd.DataFrame(
        {
            "method": ["honest", "cheat"],
            "ami": [0.3, 0.9],
            "ami_low": [0.2, np.nan],
            "ami_high": [0.4, np.nan],
            "label_use": ["none", "feature"],
            "origin": ["scratch", "pretrained"],
            "n_samples": [100, 100],
            "seeds": [5, 5],
            "rank": pd.array([1, pd.NA], dtype="Int64"),
        }
    )
    axes = figures.comparison_chart(frame, metric="ami", title="t").axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["honest", "cheat  (feature)"]
    places = axes.get_yticks()
    line = next(t for t in axes.texts if "oracles" in t.get_text()).get_position()[1]
    assert places[0] < line < places[1], "the axis points down"
    assert axes.yaxis_inverted()


def test_umap_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(InputError, match=r"pip install 'genre-vae\[umap\]'"):
        figures.umap(np.eye(5), seed=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # numba's and umap's own, which change with every version
def test_umap_keeps_neighbours_together_and_depends_on_its_seed() -> None:
    pytest.importorskip("umap", reason="pip install 'genre-vae[umap]'")
    values = blobs(60, groups=3).values
    points, trust = figures.umap(values, seed=0)
    assert points.shape == (60, 2)
    assert trust > 0.8
    np.testing.assert_array_equal(points, figures.umap(values, seed=0)[0])
