"""An embedding and its clusters -> maps, where each genre went, and reconstructions."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genre_vae.config import Given, MapConfig
from genre_vae.embedding import Embedding
from genre_vae.models.config import WITHOUT_DECODER
from genre_vae.records import FeatureSet, InputError, LabelUse, known_genres
from genre_vae.scaling import read
from genre_vae.stages.cluster import Clustering
from genre_vae.stages.collect import Collection
from genre_vae.stages.inputs import Inputs, InputVectors
from genre_vae.tracking.run import Run
from genre_vae.tracking.stage import Artifact, Recorder, stage

if TYPE_CHECKING:
    from genre_vae.report.reconstructions import Reconstructed


@dataclass(frozen=True)
class Figures:
    """The names of figures and tables; the stage has written them itself."""

    names: tuple[str, ...]

    def save(self, folder: Path) -> None:
        """Nothing is left to write."""

    @classmethod
    def load(cls, folder: Path) -> Figures:
        """The files in a folder."""
        return cls(tuple(sorted(path.name for path in folder.iterdir())))


@stage("visualize")
def draw_map(
    record: Recorder, embedding: Embedding, clustering: Clustering, *, config: MapConfig
) -> Figures:
    """The map of an embedding's first member: ``<name>.png``."""
    return Figures((_map(record, embedding, clustering, config),))


@stage("visualize")
def draw_all(
    record: Recorder,
    audio: Collection,
    vectors: InputVectors | None,
    embedding: Embedding,
    clustering: Clustering,
    beside: Sequence[Embedding],
    *,
    config: MapConfig,
) -> Figures:
    """The Hard level's figures of an embedding.

    The map; where genres are known, the distribution of each over the clusters; where a tagger
    made the vectors, the clusters in its tags; and the reconstructions by the models that can
    decode, the embedding's own and those `beside`.
    """
    from genre_vae.report import charts, markdown, reconstructions

    made = [_map(record, embedding, clustering, config)]
    assignment = clustering.assignment
    labels, clusters = assignment.labels, assignment.clusters[0]
    title = f"{assignment.name}, {config.collection}"
    if len(known_genres(labels)) > 1:
        subtitle = markdown.first_member(clustering.scores, labelled=True)
        figure = charts.cluster_distribution(labels, clusters, title=title, subtitle=subtitle)
        record.figure("hard_task_cluster_distribution.png", figure)
        made.append("hard_task_cluster_distribution.png")
    if vectors is not None and vectors.tags is not None:
        from genre_vae.features.tags import cluster_tags

        tags = cluster_tags(vectors.tags.select(assignment.ids).values, clusters)
        table = markdown.cluster_table(labels, clusters, tags)
        table.to_csv(record.folder / "hard_task_clusters.csv", index=False)
        text = markdown.clusters_markdown(table, title=title)
        (record.folder / "hard_task_clusters.md").write_text(text, "utf-8")
        made += ["hard_task_clusters.csv", "hard_task_clusters.md"]
    blocks = [
        _reconstructed(one, path, _seen(one, audio, vectors))
        for one in (embedding, *beside)
        if (path := _decoder_of(one)) is not None
    ]
    if blocks:
        title = f"Tracks held out of the training, {config.collection}"
        figure = reconstructions.reconstructions(blocks, title=title)
        record.figure("hard_task_reconstructions.png", figure)
        made.append("hard_task_reconstructions.png")
    return Figures(tuple(made))


def _map(record: Recorder, embedding: Embedding, clustering: Clustering, config: MapConfig) -> str:
    from genre_vae.report import maps, markdown

    z, assignment = embedding.first, clustering.assignment
    oracle = f"; an oracle, label use {z.label_use}" if z.label_use > LabelUse.NONE else ""
    figure = maps.latent_map(
        z,
        assignment.clusters[0],
        title=f"{assignment.name}, {config.collection}",
        subtitle=markdown.first_member(clustering.scores, labelled=z.has_labels) + oracle,
        seed=config.seed,
        projection=config.projection,
    )
    record.figure(f"{config.name}.png", figure)
    return f"{config.name}.png"


def _decoder_of(embedding: Embedding) -> Path | None:
    """The weights of the first member, or None where nothing was trained that can decode."""
    path = embedding.encoder_path
    if path is None or path.suffix != ".pth" or embedding.method in WITHOUT_DECODER:
        return None
    return path


def _seen(embedding: Embedding, audio: Collection, vectors: InputVectors | None) -> FeatureSet:
    """What a trained model read; InputError if it is not what is given now."""
    for source in (audio, vectors):
        with contextlib.suppress(KeyError):
            if source is not None:
                return read(source, embedding.reads)
    raise InputError(f"{embedding.title} read {embedding.reads}: give the same input")


def _reconstructed(embedding: Embedding, path: Path, features: FeatureSet) -> Reconstructed:
    """Held-out tracks, each of another genre where there are genres, and what comes back."""
    from genre_vae.models import checkpoint, encoding, members
    from genre_vae.report.reconstructions import examples, held_out_examples

    trained = checkpoint.load(path)
    config = trained.config
    held_out = ~members.training_rows(features, config)
    tracks = held_out_examples(features, held_out)
    back = encoding.reconstruct(trained, tracks)
    if features.values.ndim == 2:
        read_as, read_back = encoding.scaled_pair(trained, tracks)
        tracks, back = (tracks.derive(tracks.name, values) for values in (read_as, read_back))
    explained = encoding.variance_explained(trained, features)
    return examples(embedding.title, tracks, back, explained=explained)


def draw(
    run: Run,
    given: Given,
    embedding: Artifact[Embedding],
    clustering: Artifact[Clustering],
    name: str,
) -> Artifact[Figures]:
    """The map of an embedding as the file ``<name>.png``."""
    config = MapConfig(name, embedding.dataset.name, given.projection, given.seed)
    return run.do(draw_map, embedding, clustering, config=config, title=f"{name}.png")


def draw_hard(
    run: Run,
    given: Given,
    inputs: Inputs,
    embedding: Artifact[Embedding],
    clustering: Artifact[Clustering],
    *,
    beside: Sequence[Artifact[Embedding]] = (),
) -> Artifact[Figures]:
    """The Hard level's figures of an embedding, with the reconstructions of others beside."""
    name = "hard_task_latent_space"
    seed = embedding.value.seeds[0] if embedding.value.seeds else given.seed
    config = MapConfig(name, embedding.dataset.name, given.projection, seed)
    return run.do(
        draw_all,
        inputs.audio,
        inputs.other,
        embedding,
        clustering,
        list(beside),
        config=config,
        title=f"hard_task figures of {embedding.value.title}",
    )
