"""Indices of the small demo corpus, for the tests of this wing."""

from __future__ import annotations

from dataclasses import replace

from genre_vae.clustering import cluster
from genre_vae.features.pca import Projection, fit_pca
from genre_vae.models import encoding, training
from genre_vae.models.checkpoint import TrainedModel
from genre_vae.models.config import TrainConfig
from genre_vae.records import FeatureSet
from genre_vae.serving.index import ClusterIndex

Features = tuple[FeatureSet, FeatureSet]


def index_of(measured: Features, model: str) -> ClusterIndex:
    mfcc, mel = measured
    data, name = (mel, "mel") if model == "conv_vae" else (mfcc, "mfcc")
    encoder: TrainedModel | Projection
    if model == "pca":
        encoder = fit_pca(data, n_components=4)
        codes = encoder.apply(data)
    else:
        config = TrainConfig(
            model=model, latent_dim=4, widths=(4, 4, 4), epochs=2, condition_on="clusters"
        )
        encoder = training.fit(data, replace(config, n_clusters=3))
        codes = encoding.encode(encoder, data)
    clusters = cluster(codes.values, algorithm="k-means", n_clusters=5, seed=0)
    return ClusterIndex(encoder, name, codes, clusters, f"{model} + k-means")
