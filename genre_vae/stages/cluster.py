"""An embedding -> clusters, once per seed, and how good they are."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from genre_vae.config import ClusterConfig, Given
from genre_vae.evaluation.table import Description
from genre_vae.files import write_json
from genre_vae.records import Assignment, Embedding
from genre_vae.tracking.run import Run
from genre_vae.tracking.stage import Artifact, Recorder, stage


@dataclass(frozen=True, eq=False)
class Clustering:
    """Clusters over seeds, and the scores of each: ``seed`` and the metrics of
    `genre_vae.evaluation.metrics.score`.

    `stem` is the name, without suffix, of the file that holds the clusters.
    """

    stem: str
    about: Description
    assignment: Assignment
    scores: pd.DataFrame

    def save(self, folder: Path) -> None:
        """Write ``<stem>.npy`` (n, seeds), ``members.csv`` and ``clustering.json``."""
        self.assignment.save(folder, self.stem)
        self.scores.to_csv(folder / "members.csv", index=False)
        write_json(folder / "clustering.json", {"stem": self.stem, "about": self.about.tags()})

    @classmethod
    def load(cls, folder: Path) -> Clustering:
        """Read what `save` wrote."""
        about = json.loads((folder / "clustering.json").read_text("utf-8"))
        scores = pd.read_csv(folder / "members.csv")
        stem = about["stem"]
        return cls(stem, Description.of(about["about"]), Assignment.load(folder, stem), scores)


@stage("cluster")
def assign(record: Recorder, embedding: Embedding, *, config: ClusterConfig) -> Clustering:
    """Clusters of an embedding, once per seed, scored."""
    from genre_vae import clustering
    from genre_vae.evaluation import metrics

    first = embedding.first
    n_clusters = clustering.resolve_n_clusters(config.n_clusters, first)
    clusters, scores = [], []
    for number, seed in enumerate(config.numbers):
        z = embedding.member(number)
        found = clustering.cluster(
            z.values, algorithm=config.algorithm, n_clusters=n_clusters, seed=seed, eps=config.eps
        )
        clusters.append(found)
        scores.append({"seed": seed, **metrics.score(z.values, found, z.labels)})

    about = _description(embedding, config)
    table = pd.DataFrame(scores)
    record.metrics({"n_samples": len(first), "n_features": first.values.shape[1]})
    for name in table.columns.drop("seed"):
        limits = metrics.RANGES.get(name, (-np.inf, np.inf))
        mean, low, high = metrics.interval(table[name], limits=limits)
        record.metrics({name: mean})
        if name in metrics.RANGES:
            record.metrics({f"{name}_low": low, f"{name}_high": high})
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
        table,
    )


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
    run: Run, given: Given, embedding: Artifact[Embedding], algorithm: str, *, variant: str = ""
) -> Artifact[Clustering]:
    """Clusters of an embedding; a `variant` is a row of its own beside the method's."""
    config = given.cluster(algorithm, seeds=embedding.value.seeds, variant=variant)
    title = f"{embedding.value.title}{variant} + {algorithm}"
    return run.do(assign, embedding, config=config, title=title)
