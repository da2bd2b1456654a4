"""The Medium level: five representations, audio alone and with lyrics, three clusterers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.audit import audit
from entrypoints.cluster import cluster_all
from entrypoints.compare import compare
from entrypoints.features import features
from entrypoints.lyrics import fuse, lyrics
from entrypoints.options import CONV, DATA, LYRICS, SEEDS, TRAINING, Options, entry_point
from entrypoints.train import check_count, train
from entrypoints.visualize import figures
from genre_vae.comparison import ALGORITHMS

if TYPE_CHECKING:
    from genre_vae.tracking import Outcome, StageRun, Tracker

FIGURES = {
    "conv_vae": "medium_task_conv_vae_tsne",
    "vae_lyrics": "medium_task_vae_lyrics_tsne",
    "conv_vae_lyrics": "medium_task_conv_vae_lyrics_tsne",
}


def embeddings(tracker: Tracker, options: Options) -> dict[str, StageRun]:
    """The level's representations by model; without lyrics, the three of audio alone."""
    source = features(tracker, options)
    check_count(options, source)
    words = lyrics(tracker, options, source)  # first: what is wrong with a file shows at once
    audited = audit(tracker, options, source, words)
    found = {model: train(tracker, options, source, model) for model in ("pca", "vae", "conv_vae")}
    if words is not None:
        for model in ("vae", "conv_vae"):
            found[f"{model}_lyrics"] = fuse(tracker, options, found[model], words, audited)
    return found


def medium(tracker: Tracker, options: Options) -> Outcome:
    """Every stage of the level, in order."""
    found = embeddings(tracker, options)
    clusterings = cluster_all(tracker, options, found, ALGORITHMS["medium"])
    maps = figures(tracker, options, FIGURES, found, clusterings)
    return compare(tracker, "medium", found["pca"].dataset, list(clusterings.values())), maps


@entry_point(
    *(*DATA, "n_clusters", "eps", *LYRICS, "lyrics_weight", *TRAINING, *CONV, *SEEDS),
)
def main(tracker: Tracker, options: Options) -> None:
    """Medium level: PCA, VAE and ConvVAE, alone and with lyrics, each with three clusterers."""
    tracker.summary([medium(tracker, options)])


if __name__ == "__main__":
    main()
