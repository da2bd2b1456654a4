"""Charts of losses, clusters and tables. No function touches pyplot or a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
from scipy.optimize import linear_sum_assignment

from genre_vae.evaluation.metrics import RANGES, contingency
from genre_vae.records import IntArray, StrArray, known_genres
from genre_vae.report.style import COLORS, MARKERS, shortened


def loss_curves(histories: Mapping[int, Sequence[tuple[float, ...]]], *, title: str) -> Figure:
    """Training and validation loss of every member.

    Parameters
    ----------
    histories
        Seed -> its rows ``(epoch, train_loss, val_loss, ...)``.
    title
        What was trained.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    positive = True
    for member, (seed, rows) in enumerate(histories.items()):
        columns = np.array(rows, dtype=np.float64).T
        epoch, train, val = columns[:3]
        color = COLORS[member % len(COLORS)]
        best = int(val.argmin())
        axes.plot(epoch, train, color=color, lw=0.8, ls=":")
        axes.plot(epoch, val, color=color, lw=1.4, label=f"seed {seed}, best {epoch[best]:.0f}")
        axes.plot(epoch[best], val[best], "o", color=color, ms=5)
        positive = positive and min(train.min(), val.min()) > 0
    axes.set(xlabel="epoch", ylabel="loss per track", title=title)
    if positive:  # a log likelihood in nats may have either sign
        _log_scale(axes)
    axes.grid(alpha=0.2, which="both")
    if len(histories) <= len(COLORS):
        axes.legend(title="solid validation, dotted training", fontsize=8, title_fontsize=8)
    return figure


def cluster_distribution(
    labels: StrArray, clusters: IntArray, *, title: str, subtitle: str
) -> Figure:
    """Where the tracks of each genre went: a row per genre, shaded by its share, counts in it.

    Columns are in the order that puts as many tracks as possible on the diagonal; noise is last.

    Parameters
    ----------
    labels : (n,)
        Tracks without a genre (``""``) are left out.
    clusters : (n,)
        Numbers from 0; -1 is noise.
    title, subtitle
        What was clustered, and how it scored.
    """
    known = labels != ""
    genres, numbers = known_genres(labels), np.unique(clusters[known])
    counts = contingency(labels[known], clusters[known])
    inside = np.flatnonzero(numbers >= 0)
    rows, columns = linear_sum_assignment(counts[:, inside], maximize=True)
    matched = [int(inside[column]) for _, column in sorted(zip(rows, columns, strict=True))]
    rest = [column for column in range(len(numbers)) if column not in matched]
    order = [*matched, *sorted(rest, key=lambda column: numbers[column] < 0)]
    counts = counts[:, order]
    share = counts / counts.sum(axis=1, keepdims=True)

    size = 0.52 * np.array([len(order), len(genres)])
    figure = Figure(figsize=(max(8.0, 4.2 + size[0]), 2.6 + size[1]), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(share, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), count in np.ndenumerate(counts):
        if count:
            color = "white" if share[row, column] > 0.55 else "#222222"
            axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=9)
    sizes = counts.sum(axis=0)
    names = ["noise" if numbers[column] < 0 else str(numbers[column]) for column in order]
    axes.set_xticks(
        range(len(order)), [f"{n}\n({s})" for n, s in zip(names, sizes, strict=True)], fontsize=9
    )
    totals = counts.sum(axis=1)
    axes.set_yticks(
        range(len(genres)),
        [f"{shortened(genre)} ({total})" for genre, total in zip(genres, totals, strict=True)],
        fontsize=9,
    )
    axes.set_xlabel("cluster (tracks), in the order that fits the genres best")
    axes.set_ylabel("true genre (tracks)")
    axes.set_title(f"{shortened(title, 80)}\n", fontsize=13, fontweight="bold")
    axes.text(
        *(0.5, 1.02, subtitle), transform=axes.transAxes, ha="center", fontsize=9, color="#444444"
    )
    figure.colorbar(image, ax=axes, label="share of the genre's tracks", shrink=0.8)
    return figure


def comparison_chart(frame: pd.DataFrame, *, metric: str, title: str) -> Figure:
    """A table's rows as points with their intervals, oracle rows below a line.

    A thin bar is the interval over seeds and tracks together, a thick one that over seeds alone.
    Rows with a pretrained part have another colour than those from scratch.

    Parameters
    ----------
    frame
        A table of `genre_vae.evaluation.table`: best first, oracles last.
    metric
        One of its columns, with ``<metric>_low``, ``<metric>_high`` and ``<metric>_seeds``.
    title
        What was compared.
    """
    figure = Figure(figsize=(9.5, 1.8 + 0.42 * len(frame)), layout="constrained")
    axes = figure.subplots()
    colors = {"scratch": COLORS[0], "pretrained": COLORS[1]}
    oracle = frame["rank"].isna().to_numpy()
    places = np.arange(len(frame)) + 0.6 * oracle
    for place, is_oracle, (_, row) in zip(places, oracle, frame.iterrows(), strict=True):
        color = "#999999" if is_oracle else colors.get(row["origin"], COLORS[0])
        over_seeds = row[metric] + row[f"{metric}_seeds"] * np.array([-1, 1])
        ends = [row[f"{metric}_low"], row[f"{metric}_high"]]
        axes.plot(ends, [place] * 2, color=color, lw=1.2, alpha=0.8)
        axes.plot(np.clip(over_seeds, *RANGES[metric]), [place] * 2, color=color, lw=5, alpha=0.45)
        axes.plot(row[metric], place, "D" if is_oracle else "o", color=color, ms=6)
        axes.annotate(
            f"{row[metric]:.2f}", (row[metric], place), (0, 6), textcoords="offset points",
            fontsize=8, ha="center", color=color,
        )  # fmt: skip
    names = [
        f"{row['method']}  ({row['label_use']})" if is_oracle else row["method"]
        for is_oracle, (_, row) in zip(oracle, frame.iterrows(), strict=True)
    ]
    if oracle.any() and not oracle.all():
        line = places[oracle][0] - 0.8
        axes.axhline(line, color="#999999", lw=0.8, ls="--")
        axes.text(
            *(1.0, line, "oracles below: labels reached into them"),
            transform=axes.get_yaxis_transform(), fontsize=8, color="#777777", ha="right", va="top",
        )  # fmt: skip
    axes.axvline(0, color="#444444", lw=0.8)
    axes.set_yticks(places, names, fontsize=9)
    axes.set_ylim(places[-1] + 0.7, -0.8)
    chance = ", 0 is chance" if metric == "ami" else ""
    name = metric.upper() if chance else metric
    tracks, seeds = frame["n_samples"].min(), frame["seeds"].max()
    bars = (
        "95 % intervals: thin over seeds and tracks together, thick over seeds alone"
        if frame[f"{metric}_low"].notna().any()
        else "Too few seeds or tracks for an interval"
    )
    axes.set_xlabel(
        f"{name}: mean over {seeds} seed{'s' * bool(seeds > 1)}{chance}; {tracks} tracks.\n{bars}"
    )
    if frame.loc[~oracle, "origin"].nunique() > 1:
        for origin, name in (("scratch", "from scratch"), ("pretrained", "pretrained input")):
            axes.plot([], [], "o", color=colors[origin], ms=6, label=name)
        figure.legend(frameon=False, fontsize=9, loc="outside upper right", ncols=2)
    lowest, highest = frame[metric].min(), frame[metric].max()
    axes.set_xlim(min(-0.05, lowest - 0.1), min(1.05, highest + 0.35))
    axes.set_title(shortened(title, 90), fontsize=13, fontweight="bold", loc="left")
    axes.grid(axis="x", alpha=0.2)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure


def sweep_chart(frame: pd.DataFrame, *, title: str) -> Figure:
    """What the weight of the KL term does: scores above, the two terms of the objective below.

    Parameters
    ----------
    frame
        One row per ``beta``, with ``ami`` and ``silhouette`` and the ends of their intervals, and
        ``val_reconstruction`` and ``val_kl``.
    title
        What was trained.
    """
    figure = Figure(figsize=(7.5, 6), layout="constrained")
    scores, terms = figure.subplots(2, 1, sharex=True)
    at = np.arange(len(frame))
    for number, metric in enumerate(("ami", "silhouette")):
        low, high = frame[f"{metric}_low"], frame[f"{metric}_high"]
        scores.fill_between(at, low, high, color=COLORS[number], alpha=0.15, lw=0)
        scores.plot(at, frame[metric], MARKERS[number] + "-", color=COLORS[number], label=metric)
    banded = frame["silhouette_low"].notna().any()
    scores.set_ylabel("score (band: 95 % over seeds and tracks)" if banded else "score")
    scores.legend(frameon=False)
    names = {"val_reconstruction": "reconstruction error", "val_kl": "KL, not weighed"}
    _log_scale(terms)
    for number, (column, name) in enumerate(names.items()):
        style = MARKERS[number] + "-"
        terms.plot(at, frame[column], style, color=COLORS[4 + number], label=name)
    terms.set_ylabel("held-out loss per track")
    terms.set_xticks(at, [f"{beta:g}" for beta in frame["beta"]])
    terms.set_xlabel("beta (steps are not to scale)")
    terms.legend(frameon=False)
    for axes in (scores, terms):
        axes.grid(alpha=0.2)
    figure.suptitle(shortened(title, 80), fontsize=13, fontweight="bold")
    return figure


def _log_scale(axes: Axes) -> None:
    axes.set_yscale("log")
    for set_formatter in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        set_formatter(ScalarFormatter())  # 20, not 2 x 10^1
