"""Audio and lyrics fused three ways, and with the genre itself as an oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.audit import audit
from entrypoints.cluster import cluster_all
from entrypoints.embed import Inputs, inputs
from entrypoints.evaluate import evaluate
from entrypoints.lyrics import lyrics, trusted
from entrypoints.options import DATA, INPUT, LYRICS, Options, entry_point
from entrypoints.train import how_many, member_folder, scaled
from genre_vae.records import InputError

if TYPE_CHECKING:
    from genre_vae.tracking import Recorder, StageRun, Tracker

ALGORITHMS = ("k-means", "agglomerative")
FUSIONS = ("multimodal_concatenate", "multimodal", "multimodal_late", "multimodal_genre")


def multimodal(
    tracker: Tracker, options: Options, given: Inputs, words: StageRun, audited: StageRun
) -> dict[str, StageRun]:
    """Vectors (MFCC statistics, if nothing else is given) and lyrics by the name of their fusion,
    each a stage that writes ``multimodal_features.npy``. Without genres there is no fusion with
    them."""
    labelled = given.load().has_labels
    return {
        fusion: _fuse(tracker, options, given, words, audited, fusion)
        for fusion in FUSIONS
        if labelled or fusion != "multimodal_genre"
    }


def _fuse(
    tracker: Tracker,
    options: Options,
    given: Inputs,
    words: StageRun,
    audited: StageRun,
    how: str,
) -> StageRun:
    weights = [1.0, options.lyrics_weight]
    config: dict[str, object] = {"model": how}
    seeds = [options.seed]
    if how != "multimodal_concatenate":
        config["lyrics_weight"] = options.lyrics_weight
    if how == "multimodal_late":  # the clusterings that it joins have seeds
        seeds = list(range(options.seed, options.seed + options.seeds))
        config |= {"seed": options.seed, "seeds": options.seeds, "n_clusters": options.n_clusters}

    def compute(record: Recorder) -> None:
        from genre_vae.features import fusion

        audio = given.load()
        sets = [audio, trusted(words, audited)]
        for seed in seeds:
            folder = member_folder(record.folder, seed, seeds[0])
            if how == "multimodal_concatenate":
                fused = fusion.concatenate(sets)
            elif how == "multimodal":
                fused = fusion.weighted(sets, weights)
            elif how == "multimodal_late":
                both, _ = fusion.join(sets)
                count = how_many(options.n_clusters, scaled(both), options.seed)
                fused = fusion.late(sets, weights, n_clusters=count, seed=seed)
            else:
                fused = fusion.weighted([*sets, fusion.one_hot(audio)], [*weights, 1.0])
            fused.save(folder, "multimodal_features")
        record.metrics({"tracks": len(fused), "dimensions": fused.values.shape[1]})
        record.tags({"label_use": fused.label_use})

    return tracker.stage(
        "fuse",
        title=how,
        dataset=given.audio.dataset,
        config=config,
        inputs=[given.vectors, words, audited],
        tags={
            "model": how,
            "reads": given.vectors.tags["reads"],
            "provenance": given.vectors.tags["provenance"],
            "output": "multimodal_features",
        },
        compute=compute,
    )


@entry_point(*DATA, *INPUT, "n_clusters", *LYRICS, "lyrics_weight", "seeds", "seed", "workers")
def main(tracker: Tracker, options: Options) -> None:
    """Cluster audio and lyrics together: side by side, weighted, by consensus, and with the genre.

    What is not there yet, features, lyrics and their audit, is made first.
    """
    given = inputs(tracker, options)
    words = lyrics(tracker, options, given.audio)
    if words is None:
        raise InputError("lyrics=none: there is nothing to fuse the audio with")
    audited = audit(tracker, options, given, words)
    fused = multimodal(tracker, options, given, words, audited)
    clusterings = cluster_all(tracker, options, fused, ALGORITHMS)
    evaluate(tracker, given.audio, list(clusterings.values()), shown=True)


if __name__ == "__main__":
    main()
