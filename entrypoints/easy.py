"""The Easy level: do a VAE's codes of MFCC statistics find genres better than PCA does?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.cluster import cluster
from entrypoints.compare import compare
from entrypoints.features import features
from entrypoints.options import Options, entry_point
from entrypoints.train import train
from entrypoints.visualize import visualize

if TYPE_CHECKING:
    from genre_vae.tracking import StageRun, Tracker


# The autoencoder stands between the two: the VAE's network without its variational part.
MODELS = ("pca", "autoencoder", "vae")
FIGURES = {model: f"easy_task_{model}_tsne" for model in MODELS}


def scored(
    tracker: Tracker, options: Options, source: StageRun, model: str
) -> tuple[StageRun, StageRun]:
    """A model's embedding and its clusters."""
    embedding = train(tracker, options, source, model)
    return embedding, cluster(tracker, options, embedding, model)


def easy(tracker: Tracker, options: Options) -> None:
    """Every stage of the level, in order."""
    source = features(tracker, options)
    pairs = {model: scored(tracker, options, source, model) for model in MODELS}
    maps = [
        visualize(tracker, options, *pairs[model], model=model, name=name)
        for model, name in FIGURES.items()
    ]
    table = compare(tracker, "easy", source.dataset, [clusters for _, clusters in pairs.values()])
    tracker.summary(table, maps)


@entry_point(
    *("data", "n_clusters", "latent_dim", "beta", "epochs", "patience", "batch_size", "lr"),
    *("seeds", "seed", "device", "workers"),
)
def main(tracker: Tracker, options: Options) -> None:
    """Easy level: PCA, an autoencoder and a VAE on MFCC statistics, each with k-means."""
    easy(tracker, options)


if __name__ == "__main__":
    main()
