"""The one loop: split by id, scale, fit with early stopping, encode. It does not know MLflow.

Axes: ``n`` tracks, ``w`` windows of a track, ``d`` input dimensions, ``k`` latent dimensions.
"""

from __future__ import annotations

import copy
import hashlib
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genre_vae import conditioning, models
from genre_vae.conditioning import FORGET, UNKNOWN, Conditioner
from genre_vae.models import Coder
from genre_vae.objective import elbo
from genre_vae.records import FeatureSet, InputError, IntArray, LabelUse, StrArray, replacing
from genre_vae.scaling import Scaler

# dB below the peak, [-80, 0], -> [0, 1]: fixed, so there is nothing to fit
MEL_SCALER = Scaler(np.full(1, -80, np.float32), np.full(1, 80, np.float32))
MODELS = ("autoencoder", "vae", "betavae", "conv_vae", "cvae")
VAL_WINDOWS = 3  # of each validation track, evenly spaced: the same in every epoch
BLOCK = 64  # examples (or tracks, when encoding) that go through the model at a time
_GLOBAL_GENERATOR = threading.Lock()  # torch's initialisers know no other, and members are threads
CHECKPOINT_EVERY = 20  # epochs between two writes of the last checkpoint
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TrainConfig:
    """What `fit` needs to know.

    Parameters
    ----------
    model
        A name among `MODELS`. A BetaVAE is the VAE with another `beta`.
    latent_dim
        Dimensions of the code.
    widths
        Channels of the ConvVAE's convolutions.
    condition, condition_on, encode_as, condition_dim, n_clusters
        Of the CVAE: whether its encoder is told or its decoder alone, what they are told, whether
        codes are made with the genre or as of an unknown one (which is then met in training), the
        dimensions of the embedding of what they are told, and how many clusters there are.
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
    widths: tuple[int, ...] = models.WIDTHS
    condition: str = "encoder+decoder"
    condition_on: str = "genre"
    encode_as: str = "genre"
    condition_dim: int = 8
    n_clusters: int = 10
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
    """A trained model with the weights of its best epoch, its scaler and its history.

    `shape` is that of one example: (d,), or (1, mel, t) for mel windows. `conditioner` is None for
    models that are told nothing.
    """

    model: Coder
    scaler: Scaler
    conditioner: Conditioner | None
    shape: tuple[int, ...]
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


def build(config: TrainConfig, shape: tuple[int, ...], n_conditions: int = 0) -> Coder:
    """A model with the initial weights of ``config.seed``; the global generator is untouched.

    Parameters
    ----------
    config
        Which model, and its sizes.
    shape
        Of an example: (d,), or (1, mel, t) for mel windows.
    n_conditions
        Of a CVAE.
    """
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model: Coder
        if config.model == "conv_vae":
            model = models.ConvVAE(config.latent_dim, config.widths, (shape[-2], shape[-1]))
        elif config.model == "cvae":
            model = models.CVAE(
                shape[0],
                config.latent_dim,
                n_conditions,
                config.condition_dim,
                tell_encoder=config.condition == "encoder+decoder",
            )
        else:
            dense = models.Autoencoder if config.model == "autoencoder" else models.VAE
            model = dense(shape[0], config.latent_dim)
    if len(shape) > 1:  # convolutions on a CPU are a quarter faster so
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


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
    features : values (n, d) or (n, w, 1, mel, t)
        Of windows, one of each track is drawn at random in every epoch. Labels are looked at by a
        CVAE on genres alone.
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
        If there are fewer than two tracks, or two genres for a CVAE on them; if the loss is not
        finite, or the checkpoint belongs to another configuration.
    """
    if len(features) < 2:
        raise InputError(f"{features.name}: training needs two tracks, got {len(features)}")
    training = split(features.ids, val_fraction=config.val_fraction, seed=config.seed)
    train, val = np.flatnonzero(training), np.flatnonzero(~training)
    windowed = features.values.ndim > 2
    n_windows = features.values.shape[1] if windowed else 1
    scaler = MEL_SCALER if windowed else Scaler.fit(features.values[train])  # training ids only
    conditioner = _conditioner(features, train, scaler, config)
    met = torch.zeros(len(features), dtype=torch.int64)  # what models but a CVAE pay no heed to
    if conditioner is not None:
        scaled = scaler.transform(features.values)
        met = torch.from_numpy(conditioner.numbers(features.labels, scaled))
    unknown = config.encode_as == "unknown"
    coded = torch.zeros_like(met) if unknown else met

    def examples(rows: IntArray, windows: IntArray) -> Tensor:
        picked = features.values[rows, windows] if windowed else features.values[rows]
        x = torch.from_numpy(scaler.transform(picked)).to(config.device)
        return x.contiguous(memory_format=torch.channels_last) if windowed else x

    # Validation looks at the same windows in every epoch, or its loss would be a lottery.
    spaced = np.unique(np.linspace(0, n_windows - 1, VAL_WINDOWS).round().astype(np.int64))
    val_rows, val_windows = np.repeat(val, len(spaced)), np.tile(spaced, len(val))
    shape = features.values.shape[2 if windowed else 1 :]
    model = build(config, shape, conditioner.n_conditions if conditioner else 0).to(config.device)
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
        drawn = torch.randint(n_windows, (len(train),), generator=generator)
        for batch in torch.split(order, config.batch_size):
            x = examples(train[batch.numpy()], drawn[batch].numpy())
            noise = torch.randn(len(x), config.latent_dim, generator=generator)
            told = met[train[batch.numpy()]]
            if unknown:
                told[torch.rand(len(x), generator=generator) < FORGET] = UNKNOWN
            output = model(x, noise.to(config.device), told.to(config.device))
            loss = elbo(x, output, beta=config.beta)
            optimizer.zero_grad()
            loss.total.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.total.item() * len(x)

        model.eval()
        held_out = np.zeros(3)
        for start in range(0, len(val_rows), BLOCK):
            block = slice(start, start + BLOCK)
            x = examples(val_rows[block], val_windows[block])
            with torch.no_grad():
                told = coded[val_rows[block]].to(config.device)
                parts = elbo(x, model(x, None, told), beta=config.beta)
            held_out += [part.item() * len(x) / len(val_rows) for part in parts]
        epoch = Epoch(len(history) + 1, total / len(train), *held_out.tolist())
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
    return Fitted(model.eval(), scaler, conditioner, shape, config, history)


def encode(fitted: Fitted, features: FeatureSet) -> FeatureSet:
    """The mean of every track's code, as a FeatureSet named e.g. ``vae(mfcc)``.

    (n, d) -> (n, k), or (n, w, 1, mel, t) -> (n, k): of windows, the mean over all their means.
    Tracks need not be those of the training. The label use of a CVAE's codes is that of
    `conditioning.label_use`.
    """
    config = fitted.config
    conditions = conditions_of(fitted, features)
    codes = []
    for start in range(0, len(features), BLOCK):
        block = np.asarray(features.values[start : start + BLOCK])
        x = torch.from_numpy(fitted.scaler.transform(block)).reshape(-1, *fitted.shape)
        told = None if conditions is None else conditions[start : start + BLOCK]
        with torch.no_grad():
            mean, _ = fitted.model.encode(x.to(config.device), told)
        codes.append(mean.reshape(len(block), -1, mean.shape[1]).mean(dim=1).cpu().numpy())
    use = LabelUse.NONE
    if conditions is not None:
        use = conditioning.label_use(
            condition=config.condition,
            condition_on=config.condition_on,
            encode_as=config.encode_as,
        )
    return features.derive(f"{config.model}({features.name})", np.concatenate(codes), use)


def reconstruct(fitted: Fitted, features: FeatureSet) -> FeatureSet:
    """What the model makes of tracks' values by way of their codes, in the same shape and units.

    A window is decoded from its own code.
    """
    values = np.asarray(features.values)
    x = torch.from_numpy(fitted.scaler.transform(values)).reshape(-1, *fitted.shape)
    with torch.no_grad():
        told = conditions_of(fitted, features)
        output = fitted.model(x.to(fitted.config.device), None, told)
    scaled = output.reconstruction.cpu().numpy().reshape(values.shape)
    restored = fitted.scaler.inverse(scaled)
    return features.derive(f"{features.name}, reconstructed", restored)


def conditions_of(fitted: Fitted, features: FeatureSet) -> Tensor | None:
    """What the model is told of tracks when it codes them: (n,), None where it is told nothing."""
    if fitted.conditioner is None:
        return None
    values = fitted.scaler.transform(features.values)
    numbers = torch.from_numpy(fitted.conditioner.numbers(features.labels, values))
    if fitted.config.encode_as == "unknown":
        numbers = torch.zeros_like(numbers)
    return numbers.to(fitted.config.device)


def save(fitted: Fitted, path: Path) -> None:
    """Write the best weights with scaler and config; ``load`` reads them without pickled code."""
    conditioner = fitted.conditioner or Conditioner()
    centroids = conditioner.centroids
    _save_tensors(
        path,
        {
            "config": asdict(fitted.config),
            "shape": list(fitted.shape),
            "weights": fitted.model.state_dict(),
            "scaler_mean": torch.from_numpy(fitted.scaler.mean),
            "scaler_scale": torch.from_numpy(fitted.scaler.scale),
            "genres": list(conditioner.genres),
            "centroids": None if centroids is None else torch.from_numpy(centroids),
        },
    )


def load(path: Path) -> Fitted:
    """Read what `save` wrote, on the CPU; the history is not kept there."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    config = TrainConfig(**(state["config"] | {"device": "cpu"}))
    scaler = Scaler(state["scaler_mean"].numpy(), state["scaler_scale"].numpy())
    shape = tuple(state["shape"])
    conditioner = None
    if config.model == "cvae":
        centroids = None if state["centroids"] is None else state["centroids"].numpy()
        conditioner = Conditioner(tuple(state["genres"]), centroids)
    model = build(config, shape, conditioner.n_conditions if conditioner else 0)
    model.load_state_dict(state["weights"])
    return Fitted(model.eval(), scaler, conditioner, shape, config, [])


def _conditioner(
    features: FeatureSet, train: IntArray, scaler: Scaler, config: TrainConfig
) -> Conditioner | None:
    """Fitted on the training rows only."""
    if config.model != "cvae":
        return None
    if config.condition_on == "genre":
        return Conditioner.of_genres(features.labels[train])
    scaled = scaler.transform(features.values[train])
    return Conditioner.of_clusters(scaled, n_clusters=config.n_clusters, seed=config.seed)


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
    model: Coder,
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
