"""Indices of the small demo corpus, for the tests of this wing."""

from __future__ import annotations

from dataclasses import replace

from genre_vae.clustering import cluster
from genre_vae.features.pca import Projection, fit_pca
from genre_vae.models import encoding, training
from genre_vae.models.checkpoint import TrainedModel
from genre_vae.models.config import TrainConfig
from genre_vae.records import FeatureSet, Loudness
from genre_vae.scaling import Scaler
from genre_vae.serving.index import ClusterIndex

Features = dict[str, FeatureSet]  # by name: mfcc, descriptor, mel, and those combined


def index_of(measured: Features, model: str, inputs: str = "") -> ClusterIndex:
    name = inputs or ("mel" if model == "conv_vae" else "mfcc")
    data = measured[name]
    encoder: TrainedModel | Projection
    if model in ("raw", "pca"):
        encoder = Projection(Scaler.of(data)) if model == "raw" else fit_pca(data, n_components=4)
        codes = encoder.apply(data)
    else:
        config = TrainConfig(
            model=model, latent_dim=4, widths=(4, 4, 4), epochs=2, condition_on="clusters"
        )
        encoder = training.fit(data, replace(config, n_clusters=3))
        codes = encoding.encode(encoder, data)
    clusters = cluster(codes.values, algorithm="k-means", n_clusters=5, seed=0)
    sounds = measured["descriptor"]
    return ClusterIndex(
        encoder, name, codes, clusters, sounds, f"{model} + k-means", Loudness.NORMALISED
    )
