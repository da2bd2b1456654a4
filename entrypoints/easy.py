"""The Easy level: do a VAE's codes of MFCC statistics find genres better than PCA does?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.cluster import cluster_all
from entrypoints.compare import compare
from entrypoints.embed import inputs
from entrypoints.options import DATA, INPUT, SEEDS, TRAINING, Options, entry_point
from entrypoints.train import check_count, train
from entrypoints.visualize import figures
from genre_vae.evaluation.comparison import ALGORITHMS

if TYPE_CHECKING:
    from genre_vae.tracking import Outcome, StageRun, Tracker


# The autoencoder stands between the two: the VAE's network without its variational part.
MODELS = ("pca", "autoencoder", "vae")
FIGURES = {model: f"easy_task_{model}_tsne" for model in MODELS}


def embeddings(tracker: Tracker, options: Options) -> dict[str, StageRun]:
    """The level's representations by model."""
    given = inputs(tracker, options)
    check_count(options, given)
    return {model: train(tracker, options, given, model) for model in MODELS}


def easy(tracker: Tracker, options: Options) -> Outcome:
    """Every stage of the level, in order."""
    found = embeddings(tracker, options)
    clusterings = cluster_all(tracker, options, found, ALGORITHMS["easy"])
    maps = figures(tracker, options, FIGURES, found, clusterings)
    return compare(tracker, "easy", found["pca"].dataset, list(clusterings.values())), maps


@entry_point(*DATA, *INPUT, "n_clusters", *TRAINING, *SEEDS)
def main(tracker: Tracker, options: Options) -> None:
    """Easy level: PCA, an autoencoder and a VAE on MFCC statistics, each with k-means."""
    tracker.summary([easy(tracker, options)])


if __name__ == "__main__":
    main()
