"""Functions that return a matplotlib Figure. None of them touches pyplot or a file.

Colours are Okabe & Ito's and Tol's, told apart with the common colour deficiencies; every group
has a marker of its own as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import ScalarFormatter
from scipy.optimize import linear_sum_assignment
from threadpoolctl import threadpool_limits

from genre_vae.metrics import contingency
from genre_vae.records import FeatureSet, FloatArray, IntArray, StrArray

COLORS = (
    *("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00", "#8C6D1F", "#332288"),
    *("#AA4499", "#444444"),
)
MARKERS = "osD^vP*X<>"
NOISE_COLOR = "#BBBBBB"


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
    figure = Figure(figsize=(7 * panels, 6.4), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    figure.suptitle(f"{title}\n", fontsize=14, fontweight="bold")
    figure.text(0.5, 0.955, subtitle, ha="center", va="top", fontsize=10, color="#444444")

    genres = np.unique(features.labels) if features.has_labels else np.array([], dtype=str)
    styles = cluster_styles(features.labels if features.has_labels else None, clusters)
    names = [_cluster_name(number, clusters, features) for number in np.unique(clusters)]
    _scatter(axes[0], points, clusters, np.unique(clusters).tolist(), names, styles)
    axes[0].set_title(f"clusters ({len(np.unique(clusters[clusters >= 0]))})")
    if panels == 2:
        named = [f"{genre} ({np.sum(features.labels == genre)})" for genre in genres]
        own = {genre: style for style, genre in enumerate(genres.tolist())}
        _scatter(axes[1], points, features.labels, genres.tolist(), named, own)
        axes[1].set_title(f"true genres ({len(genres)})")
    axes[0].set_xlabel(
        f"t-SNE of {features.name}, {len(features)} tracks, trustworthiness {trust:.2f}: "
        "near means similar, far and size mean little",
        fontsize=8,
        loc="left",
    )
    return figure


def cluster_styles(labels: StrArray | None, clusters: IntArray) -> dict[int, int]:
    """A style number for each cluster: its matched genre's, and free ones for the rest.

    Parameters
    ----------
    labels : (n,) or None
    clusters : (n,)
    """
    numbers = np.unique(clusters).tolist()
    styles: dict[int, int] = {}
    if labels is not None:
        genres, columns = linear_sum_assignment(contingency(labels, clusters), maximize=True)
        styles = {
            numbers[column]: int(genre) for genre, column in zip(genres, columns, strict=True)
        }
    free = iter(sorted(set(range(len(numbers) + len(styles))) - set(styles.values())))
    return {number: styles[number] if number in styles else next(free) for number in numbers}


def _cluster_name(number: int, clusters: IntArray, features: FeatureSet) -> str:
    members = features.labels[clusters == number]
    name = "noise" if number < 0 else f"{number}"
    if not features.has_labels:
        return f"{name} ({len(members)})"
    genres, counts = np.unique(members, return_counts=True)
    return f"{name}: {counts.max() / len(members):.0%} {genres[counts.argmax()]} ({len(members)})"


def _scatter(
    axes: Axes,
    points: FloatArray,
    groups: npt.NDArray[np.generic],
    keys: Sequence[object],
    names: Sequence[str],
    styles: Mapping[object, int] | Mapping[int, int] | Mapping[str, int],
) -> None:
    for key, name in zip(keys, names, strict=True):
        style = styles[key]  # type: ignore[index]
        here = groups == key
        axes.scatter(
            points[here, 0],
            points[here, 1],
            s=38,
            color=NOISE_COLOR if key == -1 else COLORS[style % len(COLORS)],
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
    axes.set(xlabel="epoch", ylabel="loss per track (squared error + beta KL)", title=title)
    axes.set_yscale("log")
    for axis in (axes.yaxis.set_major_formatter, axes.yaxis.set_minor_formatter):
        axis(ScalarFormatter())  # 20, not 2 x 10^1
    axes.grid(alpha=0.2, which="both")
    axes.legend(title="solid validation, dotted training", fontsize=8, title_fontsize=8)
    return figure
