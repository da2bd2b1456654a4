"""The best row that no label touched -> a registered model that takes audio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from genre_vae import methods
from genre_vae.config import Given, ModelConfig
from genre_vae.embedding import Embedding
from genre_vae.evaluation import table as tables
from genre_vae.evaluation.metrics import INTERNAL
from genre_vae.evaluation.table import Row
from genre_vae.records import LabelUse
from genre_vae.scaling import parsed
from genre_vae.stages.cluster import Clustering
from genre_vae.stages.collect import Collection
from genre_vae.stages.inputs import Source, Weights, musicnn_weights
from genre_vae.tracking import cache, registry
from genre_vae.tracking.run import Run
from genre_vae.tracking.stage import Artifact, Recorder, stage

SERVABLE_INPUTS = (*methods.AUDIO, "descriptor", "musicnn")  # those that any audio gives
CODE = "genre_vae.serving.pyfunc"  # the module that MLflow loads


@dataclass(frozen=True)
class Model:
    """The folder, within the run's files, of a saved index."""

    folder: str = "placement"

    def save(self, folder: Path) -> None:
        """Nothing is left to write."""

    @classmethod
    def load(cls, folder: Path) -> Model:
        """As it was saved."""
        return cls()


@stage("model")
def log(
    record: Recorder,
    clustering: Clustering,
    embedding: Embedding,
    source: Source,
    audio: Collection,
    weights: Weights | None,
    *,
    config: ModelConfig,
) -> Model:
    """The first member of a clustering as a model that places new audio, logged on the run."""
    from genre_vae.features import musicnn
    from genre_vae.features.tags import cluster_tags
    from genre_vae.serving.index import ClusterIndex, load_encoder
    from genre_vae.serving.requests import example

    assert embedding.folder is not None, "the embedding was loaded from its files"
    assignment = clustering.assignment
    tags: Sequence[Sequence[str]] = ()
    if source.tags is not None:
        values = source.tags.select(assignment.ids).values
        tags = cluster_tags(values, assignment.clusters[0])
    index = ClusterIndex(
        load_encoder(embedding.folder),
        embedding.reads,
        embedding.first,
        assignment.clusters[0],
        audio.descriptor.select(assignment.ids),
        assignment.name,
        config.loudness,
        tagger=None if weights is None else musicnn.load(weights.path),
        tags=tags,
    )
    made = Model()
    index.save(record.folder / made.folder)
    record.model(record.folder / made.folder, example())
    record.note = f"{assignment.name}, seed {config.seed}"
    return made


def unservable(row: Row) -> str | None:
    """Why a row cannot place a new track by its sound; None where it can."""
    about = row.about
    if about.algorithm != "k-means":
        return f"{about.algorithm} does not say where a new track belongs"
    name, _ = parsed(about.reads)
    if not set(name.split("+")) <= set(SERVABLE_INPUTS):
        return f"nothing here makes the vectors of {about.reads} for a new track"
    method = methods.BY_KEY.get(about.model.partition(",")[0])  # a sweep's have a variant
    if method is not None and method.key == "raw" and name.startswith("mel"):
        return "it has no encoder, only the collection's own values"
    return (method.unservable if method else "") or None


def is_servable(row: Row) -> bool:
    """Whether a row can place a new track by its sound, and no label touched it."""
    return row.about.label_use == LabelUse.NONE and unservable(row) is None


def register(
    run: Run,
    given: Given,
    audio: Artifact[Collection],
    rows: Sequence[Row],
    clusterings: Sequence[Artifact[Clustering]] = (),
) -> Artifact[Model]:
    """Log the best row's model and make it the registry's champion.

    Parameters
    ----------
    audio
        The collection.
    rows
        Clusterings of it, from `rows_of`; the best by ``metric`` that can serve is taken.
    clusterings
        Their runs, as far as they are at hand; the others are found again.
    """
    row, passed, metric = tables.champion(rows, metric=given.metric, unservable=unservable)
    if metric in INTERNAL and len(rows) > 1:
        print(
            f"{'register':<10} chosen by {metric}, which compares clusterings of one "
            "representation: across methods it is a weak guide",
            flush=True,
        )
    for reason in passed:
        print(f"{'register':<10} {reason}", flush=True)
    dataset = audio.dataset
    at_hand = {one.run_id: one for one in clusterings}
    clustering = at_hand.get(row.run_id) or run.find(row.run_id, dataset)
    (embedding,) = run.inputs(clustering)
    source, *_ = run.inputs(embedding)
    tagged = "musicnn" in parsed(row.about.reads)[0].split("+")
    weights = musicnn_weights(run, given) if tagged else None
    seed = clustering.value.scores["seed"].iloc[0]
    model = run.do(
        log,
        clustering,
        embedding,
        source,
        audio,
        weights,
        config=ModelConfig(int(seed), dataset.loudness, code=cache.module_digest(CODE)),
        title=f"{row.about.method} of {dataset.name}",
    )
    version = registry.register(
        run.client,
        model_uri=model.tags[registry.MODEL_URI],
        run_id=model.run_id,
        tags={
            "method": row.about.method,
            "dataset": dataset.name,
            "dataset_fingerprint": dataset.fingerprint,
            "fingerprint": model.fingerprint,
            "chosen_by": metric if len(rows) > 1 else "given",
            "label_use": row.about.label_use,
            **tables.scores(row),
        },
    )
    how = "registered as" if version.is_new else "is already"
    instead = f" instead of {version.before}" if version.before else ""
    print(
        f"{'register':<10} {row.about.method} {how} genre-vae version {version.number}, "
        f"champion{instead}",
        flush=True,
    )
    return model
