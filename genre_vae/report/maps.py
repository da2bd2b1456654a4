"""Maps of embeddings in two dimensions. No function touches pyplot or a file.

Axes: ``n`` tracks, ``d`` dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
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
from genre_vae.report.style import NO_STYLE, color_of, marker_of, shortened
from genre_vae.scaling import in_geometry

PROJECTIONS = {"tsne": "t-SNE", "umap": "UMAP"}
Key = TypeVar("Key", int, str)  # of a group: a cluster's number, or a genre


def tsne(values: npt.NDArray[np.floating], *, seed: int) -> tuple[FloatArray, float]:
    """A t-SNE map (van der Maaten & Hinton, 2008) and its trustworthiness.

    Parameters
    ----------
    values : (n, d)
        At least four rows.
    seed
        Random seed of the optimisation, which starts from the principal components.

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
    if np.ptp(flat, axis=0).max() == 0:  # equal rows are one point, and nothing can be trusted
        return np.zeros((n, 2), dtype=np.float32), float("nan")
    flat = flat / flat.std()
    perplexity = min(30.0, (n - 1) / 3)
    with threadpool_limits(1):  # with some hundred points more threads only wait for each other
        points = TSNE(
            init="pca" if flat.shape[1] > 1 else "random", perplexity=perplexity, random_state=seed
        ).fit_transform(flat)
    return points, _trust(flat, points)


def umap(values: npt.NDArray[np.floating], *, seed: int) -> tuple[FloatArray, float]:
    """A UMAP map (McInnes, Healy & Melville, 2018) and its trustworthiness.

    Parameters and returned values are those of `tsne`.

    Raises
    ------
    InputError
        If umap-learn, an extra of this package, is not installed.
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
        The embedding.
    clusters : (n,)
        Numbers from 0; -1 is noise. A cluster takes the colour of the genre it is matched to
        one-to-one, so that the two panels can be compared by eye. Without genres there is one
        panel.
    title, subtitle
        What was mapped, and how it scored.
    seed
        Random seed of the map.
    projection : {"tsne", "umap"}
        How the map is made.
    """
    points, trust = {"tsne": tsne, "umap": umap}[projection](in_geometry(features), seed=seed)
    panels = 2 if features.has_labels else 1
    margins = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08)
    figure = Figure(figsize=(7 * panels, 6.4), layout=margins)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    figure.suptitle(f"{shortened(title, 80)}\n", fontsize=14, fontweight="bold")
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
        named = [f"{shortened(genre)} ({np.sum(features.labels == genre)})" for genre in genres]
        own = {genre: style for style, genre in enumerate(genres)}
        if not known.all():
            named.append(f"no genre ({np.sum(~known)})")
            own[""] = NO_STYLE
        _scatter(axes[1], points, features.labels, list(own), named, own)
        axes[1].set_title(f"{len(genres)} true genres", fontsize=11)
    axes[0].set_xlabel(
        f"{PROJECTIONS[projection]} of {shortened(features.name, 80)}, {len(features)} tracks, "
        f"trustworthiness {trust:.2f}: near means similar, far and size mean little",
        fontsize=8,
        loc="left",
    )
    return figure


def cluster_styles(labels: StrArray | None, clusters: IntArray) -> dict[int, int]:
    """A style number for each cluster: its matched genre's, and free ones for the rest.

    Clusters and genres are matched one-to-one so that as many tracks as possible are on both sides
    of a match (Kuhn, 1955). The style number of a genre is its place in sorted order.

    Parameters
    ----------
    labels : (n,) or None
        ``""`` where unknown.
    clusters : (n,)
        Numbers from 0; noise (-1) has the style `NO_STYLE`.

    Returns
    -------
    dict
        Cluster number -> style number.
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
    """A cluster's entry in the legend, e.g. ``2: disco 29%, most pop 36% (14)``.

    It has the genre whose colour the cluster takes, the most frequent genre where that is another,
    and the cluster's size.
    """
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
        parts.append(f"{shortened(own, 14)} {share.get(own, 0):.0%}")
    if share[most] > share.get(own or "", 0):
        parts.append(f"most {shortened(most, 14)} {share[most]:.0%}")
    return f"{name}: {', '.join(parts)} {size}"


def _scatter(
    axes: Axes,
    points: FloatArray,
    groups: npt.NDArray[np.generic],
    keys: Sequence[Key],
    names: Sequence[str],
    styles: Mapping[Key, int],
) -> None:
    """Draw points (n, 2) by the group (n,) they are in; `keys` and `names` are in the order of the
    legend."""
    for key, name in zip(keys, names, strict=True):
        style = styles[key]
        here = groups == key
        axes.scatter(
            points[here, 0],
            points[here, 1],
            s=38,
            color=color_of(style),
            marker=marker_of(style),
            edgecolors="white",
            linewidths=0.4,
            label=name,
        )
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(
        loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8, frameon=False, borderaxespad=0.2
    )
