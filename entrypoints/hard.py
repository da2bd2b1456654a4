"""The Hard level: conditional and beta VAEs, fused modalities, and what can be said of them all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from entrypoints.audit import audit
from entrypoints.cluster import cluster_all
from entrypoints.compare import compare
from entrypoints.embed import Inputs, inputs
from entrypoints.evaluate import evaluate
from entrypoints.lyrics import lyrics
from entrypoints.medium import contrastive
from entrypoints.multimodal import multimodal
from entrypoints.options import CONV, DATA, INPUT, LYRICS, SEEDS, TRAINING, Options, entry_point
from entrypoints.register import register
from entrypoints.train import check_count, train
from entrypoints.visualize import draw
from genre_vae.evaluation.comparison import best, table

if TYPE_CHECKING:
    from genre_vae.tracking import Outcome, StageRun, Tracker

PLAIN = ("pca", "spectral", "autoencoder", "vae", "conv_vae")
CVAES: tuple[dict[str, Any], ...] = ({}, {"condition": "decoder"}, {"condition_on": "clusters"})


def embeddings(
    tracker: Tracker, options: Options, given: Inputs, words: StageRun | None, audited: StageRun
) -> dict[str, StageRun]:
    """The level's representations by model. Without genres those that are told them are left out,
    without lyrics the fused ones."""
    labelled = given.load().has_labels
    # numbers are for the BetaVAE and the contrastive ConvVAE
    own = replace(options, beta="auto", contrast="auto")
    stages = [train(tracker, own, given, model) for model in PLAIN]
    stages.append(train(tracker, options, given, "betavae"))
    for told in CVAES:
        if told.get("condition_on") == "clusters" or labelled:
            stages.append(train(tracker, replace(own, **told), given, "cvae"))
    found = {stage.tags["model"]: stage for stage in stages}
    found |= contrastive(tracker, replace(options, beta="auto"), given)
    if words is not None:
        found |= multimodal(tracker, options, given, words, audited)
    return found


def hard(tracker: Tracker, options: Options) -> Outcome:
    """Every stage of the level, in order."""
    given = inputs(tracker, options)
    source = given.audio
    check_count(options, given)
    words = lyrics(tracker, options, source)  # first: what is wrong with a file shows at once
    audited = audit(tracker, options, given, words)
    found = embeddings(tracker, options, given, words, audited)
    clusterings = cluster_all(tracker, options, found, ["k-means"])
    fused = {model: stage for model, stage in found.items() if model.startswith("multimodal")}
    more = cluster_all(tracker, options, fused, ["agglomerative"])
    evaluated = evaluate(tracker, source, [*clusterings.values(), *more.values()])
    compared = compare(tracker, "hard", source.dataset, list(clusterings.values()))
    rows = tracker.scored(source.dataset, [run.run_id for run in clusterings.values()])
    maps = figures(tracker, options, given, found, clusterings, rows)
    if options.register == "yes":
        register(tracker, options, source.dataset, rows)
    return compared, [evaluated, audited, maps]


def figures(
    tracker: Tracker,
    options: Options,
    given: Inputs,
    found: Mapping[str, StageRun],
    clusterings: Mapping[tuple[str, str], StageRun],
    rows: Sequence[Mapping[str, object]],
) -> StageRun:
    """The level's figures: of the trained model whose clusters rank highest, with the ConvVAE's
    reconstructions beside its own."""
    trained = [row for row in rows if found[str(row["model"])].stage == "train"]
    ranked = table(
        [row for row in trained if row["model"] not in ("pca", "spectral")], level="hard"
    )
    top = best(ranked)
    assert top is not None, "the VAE's row is ranked"
    model = next(row["model"] for row in trained if row["run_id"] == top["run_id"])
    return draw(
        tracker,
        options,
        given,
        found[str(model)],
        clusterings[str(model), "k-means"],
        beside=[found["vae" if model == "conv_vae" else "conv_vae"]],
    )


@entry_point(
    *(*DATA, *INPUT, "n_clusters", *LYRICS, "lyrics_weight", *TRAINING, "condition_dim"),
    *(*CONV, "projection", "register", "metric", *SEEDS),
)
def main(tracker: Tracker, options: Options) -> None:
    """Hard level: the seed's seven methods, three models of mel windows, three CVAEs and an oracle;
    an audit of what carries the label; and which differences are more than noise."""
    tracker.summary([hard(tracker, options)])


if __name__ == "__main__":
    main()
