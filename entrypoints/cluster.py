"""An embedding -> clusters, once per seed, and how good they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.cli import entry_point
from genre_vae.config import Given
from genre_vae.options import group

if TYPE_CHECKING:
    from genre_vae.tracking.run import Run


@entry_point(
    "cluster",
    *group("data", "input", "model", "cluster", "training", "condition", "convolutions"),
    *group("seeds", "workers"),
)
def main(run: Run, given: Given) -> None:
    """Cluster an embedding of a collection and score the clusters.

    What is not there yet, features and the trained model, is made first.
    """
    from genre_vae.stages.cluster import cluster
    from genre_vae.stages.count import count
    from genre_vae.stages.inputs import inputs
    from genre_vae.stages.train import train

    seen = inputs(run, given)
    counted = count(run, given, seen)
    embedding = train(run, given, seen, *given.single(), counted)
    cluster(run, given, embedding, given.algorithm, counted)


if __name__ == "__main__":
    main()
