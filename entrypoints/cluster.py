"""An embedding -> clusters, once per seed, and how good they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from entrypoints.features import features
from entrypoints.options import CONV, SEEDS, TRAINING, Options, entry_point
from entrypoints.train import members, train
from genre_vae.records import Assignment, FeatureSet, InputError, known_genres

if TYPE_CHECKING:
    from genre_vae.tracking import Recorder, StageRun, Tracker


TITLES = {
    "pca": "PCA",
    "autoencoder": "Autoencoder",
    "vae": "VAE",
    "conv_vae": "ConvVAE",
    "vae_lyrics": "VAE+Lyrics",
    "conv_vae_lyrics": "ConvVAE+Lyrics",
}


def cluster(
    tracker: Tracker, options: Options, embedding: StageRun, model: str, algorithm: str = "k-means"
) -> StageRun:
    """Clusters of the embedding that `model` made, scored, as a stage.

    Its folder holds ``clusters.npy`` (n, seeds) and ``members.csv``, the scores of each seed.
    """
    method = f"{TITLES[model]} + {algorithm}"

    def compute(record: Recorder) -> None:
        import numpy as np
        import pandas as pd

        from genre_vae import clustering, metrics

        embeddings = members(embedding, model)
        n_clusters = _n_clusters(options.n_clusters, embeddings[0], options.seed)
        clusters, scores = [], []
        for member in range(options.seeds):
            z = embeddings[member if len(embeddings) > 1 else 0]
            seed = options.seed + member
            found = clustering.cluster(
                z.values,
                algorithm=algorithm,
                n_clusters=n_clusters,
                seed=seed,
                eps=None if options.eps == "auto" else float(options.eps),
            )
            clusters.append(found)
            scores.append({"seed": seed, **metrics.score(z.values, found, z.labels)})

        first = embeddings[0]
        assignment = Assignment(
            method, first.ids, np.stack(clusters), first.labels, first.label_use
        )
        assignment.save(record.folder)
        table = pd.DataFrame(scores)
        table.to_csv(record.folder / "members.csv", index=False)
        record.metrics({"n_samples": len(first), "n_features": first.values.shape[1]})
        for name in table.columns.drop("seed"):
            mean, low, high = metrics.interval(table[name])
            record.metrics({name: mean})
            if name in (*metrics.INTERNAL, *metrics.LABEL):
                record.metrics({f"{name}_low": low, f"{name}_high": high})
        modalities = ["audio", *first.name.split(" + ")[1:]]
        record.tags({"input": " + ".join(modalities), "label_use": first.label_use})
        shown = ("ami", "nmi") if first.has_labels else ("silhouette",)
        counted = table["n_clusters"].mean()
        record.note = f"{counted:g} clusters, {table['noise'].mean():.0%} noise, " + ", ".join(
            f"{name} {table[name].mean():.3f}" for name in shown
        )

    return tracker.stage(
        "cluster",
        title=method,
        dataset=embedding.dataset,
        config={
            "model": model,
            "algorithm": algorithm,
            "n_clusters": options.n_clusters,
            **({"eps": options.eps} if algorithm == "DBSCAN" else {}),
            "seeds": options.seeds,
            "seed": options.seed,
        },
        inputs=[embedding],
        tags={"method": method, "model": model, "algorithm": algorithm},
        compute=compute,
    )


def cluster_all(
    tracker: Tracker,
    options: Options,
    embeddings: Mapping[str, StageRun],
    algorithms: Sequence[str],
) -> dict[tuple[str, str], StageRun]:
    """Every embedding with every clusterer, by (model, algorithm)."""
    return {
        (model, algorithm): cluster(tracker, options, embedding, model, algorithm)
        for model, embedding in embeddings.items()
        for algorithm in algorithms
    }


def _n_clusters(n_clusters: str, embedding: FeatureSet, seed: int) -> int:
    if n_clusters != "auto":
        return int(n_clusters)
    if embedding.has_labels:
        genres = len(known_genres(embedding.labels))
        if genres >= len(embedding):
            raise InputError(
                f"{embedding.name}: {len(embedding)} tracks in {genres} genres cannot be clustered "
                "by genre; with lyrics_missing=drop only tracks with words are left"
            )
        return genres
    from genre_vae.clustering import choose_n_clusters

    return choose_n_clusters(embedding.values, seed=seed)


@entry_point("data", "model", "algorithm", "n_clusters", "eps", *TRAINING, *CONV, *SEEDS)
def main(tracker: Tracker, options: Options) -> None:
    """Cluster an embedding of a collection and score the clusters.

    What is not there yet, features and the trained model, is made first.
    """
    embedding = train(tracker, options, features(tracker, options), options.model)
    cluster(tracker, options, embedding, options.model, options.algorithm)


if __name__ == "__main__":
    main()
