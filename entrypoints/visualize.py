"""An embedding and its clusters -> a map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from entrypoints.cluster import assignment_of, cluster, cluster_all, title_of
from entrypoints.embed import Inputs, inputs, words_of
from entrypoints.options import CONV, DATA, INPUT, LYRICS, SEEDS, TRAINING, Options, entry_point
from entrypoints.train import own_seeds, read
from genre_vae.records import FeatureSet, InputError, LabelUse, known_genres

if TYPE_CHECKING:
    from genre_vae.models.training import Fitted
    from genre_vae.report.figures import Reconstructed
    from genre_vae.tracking import Recorder, StageRun, Tracker

RECONSTRUCTED = 4  # tracks in the figure of reconstructions


def visualize(
    tracker: Tracker, options: Options, embedding: StageRun, clustering: StageRun, name: str
) -> StageRun:
    """The map of an embedding's first member, as the stage that writes ``<name>.png``."""

    def compute(record: Recorder) -> None:
        _map(record, options, embedding, clustering, name)

    return tracker.stage(
        "visualize",
        title=f"{name}.png",
        dataset=embedding.dataset,
        config={"name": name, "projection": options.projection, "seed": options.seed},
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
        visualize(tracker, options, embeddings[model], clusterings[model, "k-means"], name)
        for model, name in names.items()
        if model in embeddings
    ]


def draw(
    tracker: Tracker,
    options: Options,
    given: Inputs,
    embedding: StageRun,
    clustering: StageRun,
    *,
    beside: Sequence[StageRun] = (),
) -> StageRun:
    """The Hard level's figures of any embedding, as a stage: ``hard_task_latent_space.png``,
    ``hard_task_cluster_distribution.png`` where genres are known, and where the embedding is a
    trained model's ``hard_task_reconstructions.png``, with those of the models `beside`."""
    trained = [(stage, path) for stage in (embedding, *beside) if (path := _checkpoint(stage))]

    def compute(record: Recorder) -> None:
        from genre_vae.evaluation import comparison
        from genre_vae.models import training
        from genre_vae.report import figures

        _map(record, options, embedding, clustering, "hard_task_latent_space")
        assignment = assignment_of(clustering)
        title = f"{assignment.name}, {embedding.dataset.name}"
        if len(known_genres(assignment.labels)) > 1:
            figure = figures.cluster_distribution(
                assignment.labels,
                assignment.clusters[0],
                title=title,
                subtitle=_scores(clustering, labelled=True),
            )
            record.figure("hard_task_cluster_distribution.png", figure)
        if given.vectors.tags["reads"] == "musicnn":
            clusters = assignment.clusters[0]
            tags = words_of(given.vectors, assignment)
            table = comparison.cluster_table(assignment.labels, clusters, tags)
            table.to_csv(record.folder / "hard_task_clusters.csv", index=False)
            text = comparison.clusters_markdown(table, title=title)
            (record.folder / "hard_task_clusters.md").write_text(text, "utf-8")
        blocks = []
        for stage, path in trained:
            fitted = training.load(path)
            features = read(*_seen_by(stage, given))
            blocks.append(_reconstructed(fitted, features, title_of(stage)))
        if blocks:
            figure = figures.reconstructions(
                blocks, title=f"Tracks held out of the training, {embedding.dataset.name}"
            )
            record.figure("hard_task_reconstructions.png", figure)

    return tracker.stage(
        "visualize",
        title=f"hard_task figures of {title_of(embedding)}",
        dataset=embedding.dataset,
        config={"projection": options.projection, "seed": options.seed},
        inputs=[*given.stages, embedding, clustering, *(stage for stage, _ in trained)],
        compute=compute,
    )


def _seen_by(embedding: StageRun, given: Inputs) -> tuple[StageRun, str]:
    """The stage whose output a trained model saw, and what that is called.

    InputError if it is not what is given now.
    """
    name = embedding.tags["reads"]
    for stage in given.stages:
        if stage.run_id in embedding.tags["inputs"].split():
            return stage, name
    raise InputError(f"run {embedding.run_id} saw {name}: give the same input")


def _map(
    record: Recorder, options: Options, embedding: StageRun, clustering: StageRun, name: str
) -> None:
    from genre_vae.report import figures

    z = FeatureSet.load(embedding.folder, embedding.tags["output"])
    assignment = assignment_of(clustering)
    figure = figures.latent_map(
        z,
        assignment.clusters[0],
        title=f"{assignment.name}, {embedding.dataset.name}",
        subtitle=_scores(clustering, labelled=z.has_labels)
        + (f"; an oracle, label use {z.label_use}" if z.label_use > LabelUse.NONE else ""),
        seed=options.seed,
        projection=options.projection,
    )
    record.figure(f"{name}.png", figure)


def _scores(clustering: StageRun, *, labelled: bool) -> str:
    """How the first member scored, in a line."""
    import pandas as pd

    table = pd.read_csv(clustering.folder / "members.csv")
    scores = table.iloc[0]
    shown = ["silhouette", *(["ami", "ari"] if labelled else [])]
    which = f"seed {scores['seed']:.0f}" + f", one of {len(table)}" * (len(table) > 1)
    text = f"{which}: " + ", ".join(f"{metric} {scores[metric]:.2f}" for metric in shown)
    if labelled:
        text += f", nmi {scores['nmi']:.2f} (by chance {scores['nmi_chance']:.2f})"
    return text


def _checkpoint(embedding: StageRun) -> Path | None:
    """The weights of the first member, or None where nothing was trained that can decode."""
    if embedding.tags["model"] == "contrastive":
        return None
    return next(embedding.folder.glob("*_best.pth"), None)


def _reconstructed(fitted: Fitted, features: FeatureSet, model: str) -> Reconstructed:
    """Held-out tracks, each of another genre where there are genres, and what comes back."""
    from genre_vae.models import training
    from genre_vae.report import figures

    config = fitted.config
    held_out = ~training.split(features.ids, val_fraction=config.val_fraction, seed=config.seed)
    chosen: dict[str, str] = {}
    for track_id, genre in sorted(
        zip(features.ids[held_out].tolist(), features.labels[held_out].tolist(), strict=True)
    ):
        chosen.setdefault(genre or track_id, track_id)
    tracks = features.select(list(chosen.values())[:RECONSTRUCTED])
    back = training.reconstruct(fitted, tracks)
    names = [track_id.rpartition("/")[2] for track_id in tracks.ids.tolist()]
    if len(fitted.shape) > 1:
        middle = tracks.values.shape[1] // 2
        return figures.Reconstructed(
            *(model, names, tracks.values[:, middle, 0], back.values[:, middle, 0], "dB"),
            "log-mel spectrogram, mel bands over 3 s from the middle of the clip",
        )
    scaled, again = (fitted.scaler.transform(one.values) for one in (tracks, back))
    mfcc = features.name == "mfcc"
    rows = ("mean", "sd") if mfcc else (features.name,)
    shape = (len(names), len(rows), -1)
    axis = "MFCC statistics, coefficient by coefficient" if mfcc else "vectors, number by number"
    return figures.Reconstructed(
        *(model, names, scaled.reshape(shape), again.reshape(shape), "sd"),
        f"{axis}, standardised",
        rows,
    )


@entry_point(
    *(*DATA, *INPUT, "level", "run", "projection", "n_clusters"),
    *(*LYRICS, "lyrics_weight", *TRAINING, "condition_dim", *CONV, *SEEDS),
)
def main(tracker: Tracker, options: Options) -> None:
    """Draw the figures of a level, or the Hard level's of one run that made an embedding.

    What is not there yet, models and clusters, is made first.
    """
    from entrypoints import easy, hard, medium

    if options.run != "auto":
        given = inputs(tracker, options)
        found = tracker.finished(options.run, given.audio.dataset)
        if found.stage == "cluster":
            (embedding,) = tracker.inputs(found)
            draw(tracker, options, given, embedding, found)
        elif found.stage in ("train", "fuse"):
            own = own_seeds(found, options)
            draw(tracker, own, given, found, cluster(tracker, own, found))
        else:
            what = "runs of train, fuse and cluster can be drawn"
            raise InputError(f"run {options.run!r} is one of {found.stage}: {what}")
    elif options.level == "hard":
        hard.hard(tracker, options)
    else:
        level = {"easy": easy, "medium": medium}[options.level]
        embeddings = level.embeddings(tracker, options)
        clusterings = cluster_all(tracker, options, embeddings, ["k-means"])
        figures(tracker, options, level.FIGURES, embeddings, clusterings)


if __name__ == "__main__":
    main()
