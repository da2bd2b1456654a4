from __future__ import annotations

import numpy as np
import pandas as pd

from genre_vae.evaluation.table import table
from genre_vae.report import charts
from tests.helpers import row
from tests.report.helpers import legends


def test_loss_curves_mark_each_members_best_epoch() -> None:
    rows = [(1, 5.0, 6.0), (2, 4.0, 5.0), (3, 3.0, 5.5)]
    figure = charts.loss_curves({7: rows, 8: rows[:2]}, title="t")
    assert legends(figure) == [["seed 7, best 2", "seed 8, best 2"]]


def test_many_members_leave_room_for_their_curves() -> None:
    rows = [(1, 5.0, 6.0), (2, 4.0, 5.0)]
    assert legends(charts.loss_curves(dict.fromkeys(range(40), rows), title="t")) == []


def test_the_distribution_is_ordered_to_the_diagonal() -> None:
    labels = np.repeat(np.array(["a", "b", "c"]), 10)
    clusters = np.repeat(np.array([2, 0, 1]), 10)  # each genre one cluster, in another order
    clusters[0] = -1
    figure = charts.cluster_distribution(labels, clusters, title="t", subtitle="s")
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
        figure = charts.cluster_distribution(labels, clusters, title="t", subtitle="s")
        assert np.asarray(figure.axes[0].images[0].get_array()).shape == (2, k)


def test_the_chart_keeps_oracles_below_the_line() -> None:
    frame = pd.DataFrame(
        {
            "method": ["honest", "cheat"],
            "ami": [0.3, 0.9],
            "ami_low": [0.2, np.nan],
            "ami_high": [0.4, np.nan],
            "ami_seeds": [0.02, np.nan],
            "label_use": ["none", "feature"],
            "origin": ["scratch", "pretrained"],
            "n_samples": [100, 100],
            "seeds": [5, 5],
            "rank": pd.array([1, pd.NA], dtype="Int64"),
        }
    )
    axes = charts.comparison_chart(frame, metric="ami", title="t").axes[0]
    names = [label.get_text() for label in axes.get_yticklabels()]
    assert names == ["honest", "cheat  (feature)"]
    places = axes.get_yticks()
    line = next(t for t in axes.texts if "oracles" in t.get_text()).get_position()[1]
    assert places[0] < line < places[1], "the axis points down"
    assert axes.yaxis_inverted()


def test_a_thin_bar_is_the_interval_and_a_thick_one_that_over_seeds_alone() -> None:
    honest = row("a", 0.9, ami_high=1.0, ami_seeds=0.15)
    frame = table([honest, row("b", 0.4)], level="hard", names={})
    axes = charts.comparison_chart(frame, metric="ami", title="t").axes[0]
    bars = [
        (line.get_linewidth(), np.asarray(line.get_xdata(), dtype=float))
        for line in axes.lines
        if len(np.atleast_1d(line.get_xdata())) == 2 and np.ptp(np.asarray(line.get_ydata())) == 0
    ]
    thin, thick = [ends for _, ends in sorted(bars[:2], key=lambda bar: bar[0])]
    np.testing.assert_allclose(thin, [0.8, 1.0])
    np.testing.assert_allclose(thick, [0.75, 1.0])  # the metric's range cuts it
    assert "thin over seeds and tracks together, thick over seeds alone" in axes.get_xlabel()
    bare = dict.fromkeys(("ami_low", "ami_high", "ami_seeds"), np.nan)
    frame = table([row("a", 0.5, seeds=2, **bare)], level="hard", names={})
    axes = charts.comparison_chart(frame, metric="ami", title="t").axes[0]
    assert "Too few" in axes.get_xlabel()
