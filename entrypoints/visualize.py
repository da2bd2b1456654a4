"""An embedding and its clusters -> a map."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from entrypoints.cluster import cluster_all
from entrypoints.options import CONV, LYRICS, SEEDS, TRAINING, Options, entry_point
from entrypoints.train import latents
from genre_vae.records import Assignment, FeatureSet

if TYPE_CHECKING:
    from genre_vae.tracking import Recorder, StageRun, Tracker


def visualize(
    tracker: Tracker,
    options: Options,
    embedding: StageRun,
    clustering: StageRun,
    *,
    model: str,
    name: str,
) -> StageRun:
    """The t-SNE map of an embedding's first member, as the stage that writes ``<name>.png``."""

    def compute(record: Recorder) -> None:
        import pandas as pd

        from genre_vae import figures

        z = FeatureSet.load(embedding.folder, latents(model))
        assignment = Assignment.load(clustering.folder)
        scores = pd.read_csv(clustering.folder / "members.csv").iloc[0]
        shown = ["silhouette"]
        if z.has_labels:
            shown += ["ami", "ari"]
        members = len(assignment.clusters)
        which = f"seed {scores['seed']:.0f}" + f", one of {members}" * (members > 1)
        subtitle = f"{which}: " + ", ".join(f"{m} {scores[m]:.2f}" for m in shown)
        if z.has_labels:
            subtitle += f", nmi {scores['nmi']:.2f} (by chance {scores['nmi_chance']:.2f})"
        figure = figures.tsne_map(
            z,
            assignment.clusters[0],
            title=f"{assignment.name}, {embedding.dataset.name}",
            subtitle=subtitle,
            seed=options.seed,
        )
        record.figure(f"{name}.png", figure)

    return tracker.stage(
        "visualize",
        title=f"{name}.png",
        dataset=embedding.dataset,
        config={"name": name, "model": model, "seed": options.seed},
        inputs=[embedding, clustering],
        compute=compute,
    )


def figures(
    tracker: Tracker,
    options: Options,
    names: Mapping[str, str],
    embeddings: Mapping[str, StageRun],
    clusterings: Mapping[tuple[str, str], StageRun],
) -> list[StageRun]:
    """The maps of a level, model -> file name, each with its k-means clusters."""
    return [
        visualize(
            tracker,
            options,
            embeddings[model],
            clusterings[model, "k-means"],
            model=model,
            name=name,
        )
        for model, name in names.items()
        if model in embeddings
    ]


@entry_point(
    *("data", "level", "n_clusters", "eps"),
    *(*LYRICS, "lyrics_weight", *TRAINING, *CONV, *SEEDS),
)
def main(tracker: Tracker, options: Options) -> None:
    """Draw the figures of a level. What is not there yet, models and clusters, is made first."""
    from entrypoints import easy, medium

    level = {"easy": easy, "medium": medium}[options.level]
    found = level.embeddings(tracker, options)
    clusterings = cluster_all(tracker, options, found, ["k-means"])
    figures(tracker, options, level.FIGURES, found, clusterings)


if __name__ == "__main__":
    main()
