"""The one loop: split by id, scale, fit with early stopping, encode. It does not know MLflow.

Axes: ``n`` tracks, ``d`` input dimensions, ``k`` latent dimensions.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genre_vae.models import MODELS, Autoencoder
from genre_vae.objective import elbo
from genre_vae.records import FeatureSet, InputError, StrArray, replacing
from genre_vae.scaling import Scaler

CHECKPOINT_EVERY = 20  # epochs between two writes of the last checkpoint
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TrainConfig:
    """What `fit` needs to know.

    Parameters
    ----------
    model
        A key of `genre_vae.models.MODELS`.
    latent_dim
        16 keeps the 40 MFCC statistics' structure; PCA gets as many components.
    beta
        Weight of the KL term.
    epochs
        At most; `patience` epochs without a lower validation loss end the training.
    batch_size, lr
        Of Adam.
    val_fraction
        Share of the tracks held out for early stopping.
    seed
        Of the split, the initial weights, the order of batches and the noise.
    device
        A torch device.
    """

    model: str = "vae"
    latent_dim: int = 16
    beta: float = 1.0
    epochs: int = 500
    patience: int = 50
    batch_size: int = 32
    lr: float = 1e-3
    val_fraction: float = 0.1
    seed: int = 0
    device: str = "cpu"


class Epoch(NamedTuple):
    """One row of the history: mean losses per example, `train_loss` with noise as optimised,
    the others on the held-out tracks at the code's mean."""

    epoch: int
    train_loss: float
    val_loss: float
    val_reconstruction: float
    val_kl: float


@dataclass(frozen=True, eq=False)
class Fitted:
    """A trained model with the weights of its best epoch, its scaler and its history."""

    model: Autoencoder
    scaler: Scaler
    config: TrainConfig
    history: list[Epoch]

    @property
    def best(self) -> Epoch:
        return min(self.history, key=lambda epoch: epoch.val_loss)


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


def build(config: TrainConfig, input_dim: int) -> Autoencoder:
    """A model with the initial weights of ``config.seed``; the global generator is untouched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return MODELS[config.model](input_dim, config.latent_dim)


def fit(
    features: FeatureSet,
    config: TrainConfig,
    *,
    on_epoch: Callable[[Epoch], object] = lambda epoch: None,
    checkpoint: Path | None = None,
) -> Fitted:
    """Train one member on features.

    Parameters
    ----------
    features : values (n, d)
        Labels are not looked at.
    config
        Equal features and configs give equal weights on one machine and thread count.
    on_epoch
        Called after every epoch.
    checkpoint
        File for the last state, written every 20 epochs and at the end. Where it is already
        there, training goes on from it, with the same result as if it had never stopped.

    Raises
    ------
    InputError
        If there are fewer than two tracks, the loss is not finite, or the checkpoint belongs to
        another configuration.
    """
    if len(features) < 2:
        raise InputError(f"{features.name}: training needs two tracks, got {len(features)}")
    training = split(features.ids, val_fraction=config.val_fraction, seed=config.seed)
    scaler = Scaler.fit(features.values[training])  # on the training ids only
    scaled = torch.from_numpy(scaler.transform(features.values)).to(config.device)
    train, val = scaled[torch.from_numpy(training)], scaled[torch.from_numpy(~training)]

    model = build(config, scaled.shape[1]).to(config.device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
    # On the CPU whatever the device, so that a seed means the same batches and noise everywhere.
    generator = torch.Generator().manual_seed(config.seed)
    history: list[Epoch] = []
    best_weights = copy.deepcopy(model.state_dict())
    if checkpoint is not None and checkpoint.exists():
        state = _read_checkpoint(checkpoint, config)
        model.load_state_dict(state["last"])
        optimizer.load_state_dict(state["optimizer"])
        generator.set_state(state["generator"])
        best_weights = state["best"]
        history = [Epoch(int(row[0]), *row[1:]) for row in state["history"]]

    best = min(history, key=lambda epoch: epoch.val_loss, default=None)
    while len(history) < config.epochs and not _stalled(history, best, config.patience):
        model.train()
        total = 0.0
        order = torch.randperm(len(train), generator=generator)
        for rows in torch.split(order, config.batch_size):
            x = train[rows]
            noise = torch.randn(len(x), config.latent_dim, generator=generator)
            loss = elbo(x, model(x, noise.to(config.device)), beta=config.beta)
            optimizer.zero_grad()
            loss.total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.total.item() * len(x)

        model.eval()
        with torch.no_grad():
            held_out = elbo(val, model(val), beta=config.beta)
        epoch = Epoch(len(history) + 1, total / len(train), *(part.item() for part in held_out))
        if not np.isfinite([epoch.train_loss, epoch.val_loss]).all():
            raise InputError(f"{config.model}: the loss is not finite after epoch {epoch.epoch}")
        history.append(epoch)
        if best is None or epoch.val_loss < best.val_loss:
            best, best_weights = epoch, copy.deepcopy(model.state_dict())
        on_epoch(epoch)
        if checkpoint is not None and len(history) % CHECKPOINT_EVERY == 0:
            _write_checkpoint(
                checkpoint, config, model, best_weights, optimizer, generator, history
            )
    if checkpoint is not None:
        _write_checkpoint(checkpoint, config, model, best_weights, optimizer, generator, history)

    model.load_state_dict(best_weights)
    return Fitted(model.eval(), scaler, config, history)


def encode(fitted: Fitted, features: FeatureSet) -> FeatureSet:
    """The mean of every track's code, as a FeatureSet named e.g. ``vae(mfcc)``: (n, d) -> (n, k).

    Tracks need not be those of the training.
    """
    scaled = torch.from_numpy(fitted.scaler.transform(features.values))
    with torch.no_grad():
        mean, _ = fitted.model.encode(scaled.to(fitted.config.device))
    return features.derive(f"{fitted.config.model}({features.name})", mean.cpu().numpy())


def save(fitted: Fitted, path: Path) -> None:
    """Write the best weights with scaler and config; ``load`` reads them without pickled code."""
    _save_tensors(
        path,
        {
            "config": asdict(fitted.config),
            "weights": fitted.model.state_dict(),
            "scaler_mean": torch.from_numpy(fitted.scaler.mean),
            "scaler_scale": torch.from_numpy(fitted.scaler.scale),
        },
    )


def load(path: Path) -> Fitted:
    """Read what `save` wrote, on the CPU; the history is not kept there."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    config = TrainConfig(**(state["config"] | {"device": "cpu"}))
    scaler = Scaler(state["scaler_mean"].numpy(), state["scaler_scale"].numpy())
    model = build(config, len(scaler.mean))
    model.load_state_dict(state["weights"])
    return Fitted(model.eval(), scaler, config, [])


def _stalled(history: list[Epoch], best: Epoch | None, patience: int) -> bool:
    return best is not None and history[-1].epoch - best.epoch >= patience


def _read_checkpoint(path: Path, config: TrainConfig) -> dict[str, Any]:
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    # More epochs or patience may be asked of a checkpoint; anything else is another training.
    grown = {"epochs": config.epochs, "patience": config.patience}
    if state["config"] | grown != asdict(config):
        raise InputError(f"{path}: the checkpoint belongs to another configuration")
    return state


def _write_checkpoint(
    path: Path,
    config: TrainConfig,
    model: Autoencoder,
    best_weights: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    history: list[Epoch],
) -> None:
    _save_tensors(
        path,
        {
            "config": asdict(config),
            "last": model.state_dict(),
            "best": best_weights,
            "optimizer": optimizer.state_dict(),
            "generator": generator.get_state(),
            "history": [tuple(epoch) for epoch in history],
        },
    )


def _save_tensors(path: Path, state: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        torch.save(state, temporary)
