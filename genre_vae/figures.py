"""Functions that return a matplotlib Figure. None of them touches pyplot or a file.

Colours are Okabe & Ito's and Tol's, told apart with the common colour deficiencies; every group
has a marker of its own as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import ScalarFormatter
from scipy.optimize import linear_sum_assignment
from threadpoolctl import threadpool_limits

from genre_vae.metrics import contingency
from genre_vae.records import FeatureSet, FloatArray, IntArray, StrArray, known_genres

COLORS = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6D1F", "#332288"),
    *("#AA4499", "#444444"),
)
MARKERS = "osD^vP*X<>"
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
    from sklearn.manifold import TSNE, trustworthiness

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
    neighbours = max(1, min(5, n // 2 - 1))
    return points, float(trustworthiness(flat, points, n_neighbors=neighbours))


def tsne_map(
    features: FeatureSet, clusters: IntArray, *, title: str, subtitle: str, seed: int
) -> Figure:
    """Clusters and true genres side by side on one t-SNE map of an embedding.

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
    """
    points, trust = tsne(features.values, seed=seed)
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
        f"t-SNE of {_plain(features.name, 80)}, {len(features)} tracks, "
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
