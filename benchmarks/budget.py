"""What a training costs by the number of tracks, bounded and the long way, and where it ends.

    python benchmarks/budget.py <folder of audio, a genre a folder> [tracks ...]

Tracks beyond the folder's are simulated: two of one genre mixed, with noise. The long way has whole
passes for epochs. CPU seconds of one thread; the loss is of the held-out tracks; AMI is of k-means,
over the seeds ± half a 95 % interval. Early stopping and the rest are the models' own. To compare
two versions of the code, run it in a checkout of each, in turns.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from sklearn.metrics import adjusted_mutual_info_score

from genre_vae import clustering, methods
from genre_vae.collection import catalog
from genre_vae.features import spectral
from genre_vae.models import encoding, training
from genre_vae.models.config import CONVOLUTIONAL
from genre_vae.records import FeatureSet, Geometry

MODELS = ("vae", "autoencoder", "conv_vae")
SEEDS = 5
NOISE = 0.3  # of a dimension's standard deviation


def grown(features: FeatureSet, n: int) -> FeatureSet:
    """As many tracks as asked for: the features' own in a random order, then simulated ones."""
    rng = np.random.default_rng(0)
    order = rng.permutation(len(features))
    picked = order[np.arange(n) % len(features)]
    values = features.values[picked]
    spread = features.values.astype(np.float32).std(axis=0)
    for row in range(len(features), n):
        alike = np.flatnonzero(features.labels == features.labels[picked[row]])
        share, noise = rng.uniform(0, 0.5), rng.normal(size=spread.shape)
        own, other = (
            features.values[which].astype(np.float32) for which in (picked[row], rng.choice(alike))
        )
        mixed = own + share * (other - own) + NOISE * spread * noise
        values[row] = mixed if values.ndim == 2 else np.clip(mixed, -80, 0)
    ids = np.array([f"{row:06d}" for row in range(n)])
    return FeatureSet(features.name, ids, values, features.labels[picked], blocks=features.blocks)


def measured(features: FeatureSet, model: str, bound: int | None) -> tuple[str, ...]:
    """CPU seconds a seed, epochs, held-out loss and AMI of a model."""
    base = methods.BY_KEY[model].train
    assert base is not None, f"{model} has no model"
    config = replace(base, epoch_tracks=bound or base.epoch_tracks)
    seeds = range(SEEDS)
    started = time.process_time()
    if features.values.ndim == 2:
        trained = training.fit_members(features, config, seeds=seeds)
    else:
        trained = [training.fit(features, replace(config, seed=seed)) for seed in seeds]
    spent = (time.process_time() - started) / SEEDS
    scores = []
    for one in trained:
        codes = encoding.encode(one, features).values
        n_clusters = len(set(features.labels.tolist()))
        found = clustering.cluster(
            codes, algorithm="k-means", n_clusters=n_clusters, seed=one.config.seed
        )
        scores.append(adjusted_mutual_info_score(features.labels, found))
    half = stats.t.ppf(0.975, SEEDS - 1) * np.std(scores, ddof=1) / np.sqrt(SEEDS)
    epochs = np.mean([len(one.history) for one in trained])
    loss = np.mean([one.best.val_loss for one in trained])
    return f"{spent:.2f}", f"{epochs:.0f}", f"{loss:.2f}", f"{np.mean(scores):.3f} ± {half:.3f}"


def main() -> None:
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    sizes = [int(size) for size in sys.argv[2:]] or [100, 1000, 5000]
    heard = spectral.extract_catalog(catalog.scan(Path(sys.argv[1])), workers=2)
    vectors = heard.mfcc.compared_by(Geometry.STANDARDISED)
    measured(grown(vectors, sizes[0]), MODELS[0], None)  # the first training imports
    print("| model | tracks | way | CPU s a seed | epochs | held-out loss | AMI |")
    print("|---|---|---|---|---|---|---|")
    for model in MODELS:
        for n in sizes:
            features = grown(heard.mel if model in CONVOLUTIONAL else vectors, n)
            for way, bound in (("bounded", None), ("long", n)):
                row = (model, f"{n:,}", way, *measured(features, model, bound))
                print(f"| {' | '.join(row)} |", flush=True)


if __name__ == "__main__":
    main()
