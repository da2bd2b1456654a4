"""The Medium level: representations of audio alone and with lyrics, three clusterers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from entrypoints.audit import audit
from entrypoints.cluster import cluster_all
from entrypoints.compare import compare
from entrypoints.embed import Inputs, inputs
from entrypoints.lyrics import fuse, lyrics
from entrypoints.options import CONV, DATA, INPUT, LYRICS, SEEDS, TRAINING, Options, entry_point
from entrypoints.train import CONTRASTIVE, check_count, train
from entrypoints.visualize import figures
from genre_vae.evaluation.comparison import ALGORITHMS

if TYPE_CHECKING:
    from genre_vae.tracking import Outcome, StageRun, Tracker

FIGURES = {
    "conv_vae": "medium_task_conv_vae_tsne",
    "vae_lyrics": "medium_task_vae_lyrics_tsne",
    "conv_vae_lyrics": "medium_task_conv_vae_lyrics_tsne",
}


def embeddings(tracker: Tracker, options: Options) -> dict[str, StageRun]:
    """The level's representations by model; without lyrics, the three of audio alone."""
    given = inputs(tracker, options)
    check_count(options, given)
    words = lyrics(tracker, options, given.audio)  # first: what is wrong with a file shows at once
    audited = audit(tracker, options, given, words)
    own = replace(options, contrast="auto")  # a number is the contrastive ConvVAE's
    found = {model: train(tracker, own, given, model) for model in ("pca", "vae", "conv_vae")}
    found |= contrastive(tracker, options, given)
    if words is not None:
        for model in ("vae", "conv_vae"):
            found[f"{model}_lyrics"] = fuse(tracker, options, found[model], words, audited)
    return found


def contrastive(tracker: Tracker, options: Options, given: Inputs) -> dict[str, StageRun]:
    """The two models with a contrastive term, which needs more than the first window of a track;
    a weight of 0 leaves them out."""
    if options.mel_view == "first" or options.of("contrastive_vae")["contrast"] == 0:
        return {}
    own = {"contrastive_vae": options, "contrastive": replace(options, contrast="auto")}
    return {model: train(tracker, own[model], given, model) for model in CONTRASTIVE}


def medium(tracker: Tracker, options: Options) -> Outcome:
    """Every stage of the level, in order."""
    found = embeddings(tracker, options)
    clusterings = cluster_all(tracker, options, found, ALGORITHMS["medium"])
    maps = figures(tracker, options, FIGURES, found, clusterings)
    return compare(tracker, "medium", found["pca"].dataset, list(clusterings.values())), maps


@entry_point(
    *(*DATA, *INPUT, "n_clusters", "eps", *LYRICS, "lyrics_weight", *TRAINING, *CONV, *SEEDS),
)
def main(tracker: Tracker, options: Options) -> None:
    """Medium level: PCA, VAE, ConvVAE and two contrastive models, the middle two with lyrics as
    well, each with three clusterers."""
    tracker.summary([medium(tracker, options)])


if __name__ == "__main__":
    main()
