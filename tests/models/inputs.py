"""Configs and made mel windows that several tests of models use."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from genre_vae.models.checkpoint import TrainedModel
from genre_vae.models.config import TrainConfig
from genre_vae.records import FeatureSet
from tests.helpers import blobs

CONFIG = TrainConfig(latent_dim=3, epochs=25, patience=100, lr=5e-3)
CONV = TrainConfig(
    model="conv_vae", latent_dim=4, widths=(4, 8, 8), epochs=3, batch_size=8, lr=2e-3
)
CALIBRATED = replace(CONV, widths=(8, 8), calibrated=True)
CONTRASTIVE = [
    replace(CONV, model="contrastive_vae", contrast=100.0),
    replace(CONV, model="contrastive", contrast=1.0),
]


def windows(n: int = 12, w: int = 4, *, seed: int = 0) -> FeatureSet:
    """Tracks whose windows show a bar in one of three places, in dB: (n, w, 1, 16, 32) float16."""
    rng = np.random.default_rng(seed)
    values = np.full((n, w, 1, 16, 32), -60, dtype=np.float16)
    for track in range(n):
        values[track, :, :, 5 * (track % 3) : 5 * (track % 3) + 4] = -10
    values += rng.normal(size=values.shape).astype(np.float16)
    labels = np.array([f"g{track % 3}" for track in range(n)])
    return FeatureSet("mel", blobs(n, groups=3).ids, values, labels)


def assert_same_weights(one: TrainedModel, two: TrainedModel) -> None:
    for key, weight in one.model.state_dict().items():
        assert torch.equal(weight, two.model.state_dict()[key]), key
