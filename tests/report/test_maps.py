from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from genre_vae.records import FeatureSet, InputError, IntArray
from genre_vae.report import maps
from genre_vae.report.style import NOISE_COLOR
from tests.helpers import blobs
from tests.report.helpers import legends


def draw(features: FeatureSet, clusters: IntArray) -> Figure:
    return maps.latent_map(features, clusters, title="t", subtitle="s", seed=0)


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
    points, trust = maps.tsne(blobs(n, groups=2).values, seed=0)
    assert points.shape == (n, 2)
    assert 0 <= trust <= 1


def test_a_map_keeps_distant_groups_apart_and_its_seed() -> None:
    features = blobs(60, groups=3)
    points, trust = maps.tsne(features.values, seed=0)
    again, _ = maps.tsne(features.values, seed=0)
    np.testing.assert_array_equal(points, again)
    assert trust > 0.85
    centres = np.stack([points[features.labels == g].mean(axis=0) for g in ("g0", "g1", "g2")])
    spread = max(points[features.labels == g].std(axis=0).max() for g in ("g0", "g1", "g2"))
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert np.linalg.norm(centres[one] - centres[other]) > 1.5 * spread


def test_a_cluster_takes_its_genres_colour() -> None:
    labels = blobs(40, groups=4).labels
    clusters = (np.arange(40) + 1) % 4  # g0 in cluster 1, ..., g3 in cluster 0
    assert maps.cluster_styles(labels, clusters) == {1: 0, 2: 1, 3: 2, 0: 3}


def test_surplus_clusters_get_colours_of_their_own() -> None:
    styles = maps.cluster_styles(blobs(40, groups=2).labels, np.arange(40) % 6)
    assert len(set(styles.values())) == 6


def test_equal_rows_are_one_point_and_nothing_to_trust() -> None:
    points, trust = maps.tsne(np.ones((12, 4), np.float32), seed=0)
    assert (points == 0).all()
    assert np.isnan(trust)
    mostly = np.ones((12, 4), np.float32)
    mostly[3] = 2
    assert np.isfinite(maps.tsne(mostly, seed=0)[0]).all()


def test_names_are_shown_as_they_are_and_cut_where_too_long(tmp_path: Path) -> None:
    labels = np.array(["a $x^{2$ b", "n" * 126])[np.arange(40) % 2]
    figure = draw(replace(blobs(40, groups=2), labels=labels), np.arange(40) % 2)
    figure.savefig(tmp_path / "map.png")  # a formula that does not parse would raise here
    assert max(len(name) for legend in legends(figure) for name in legend) < 60


def test_tracks_without_a_genre_are_drawn_grey() -> None:
    features = blobs(40, groups=4)
    labels = features.labels.copy()
    labels[:5] = ""
    figure = draw(replace(features, labels=labels), np.arange(40) % 4)
    assert legends(figure)[1][-1] == "no genre (5)"
    grey = figure.axes[1].collections[-1]
    colour = np.asarray(grey.get_facecolor())[0, :3]
    assert np.allclose(colour, to_rgb(NOISE_COLOR))


def test_a_cluster_that_has_most_of_another_genre_says_both() -> None:
    labels = np.array(["disco"] * 4 + ["pop"] * 11)
    clusters = np.array([0] * 4 + [0] * 6 + [1] * 5)
    features = replace(blobs(15, groups=2), labels=labels)
    found, _ = legends(draw(features, clusters))
    assert found == ["0: disco 40%, most pop 60% (10)", "1: pop 100% (5)"]


def test_umap_without_the_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(InputError, match=r"pip install 'genre-vae\[umap\]'"):
        maps.umap(np.eye(5), seed=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # numba's and umap's own, which change with every version
def test_umap_keeps_neighbours_together_and_depends_on_its_seed() -> None:
    pytest.importorskip("umap", reason="pip install 'genre-vae[umap]'")
    values = blobs(60, groups=3).values
    points, trust = maps.umap(values, seed=0)
    assert points.shape == (60, 2)
    assert trust > 0.8
    np.testing.assert_array_equal(points, maps.umap(values, seed=0)[0])
