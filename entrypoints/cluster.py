"""An embedding -> clusters, once per seed, and how good they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from entrypoints.embed import inputs
from entrypoints.options import CONDITION, CONV, DATA, INPUT, SEEDS, TRAINING, Options, entry_point
from entrypoints.train import how_many, members, train
from genre_vae.records import Assignment

if TYPE_CHECKING:
    from genre_vae.tracking import Recorder, StageRun, Tracker


TITLES = {
    "pca": "PCA",
    "spectral": "Direct spectral",
    "autoencoder": "Autoencoder",
    "vae": "VAE",
    "betavae": "BetaVAE",
    "conv_vae": "ConvVAE",
    "contrastive_vae": "ConvVAE, contrastive",
    "contrastive": "Contrastive encoder",
    "cvae": "CVAE",
    "cvae_unknown": "CVAE, genre unknown",
    "cvae_decoder": "CVAE, decoder alone",
    "cvae_clusters": "CVAE on clusters",
    "vae_lyrics": "VAE+Lyrics",
    "conv_vae_lyrics": "ConvVAE+Lyrics",
    "multimodal_concatenate": "Multimodal, concatenated",
    "multimodal": "Multimodal",
    "multimodal_late": "Multimodal, late",
    "multimodal_genre": "Multimodal+Genre",
}


def cluster(
    tracker: Tracker,
    options: Options,
    embedding: StageRun,
    algorithm: str = "k-means",
    variant: str = "",
) -> StageRun:
    """Clusters of an embedding, scored, as a stage.

    A `variant` of a model is named so, and its row is not taken for the model's own. What models
    see is told in brackets, unless it is the audio's own features.

    Its folder holds ``clusters.npy`` (n, seeds), called ``multimodal_clusters.npy`` for fused
    modalities, and ``members.csv``, the scores of each seed.
    """
    model = embedding.tags["model"]
    method = f"{title_of(embedding)}{variant} + {algorithm}"
    model += variant
    reads = embedding.tags["reads"]

    def compute(record: Recorder) -> None:
        import numpy as np
        import pandas as pd

        from genre_vae import clustering
        from genre_vae.evaluation import metrics

        embeddings = members(embedding)
        n_clusters = how_many(options.n_clusters, embeddings[0], options.seed)
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
        assignment.save(record.folder, clusters_of(embedding))
        table = pd.DataFrame(scores)
        table.to_csv(record.folder / "members.csv", index=False)
        record.metrics({"n_samples": len(first), "n_features": first.values.shape[1]})
        for name in table.columns.drop("seed"):
            mean, low, high = metrics.interval(table[name])
            record.metrics({name: mean})
            if name in (*metrics.INTERNAL, *metrics.LABEL):
                record.metrics({f"{name}_low": low, f"{name}_high": high})
        modalities = [reads, *first.name.split(" + ")[1:]]
        record.tags({"input": " + ".join(modalities), "label_use": first.label_use})
        record.tags({"origin": "pretrained" if first.pretrained else "scratch"})
        shown = ("ami", "nmi") if first.has_labels else ("silhouette",)
        counted = table["n_clusters"].mean()
        record.note = (
            f"{counted:g} cluster{'s' * int(counted != 1)}, {table['noise'].mean():.0%} noise, "
            + ", ".join(f"{name} {table[name].mean():.3f}" for name in shown)
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
        tags={
            "method": method,
            "model": model,
            "algorithm": algorithm,
            "reads": reads,
            "provenance": embedding.tags["provenance"],
            "output": clusters_of(embedding),
        },
        compute=compute,
    )


def title_of(embedding: StageRun) -> str:
    """What an embedding is called in tables and figures."""
    reads = embedding.tags["reads"]
    of_audio = reads in ("mfcc", "mel", "mel, first window")
    title = TITLES[embedding.tags["model"]]
    if embedding.tags["model"] == "spectral" and not of_audio:
        title = "Direct"
    return title if of_audio else f"{title} ({reads})"


def clusters_of(embedding: StageRun) -> str:
    """The file name, without suffix, of an embedding's clusters: the seed's names."""
    fused = embedding.tags["output"].startswith("multimodal")
    return "multimodal_clusters" if fused else "clusters"


def assignment_of(clustering: StageRun) -> Assignment:
    """The clusters that a stage made."""
    return Assignment.load(clustering.folder, clustering.tags["output"])


def cluster_all(
    tracker: Tracker,
    options: Options,
    embeddings: Mapping[str, StageRun],
    algorithms: Sequence[str],
) -> dict[tuple[str, str], StageRun]:
    """Every embedding with every clusterer, by (model, algorithm)."""
    return {
        (model, algorithm): cluster(tracker, options, embedding, algorithm)
        for model, embedding in embeddings.items()
        for algorithm in algorithms
    }


@entry_point(
    *(*DATA, *INPUT, "model", "algorithm", "n_clusters", "eps"),
    *(*TRAINING, *CONDITION, "condition_dim", *CONV, *SEEDS),
)
def main(tracker: Tracker, options: Options) -> None:
    """Cluster an embedding of a collection and score the clusters.

    What is not there yet, features and the trained model, is made first.
    """
    embedding = train(tracker, options, inputs(tracker, options), options.model)
    cluster(tracker, options, embedding, options.algorithm)


if __name__ == "__main__":
    main()
