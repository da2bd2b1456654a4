"""A member of a training: its split, scaler, conditions and random draws.

Axes: ``n`` tracks, ``b`` examples in a batch, ``d`` input dimensions, ``k`` latent dimensions.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genre_vae.models.checkpoint import Epoch, TrainedModel, best
from genre_vae.models.conditioning import CONDITION_DROPOUT, Conditioner
from genre_vae.models.config import TrainConfig
from genre_vae.models.networks import AutoencoderBase, build
from genre_vae.records import FeatureSet, StrArray
from genre_vae.scaling import Scaler

# dB below the peak, [-80, 0], -> [0, 1]: fixed, so there is nothing to fit
MEL_SCALER = Scaler(np.full(1, -80, np.float32), np.full(1, 80, np.float32))
BoolArray = npt.NDArray[np.bool_]


def split(ids: StrArray, *, val_fraction: float, seed: int) -> BoolArray:
    """Which tracks are for training (True) and which for validation.

    A track's side depends on its id and the seed alone among the tracks present, never on its
    row: the ids with the smallest hashes are held out. At least one track is on either side.
    """
    hashes = [hashlib.blake2b(f"{seed}\0{i}".encode()).digest() for i in ids.tolist()]
    n_val = min(max(1, round(val_fraction * len(ids))), len(ids) - 1)
    training = np.ones(len(ids), dtype=bool)
    training[sorted(range(len(ids)), key=hashes.__getitem__)[:n_val]] = False
    return training


@dataclass(eq=False)
class Member:
    """What belongs to one member of a training: all but the weights that are being trained.

    `train` and `val` are rows; `train_condition` (n,) is the condition of each track in training
    and `encode_condition` (n,) the one that it is encoded with, for a CVAE; `weights` are those of
    the best epoch so far.
    """

    config: TrainConfig
    scaler: Scaler
    conditioner: Conditioner | None
    train: Tensor
    val: Tensor
    train_condition: Tensor
    encode_condition: Tensor
    # On the CPU whatever the device, so that a seed means the same batches and noise everywhere.
    generator: torch.Generator
    history: list[Epoch]
    weights: dict[str, Tensor]

    @classmethod
    def begin(cls, features: FeatureSet, config: TrainConfig) -> Member:
        training = split(features.ids, val_fraction=config.val_fraction, seed=config.seed)
        windowed = features.values.ndim > 2
        # statistics of the training tracks only
        scaler = MEL_SCALER if windowed else Scaler.of(features, training)
        conditioner = None
        condition = torch.zeros(len(features), dtype=torch.int64)  # only a CVAE uses it
        if config.model == "cvae":
            scaled = scaler.transform(features.values)
            if config.condition_on == "genre":
                conditioner = Conditioner.of_genres(features.labels)
            else:
                conditioner = Conditioner.of_clusters(
                    scaled[training], n_clusters=config.n_clusters, seed=config.seed
                )
            condition = torch.from_numpy(conditioner.numbers(features.labels, scaled))
        train, val = (torch.from_numpy(np.flatnonzero(rows)) for rows in (training, ~training))
        encoded = torch.zeros_like(condition) if config.encode_as == "unknown" else condition
        generator = torch.Generator().manual_seed(config.seed)
        return cls(config, scaler, conditioner, train, val, condition, encoded, generator, [], {})

    @property
    def is_training(self) -> bool:
        """Whether more epochs are to come."""
        if not self.history:
            return True
        stalled = len(self.history) - best(self.history).epoch >= self.config.patience
        return len(self.history) < self.config.epochs and not stalled

    def scaled(self, features: FeatureSet) -> Tensor:
        """(n, d) -> (n, d), in their geometry."""
        return torch.from_numpy(self.scaler.transform(features.values))

    def build(self, shape: tuple[int, ...]) -> AutoencoderBase:
        """The model with its initial weights."""
        return build(self.config, shape, self.conditioner.n_conditions if self.conditioner else 0)

    def draw(self, n_windows: int, views: int) -> tuple[Tensor, Tensor]:
        """An order (n,) of the training tracks, and different windows (n, views) for each of them
        (not in that order)."""
        n = len(self.train)
        order = torch.randperm(n, generator=self.generator)
        if views == 1:
            return order, torch.randint(n_windows, (n, 1), generator=self.generator)
        shuffled = torch.rand(n, n_windows, generator=self.generator).argsort(dim=1)
        return order, shuffled[:, :views]

    def noise(self, b: int) -> Tensor:
        """(b, k) standard normal."""
        return torch.randn(b, self.config.latent_dim, generator=self.generator)

    def condition_dropout(self, b: int) -> Tensor:
        """(b,) True where an example's condition is replaced by the unknown one."""
        return torch.rand(b, generator=self.generator) < CONDITION_DROPOUT

    def trained(self, shape: tuple[int, ...], device: str) -> TrainedModel:
        """The member with the weights of its best epoch."""
        model = self.build(shape)
        model.load_state_dict(self.weights)
        model.to(device).eval()
        return TrainedModel(
            model, self.scaler, self.conditioner, shape, self.config, self.history, device
        )
