"""A member of a training: its split, scaler, conditions and random draws.

Axes: ``n`` tracks, ``b`` examples in a batch, ``d`` input dimensions, ``k`` latent dimensions.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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
MOST_HELD_OUT = 64  # tracks: more say little more of when to stop, and cost time in every epoch
BoolArray = npt.NDArray[np.bool_]


def split(
    ids: StrArray, *, val_fraction: float, seed: int, artists: StrArray | None = None
) -> BoolArray:
    """Which tracks are for training (True) and which for validation.

    Tracks of one artist are on one side: a held-out loss says little of new music where the same
    voices were trained on (Pampalk, Flexer & Widmer, 2005). A track's side depends on the ids, the
    artists and the seed alone among the tracks present, never on its row: the artists (or, where
    unknown, the ids) with the smallest hashes are held out, as far as their numbers of tracks add
    up to the share. How many tracks are held out does not depend on the seed.

    Parameters
    ----------
    ids : (n,)
    val_fraction
        The share to hold out, up to 64 tracks. Of all sums of whole artists' tracks the nearest is
        taken, from one track to half of them, or four times the share; where there is none,
        artists are not kept apart.
    seed
    artists : (n,)
        ``""`` where unknown.

    Returns
    -------
    (n,) bool
    """
    wanted = min(max(1, round(val_fraction * len(ids))), len(ids) - 1, MOST_HELD_OUT)
    owners = ids if artists is None else np.where(artists == "", ids, np.char.add("\0", artists))
    names, owner, sizes = np.unique(owners, return_inverse=True, return_counts=True)
    hashes = [hashlib.blake2b(f"{seed}\0{name}".encode()).digest() for name in names.tolist()]
    order = sorted(range(len(names)), key=hashes.__getitem__)
    most = max(wanted, min(4 * wanted, len(ids) // 2))
    held_out = _adding_up(sizes[order].tolist(), wanted, most=most)
    if held_out is None:
        return split(ids, val_fraction=val_fraction, seed=seed)
    return ~np.isin(owner, np.array(order)[held_out])


def training_rows(features: FeatureSet, config: TrainConfig) -> BoolArray:
    """The `split` of features in a training: (n,), False where a track is held out."""
    return split(
        features.ids,
        val_fraction=config.val_fraction,
        seed=config.seed,
        artists=features.groups.get("artist"),
    )


def _adding_up(sizes: Sequence[int], wanted: int, *, most: int) -> list[int] | None:
    """Places in `sizes` whose sum is the nearest to `wanted` (of two the lower) that some have,
    above 0 and up to `most`; the earliest places that can be. None where there is no such sum."""
    if max(sizes) == 1:
        return list(range(wanted))
    mask = (1 << most + 1) - 1
    sums = [1]  # bit s of entry k: whether some of the last k sizes add up to s
    for size in reversed(sizes):
        sums.append((sums[-1] | sums[-1] << size) & mask)
    possible = [total for total in range(1, most + 1) if sums[-1] >> total & 1]
    if not possible:
        return None
    left = min(possible, key=lambda total: (abs(total - wanted), total))
    chosen = []
    for place, size in enumerate(sizes):
        if size <= left and sums[len(sizes) - 1 - place] >> (left - size) & 1:
            chosen.append(place)
            left -= size
        if not left:
            break
    return chosen


@dataclass(eq=False)
class Member:
    """What belongs to one member of a training: all but the weights that are being trained.

    `train` and `val` are rows; `order` is that of the training tracks in this pass, which several
    epochs may share; `train_condition` (n,) is the condition of each track in training
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
    order: Tensor
    history: list[Epoch]
    weights: dict[str, Tensor]

    @classmethod
    def begin(cls, features: FeatureSet, config: TrainConfig) -> Member:
        training = training_rows(features, config)
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
        order = torch.arange(len(train))
        return cls(
            config, scaler, conditioner, train, val, condition, encoded, generator, order, [], {}
        )

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

    def draw(
        self, n_windows: int, views: int, *, part: int = 0, parts: int = 1
    ) -> tuple[Tensor, Tensor]:
        """The training tracks (n,) of an epoch, which is one of the equal `parts` of a pass, and
        different windows (n, views) of each. The first part draws the order of the pass."""
        if part == 0:
            self.order = torch.randperm(len(self.train), generator=self.generator)
        drawn = self.order.tensor_split(parts)[part]
        n = len(drawn)
        if views == 1:
            return drawn, torch.randint(n_windows, (n, 1), generator=self.generator)
        shuffled = torch.rand(n, n_windows, generator=self.generator).argsort(dim=1)
        return drawn, shuffled[:, :views]

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
