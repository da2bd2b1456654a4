"""Functions that return a matplotlib Figure. None of them touches pyplot or a file.

Colours are Okabe & Ito's and Tol's, told apart with the common colour deficiencies; every group
has a marker of its own as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import ScalarFormatter
from scipy.optimize import linear_sum_assignment
from threadpoolctl import threadpool_limits

from genre_vae.evaluation.metrics import contingency
from genre_vae.records import (
    FeatureSet,
    FloatArray,
    InputError,
    IntArray,
    StrArray,
    known_genres,
)

COLORS = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6D1F", "#332288"),
    *("#AA4499", "#444444"),
)
MARKERS = "osD^vP*X<>"
PROJECTIONS = {"tsne": "t-SNE", "umap": "UMAP"}
NOISE_COLOR = "#BBBBBB"
NO_STYLE = 10_000  # of noise and of tracks without a genre


def tsne(values: npt.NDArray[np.floating], *, seed: int) -> tuple[FloatArray, float]:
    """A t-SNE map (van der Maaten & Hinton, 2008) and its trustworthiness.

    Parameters
    ----------
    values : (n, d)
        At least four rows.
    seed
        Of the optimisation; it starts from the principal components.

    Returns
    -------
    map : (n, 2)
    trustworthiness
        In [0, 1]: how far the neighbours on the map are neighbours in the values (Venna & Kaski,
        2001), for up to 5 neighbours.
    """
    from sklearn.manifold import TSNE

    n = len(values)
    flat = np.asarray(values, dtype=np.float32).reshape(n, -1)
    if np.ptp(flat, axis=0).max() == 0:  # equal rows: one point, and nothing to trust
        return np.zeros((n, 2), dtype=np.float32), float("nan")
    flat = flat / flat.std()
    perplexity = min(30.0, (n - 1) / 3)
    with threadpool_limits(1):  # for some hundred points more threads only wait for each other
        points = TSNE(
            init="pca" if flat.shape[1] > 1 else "random", perplexity=perplexity, random_state=seed
        ).fit_transform(flat)
    return points, _trust(flat, points)


def umap(values: npt.NDArray[np.floating], *, seed: int) -> tuple[FloatArray, float]:
    """As `tsne`, by UMAP (McInnes, Healy & Melville, 2018), which is an extra.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        from umap import UMAP
    except ImportError as error:
        install = "pip install 'genre-vae[umap]'"
        raise InputError(f"projection=umap needs umap-learn: {install}") from error
    flat = np.asarray(values, dtype=np.float32).reshape(len(values), -1)
    mapper = UMAP(n_neighbors=min(15, len(flat) - 1), random_state=seed, n_jobs=1)
    points = np.asarray(mapper.fit_transform(flat), dtype=np.float32)
    return points, _trust(flat, points)


def _trust(flat: FloatArray, points: FloatArray) -> float:
    from sklearn.manifold import trustworthiness

    neighbours = max(1, min(5, len(flat) // 2 - 1))
    return float(trustworthiness(flat, points, n_neighbors=neighbours))


def latent_map(
    features: FeatureSet,
    clusters: IntArray,
    *,
    title: str,
    subtitle: str,
    seed: int,
    projection: str = "tsne",
) -> Figure:
    """Clusters and true genres side by side on one map of an embedding.

    Parameters
    ----------
    features : values (n, d)
    clusters : (n,)
        A cluster takes the colour of the genre it is matched to one-to-one, so that the two
        panels can be compared by eye. Without genres there is one panel.
    title, subtitle
        What was mapped, and how it scored.
    seed
        Of the map.
    projection
        ``tsne`` or ``umap``.
    """
    points, trust = {"tsne": tsne, "umap": umap}[projection](features.values, seed=seed)
    panels = 2 if features.has_labels else 1
    margins = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)
    figure = Figure(figsize=(7 * panels, 6.4), layout=margins)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    figure.suptitle(f"{_plain(title, 80)}\n", fontsize=14, fontweight="bold")
    figure.text(0.5, 0.943, subtitle, ha="center", va="top", fontsize=10, color="#444444")

    known = features.labels != ""
    genres = known_genres(features.labels)
    styles = cluster_styles(features.labels if features.has_labels else None, clusters)
    numbers = sorted(styles, key=styles.__getitem__)  # the legends of both panels in one order
    names = [_cluster_name(number, styles[number], clusters, features) for number in numbers]
    _scatter(axes[0], points, clusters, numbers, names, styles)
    how = ", coloured as the genre each fits best one to one" if panels == 2 else ""
    axes[0].set_title(f"{sum(number >= 0 for number in numbers)} clusters{how}", fontsize=11)
    if panels == 2:
        named = [f"{_plain(genre)} ({np.sum(features.labels == genre)})" for genre in genres]
        own = {genre: style for style, genre in enumerate(genres)}
        if not known.all():
            named.append(f"no genre ({np.sum(~known)})")
            own[""] = NO_STYLE
        _scatter(axes[1], points, features.labels, list(own), named, own)
        axes[1].set_title(f"{len(genres)} true genres", fontsize=11)
    axes[0].set_xlabel(
        f"{PROJECTIONS[projection]} of {_plain(features.name, 80)}, {len(features)} tracks, "
        f"trustworthiness {trust:.2f}: near means similar, far and size mean little",
        fontsize=8,
        loc="left",
    )
    return figure


def cluster_styles(labels: StrArray | None, clusters: IntArray) -> dict[int, int]:
    """A style number for each cluster: its matched genre's, and free ones for the rest.

    Parameters
    ----------
    labels : (n,) or None
        ``""`` where unknown.
    clusters : (n,)
        Noise (-1) keeps a style of its own, `NO_STYLE`.
    """
    numbers = np.unique(clusters[clusters >= 0]).tolist()
    styles: dict[int, int] = {}
    genres = [] if labels is None else known_genres(labels)
    if labels is not None:
        both = (labels != "") & (clusters >= 0)
        present, inside = known_genres(labels[both]), np.unique(clusters[both]).tolist()
        rows, columns = linear_sum_assignment(
            contingency(labels[both], clusters[both]), maximize=True
        )
        styles = {inside[c]: genres.index(present[r]) for r, c in zip(rows, columns, strict=True)}
    free = iter(range(len(genres), len(genres) + len(numbers)))
    styles |= {number: next(free) for number in numbers if number not in styles}
    return styles | ({-1: NO_STYLE} if np.any(clusters < 0) else {})


def _cluster_name(number: int, style: int, clusters: IntArray, features: FeatureSet) -> str:
    """``2: disco 29%, most pop 36% (14)``: the genre whose colour it has, the one it has most of
    where that is another, and its size."""
    members = features.labels[clusters == number]
    name, size = "noise" if number < 0 else f"{number}", f"({len(members)})"
    genres, counts = np.unique(members[members != ""], return_counts=True)
    if not features.has_labels or number < 0 or not len(genres):
        return f"{name} {size}"
    share = {g: c / len(members) for g, c in zip(genres.tolist(), counts.tolist(), strict=True)}
    every = known_genres(features.labels)
    own = every[style] if style < len(every) else None
    most = max(share, key=share.__getitem__)
    parts = []
    if own is not None:
        parts.append(f"{_plain(own, 14)} {share.get(own, 0):.0%}")
    if share[most] > share.get(own or "", 0):
        parts.append(f"most {_plain(most, 14)} {share[most]:.0%}")
    return f"{name}: {', '.join(parts)} {size}"


def _plain(text: str, longest: int = 22) -> str:
    """Text as it is: ``$`` would begin a formula; cut where it is too long for its place."""
    cut = text if len(text) <= longest else text[: longest - 1] + "…"
    return cut.replace("$", r"\$")


def _scatter(
    axes: Axes,
    points: FloatArray,
    groups: npt.NDArray[np.generic],
    keys: Sequence[object],
    names: Sequence[str],
    styles: Mapping[Any, int],
) -> None:
    for key, name in zip(keys, names, strict=True):
        style = styles[key]
        here = groups == key
        axes.scatter(
            points[here, 0],
            points[here, 1],
            s=38,
            color=NOISE_COLOR if style == NO_STYLE else COLORS[style % len(COLORS)],
            # beyond ten groups a colour comes again, with another marker
            marker=MARKERS[(style + style // len(COLORS)) % len(MARKERS)],
            edgecolors="white",
            linewidths=0.4,
            label=name,
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(
        loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False, borderaxespad=0.2
    )


def loss_curves(histories: Mapping[int, Sequence[tuple[float, ...]]], *, title: str) -> Figure:
    """Training and validation loss of every member.

    Parameters
    ----------
    histories
        For each seed its rows ``(epoch, train_loss, val_loss, ...)``.
    title
        What was trained.
    """
    figure = Figure(figsize=(7, 4.2), layout="constrained")
    axes = figure.subplots()
    for member, (seed, rows) in enumerate(histories.items()):
        columns = np.array(rows, dtype=np.float64).T
        epoch, train, val = columns[:3]
        color = COLORS[member % len(COLORS)]
        best = int(val.argmin())
        axes.plot(epoch, train, color=color, lw=0.8, ls=":")
        axes.plot(epoch, val, color=color, lw=1.4, label=f"seed {seed}, best {epoch[best]:.0f}")
        axes.plot(epoch[best], val[best], "o", color=color, ms=5)
    axes.set(xlabel="epoch", ylabel="loss per track", title=title)
    axes.set_yscale("log")
    for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        axis(ScalarFormatter())  # 20, not 2 x 10^1
    axes.grid(alpha=0.2, which="both")
    if len(histories) <= len(COLORS):
        axes.legend(title="solid validation, dotted training", fontsize=8, title_fontsize=8)
    return figure


def cluster_distribution(
    labels: StrArray, clusters: IntArray, *, title: str, subtitle: str
) -> Figure:
    """Where the tracks of each genre went: a row per genre, shaded by its share, counts in it.

    Parameters
    ----------
    labels : (n,)
        Tracks without a genre (``""``) are left out.
    clusters : (n,)
        In the order that puts as many tracks as possible on the diagonal; noise (-1) comes last.
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
        [f"{_plain(genre)} ({total})" for genre, total in zip(genres, totals, strict=True)],
        fontsize=9,
    )
    axes.set_xlabel("cluster (tracks), in the order that fits the genres best")
    axes.set_ylabel("true genre (tracks)")
    axes.set_title(f"{_plain(title, 80)}\n", fontsize=13, fontweight="bold")
    axes.text(
        *(0.5, 1.02, subtitle), transform=axes.transAxes, ha="center", fontsize=9, color="#444444"
    )
    figure.colorbar(image, ax=axes, label="share of the genre's tracks", shrink=0.8)
    return figure


class Reconstructed(NamedTuple):
    """Examples and what a model made of them: ``original`` and ``reconstruction`` (k, height,
    width) each, in one unit that ``unit`` names; ``model`` made it, ``names`` (k) are the tracks,
    ``rows`` what the vertical axis says at its ticks (none: it is not said)."""

    model: str
    names: Sequence[str]
    original: FloatArray
    reconstruction: FloatArray
    unit: str
    axis: str
    rows: Sequence[str] = ()


def reconstructions(blocks: Sequence[Reconstructed], *, title: str) -> Figure:
    """Originals, reconstructions and errors, a column per track and three rows per model."""
    columns = max(len(block.names) for block in blocks)
    heights = [0.85 if block.rows else 1.25 for block in blocks]
    figure = Figure(
        figsize=(max(9.0, 1.6 + 3.1 * columns), 1.0 + sum(3.3 * h + 0.8 for h in heights)),
        layout="constrained",
    )
    figure.suptitle(_plain(title, 100), fontsize=14, fontweight="bold")
    parts = figure.subfigures(len(blocks), 1, height_ratios=heights, squeeze=False)
    for part, block in zip(parts[:, 0], blocks, strict=True):
        error = block.reconstruction - block.original
        rmse = np.sqrt((error**2).mean(axis=(1, 2)))
        low, high = (float(f(block.original)) for f in (np.min, np.max))
        worst = float(np.abs(error).max())
        part.suptitle(f"{block.model}: {block.axis}", fontsize=11, color="#444444")
        grid = part.subplots(3, columns, squeeze=False)
        shown = {
            "original": (block.original, "magma", low, high),
            "reconstruction": (block.reconstruction, "magma", low, high),
            "error": (error, "RdBu_r", -worst, worst),
        }
        for line, (name, (images, cmap, least, most)) in zip(grid, shown.items(), strict=True):
            for column, axes in enumerate(line):
                axes.set_xticks([])
                axes.set_yticks([])
                if column >= len(block.names):
                    axes.set_axis_off()
                    continue
                image = axes.imshow(
                    images[column],
                    origin="upper" if block.rows else "lower",
                    aspect="auto",
                    cmap=cmap,
                    vmin=least,
                    vmax=most,
                )
                if name == "original":
                    axes.set_title(_plain(block.names[column], 34), fontsize=9)
                if name == "error":
                    axes.set_xlabel(f"RMSE {rmse[column]:.2f} {block.unit}", fontsize=8)
            line[0].set_ylabel(name, fontsize=9)
            if block.rows:
                line[0].set_yticks(range(len(block.rows)), block.rows, fontsize=7)
            part.colorbar(image, ax=line[len(block.names) - 1], label=block.unit, pad=0.02)
    return figure


def comparison_chart(frame: pd.DataFrame, *, metric: str, title: str) -> Figure:
    """A table's rows as points with their intervals, oracle rows below a line. Those with a
    pretrained part have another colour than those from scratch.

    Parameters
    ----------
    frame
        Of `comparison.table`: best first, oracles last.
    metric
        One of its columns, with ``<metric>_low`` and ``<metric>_high``.
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
        axes.plot(
            [row[f"{metric}_low"], row[f"{metric}_high"]], [place] * 2, color=color, lw=2, alpha=0.6
        )
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
    tracks, seeds = (f"{frame[c].min()}" for c in ("n_samples", "seeds"))
    axes.set_xlabel(
        f"{name}: mean and 95 % interval over {seeds} seeds{chance}; {tracks} tracks.\n"
        "Which tracks there are moves it more: see the words below the table"
    )
    if frame.loc[~oracle, "origin"].nunique() > 1:
        for origin, name in (("scratch", "from scratch"), ("pretrained", "pretrained input")):
            axes.plot([], [], "o", color=colors[origin], ms=6, label=name)
        figure.legend(frameon=False, fontsize=9, loc="outside upper right", ncols=2)
    lowest, highest = frame[metric].min(), frame[metric].max()
    axes.set_xlim(min(-0.05, lowest - 0.1), min(1.05, highest + 0.35))
    axes.set_title(_plain(title, 90), fontsize=13, fontweight="bold", loc="left")
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
        One row per ``beta``, with ``ami`` and ``silhouette`` and their ends over seeds, and
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
    scores.set_ylabel("score (band: 95 % over seeds)")
    scores.legend(frameon=False)
    names = {"val_reconstruction": "reconstruction error", "val_kl": "KL, not weighed"}
    terms.set_yscale("log")
    for axis in (terms.yaxis.set_major_formatter, terms.yaxis.set_minor_formatter):
        axis(ScalarFormatter())
    for number, (column, name) in enumerate(names.items()):
        style = MARKERS[number] + "-"
        terms.plot(at, frame[column], style, color=COLORS[4 + number], label=name)
    terms.set_ylabel("held-out loss per track")
    terms.set_xticks(at, [f"{beta:g}" for beta in frame["beta"]])
    terms.set_xlabel("beta (steps are not to scale)")
    terms.legend(frameon=False)
    for axes in (scores, terms):
        axes.grid(alpha=0.2)
    figure.suptitle(_plain(title, 80), fontsize=13, fontweight="bold")
    return figure
