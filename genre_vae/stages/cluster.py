"""An embedding -> clusters, once per seed, and how good they are."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from genre_vae.config import ClusterConfig, Counted, Given
from genre_vae.embedding import Embedding
from genre_vae.evaluation.table import Description
from genre_vae.files import write_array, write_json
from genre_vae.records import Assignment, FeatureSet, IntArray
from genre_vae.tracking.run import Run
from genre_vae.tracking.stage import Artifact, Recorder, stage


@dataclass(frozen=True, eq=False)
class Clustering:
    """Clusters over seeds, and the scores of each: ``seed`` and the metrics of
    `genre_vae.evaluation.metrics.score`.

    Parameters
    ----------
    stem
        The name, without suffix, of the file that holds the clusters.
    about
        What was clustered.
    assignment
        The clusters.
    halves : (h, draws, n)
        The clusters that halves of the tracks (`genre_vae.evaluation.intervals.halves_of`) make,
        `LEFT_OUT` for the other tracks; (0, draws, n) where halves have too few tracks.
    scores
        A row for each seed.
    """

    stem: str
    about: Description
    assignment: Assignment
    halves: IntArray
    scores: pd.DataFrame

    def save(self, folder: Path) -> None:
        """Write ``<stem>.npy`` (n, seeds), ``halves.npy`` (h, draws, n), ``members.csv`` and
        ``clustering.json``."""
        self.assignment.save(folder, self.stem)
        write_array(folder / "halves.npy", self.halves)
        self.scores.to_csv(folder / "members.csv", index=False)
        write_json(folder / "clustering.json", {"stem": self.stem, "about": self.about.tags()})

    @classmethod
    def load(cls, folder: Path) -> Clustering:
        """Read what `save` wrote."""
        about = json.loads((folder / "clustering.json").read_text("utf-8"))
        scores = pd.read_csv(folder / "members.csv")
        stem = about["stem"]
        halves = np.load(folder / "halves.npy", allow_pickle=False)
        assignment = Assignment.load(folder, stem)
        return cls(stem, Description.of(about["about"]), assignment, halves, scores)


@stage("cluster")
def assign(record: Recorder, embedding: Embedding, *, config: ClusterConfig) -> Clustering:
    """Clusters of an embedding, once per seed, scored, and the clusters of halves of its tracks,
    which tell how far the scores could have come out otherwise."""
    from genre_vae import clustering
    from genre_vae.evaluation import intervals, metrics
    from genre_vae.scaling import in_geometry

    first = embedding.first
    n_clusters = clustering.resolve_n_clusters(config.n_clusters, first)
    values = [in_geometry(embedding.member(number)) for number in range(config.seeds)]
    clusters, scores = [], []
    for z, seed in zip(values, config.numbers, strict=True):
        clusters.append(_clusters(z, seed, n_clusters, config))
        row = {"seed": seed, **metrics.score(z, clusters[-1], first.labels)}
        for name, which in first.groups.items():
            row |= metrics.of_group(clusters[-1], which, name)
        scores.append(row)
    halves, of_halves, share = _in_halves(first, values, n_clusters, config)

    about = _description(embedding, config)
    table = pd.DataFrame(scores)
    random = bool(embedding.seeds) or config.algorithm not in clustering.DETERMINISTIC
    record.metrics({"n_samples": len(first), "n_features": first.values.shape[1]})
    for name in table.columns.drop("seed"):
        record.metrics({name: float(table[name].to_numpy().mean())})
        if name in metrics.RANGES:
            limits = metrics.RANGES[name]
            found = intervals.interval(
                table[name], of_halves[name], share=share, random=random, limits=limits
            )
            record.metrics({f"{name}_{end}": value for end, value in found._asdict().items()})
    record.tags(about.tags())
    shown = ("ami", "nmi") if first.has_labels else ("silhouette",)
    counted = table["n_clusters"].mean()
    record.note = (
        f"{counted:g} cluster{'s' * int(counted != 1)} ({config.n_clusters_by}), "
        f"{table['noise'].mean():.0%} noise, "
        + ", ".join(f"{name} {table[name].mean():.3f}" for name in shown)
    )
    fused = embedding.stem.startswith("multimodal")
    return Clustering(
        "multimodal_clusters" if fused else "clusters",
        about,
        Assignment(about.method, first.ids, np.stack(clusters), first.labels, first.label_use),
        halves,
        table,
    )


def _clusters(
    values: npt.NDArray[np.floating], seed: int, n_clusters: int, config: ClusterConfig
) -> IntArray:
    from genre_vae import clustering

    return clustering.cluster(
        values, algorithm=config.algorithm, n_clusters=n_clusters, seed=seed, eps=config.eps
    )


def _in_halves(
    tracks: FeatureSet,
    values: Sequence[npt.NDArray[np.floating]],
    n_clusters: int,
    config: ClusterConfig,
) -> tuple[IntArray, dict[str, npt.NDArray[np.float64]], float]:
    """The clusters (h, draws, n) of halves of the tracks, every measure of them (h, draws), and the
    share of the tracks that each has.

    Each is clustered with the same seeds as all tracks, on the `values` (n, d) of each seed. There
    are none where they have fewer than two tracks for each cluster.
    """
    from genre_vae.evaluation import intervals, metrics

    ids = tracks.ids
    halves = intervals.halves_of(ids)
    share = float(halves.mean())
    if share * len(ids) < 2 * n_clusters:
        halves = halves[:0]
    draws = min(intervals.DRAWS, config.seeds)
    clusters = np.full((len(halves), draws, len(ids)), intervals.LEFT_OUT)
    scores = {name: np.empty((len(halves), draws)) for name in metrics.RANGES}
    for number, seed in enumerate(config.numbers[:draws]):
        z = values[number]
        for place, half in enumerate(halves):
            found = _clusters(z[half], seed, n_clusters, config)
            clusters[place, number, half] = found
            for name, value in metrics.measures(z[half], found, tracks.labels[half]).items():
                scores[name][place, number] = value
    scores["calinski_harabasz"] /= share  # it grows with the number of tracks
    return clusters, scores, share


def _description(embedding: Embedding, config: ClusterConfig) -> Description:
    first = embedding.first
    return Description(
        method=f"{embedding.title}{config.variant} + {config.algorithm}",
        model=f"{embedding.method}{config.variant}",
        algorithm=config.algorithm,
        reads=embedding.reads,
        input=" + ".join(embedding.inputs),
        origin="pretrained" if first.pretrained else "scratch",
        provenance=embedding.provenance,
        label_use=first.label_use,
        n_clusters_by=config.n_clusters_by,
        n_clusters_why=config.n_clusters_why,
    )


def cluster(
    run: Run,
    given: Given,
    embedding: Artifact[Embedding],
    algorithm: str,
    counted: Counted,
    *,
    variant: str = "",
) -> Artifact[Clustering]:
    """Clusters of an embedding; a `variant` is a row of its own beside the method's."""
    config = given.cluster(algorithm, counted, seeds=embedding.value.seeds, variant=variant)
    title = f"{embedding.value.title}{variant} + {algorithm}"
    return run.do(assign, embedding, config=config, title=title)
