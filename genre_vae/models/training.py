"""The one loop: split by id, scale, fit with early stopping, encode. It does not know MLflow.

Axes: ``n`` tracks, ``w`` windows of a track, ``d`` input dimensions, ``k`` latent dimensions.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from genre_vae.files import replacing
from genre_vae.models import conditioning, stacking
from genre_vae.models import networks as models
from genre_vae.models.conditioning import FORGET, UNKNOWN, Conditioner
from genre_vae.models.networks import Coder
from genre_vae.models.objective import Loss, loss
from genre_vae.records import FeatureSet, FloatArray, InputError, LabelUse, StrArray
from genre_vae.scaling import Scaler

# dB below the peak, [-80, 0], -> [0, 1]: fixed, so there is nothing to fit
MEL_SCALER = Scaler(np.full(1, -80, np.float32), np.full(1, 80, np.float32))
CONTRASTIVE = ("contrastive_vae", "contrastive")
CONVOLUTIONAL = ("conv_vae", *CONTRASTIVE)  # what sees mel windows
MODELS = ("autoencoder", "vae", "betavae", "cvae", *CONVOLUTIONAL)
VAL_WINDOWS = 3  # of each validation track, evenly spaced: the same in every epoch
BLOCK = 64  # examples (or tracks, when encoding) that go through the model at a time
_GLOBAL_GENERATOR = threading.Lock()  # torch's initialisers know no other; members may be threads
CHECKPOINT_EVERY = 20  # epochs between two writes of the last checkpoint
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class TrainConfig:
    """What `fit` needs to know.

    Parameters
    ----------
    model
        A name among `MODELS`. A BetaVAE is the VAE with another `beta`, ``contrastive_vae`` the
        ConvVAE with a contrastive term, and ``contrastive`` an encoder that has nothing else.
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
    contrast, temperature
        Weight of the contrastive term and its temperature, of models that see mel windows. At 0
        there is none; else two windows of each track are drawn in every epoch.
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
    contrast: float = 0.0
    temperature: float = 0.2
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
    val_contrast: float


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
        return best(self.history)


def best(history: Sequence[Epoch]) -> Epoch:
    """The epoch whose weights are kept: the first with the lowest validation loss."""
    return min(history, key=lambda epoch: epoch.val_loss)


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
        if config.model == "contrastive":
            model = models.ContrastiveEncoder(config.latent_dim, config.widths, shape[-2])
        elif config.model in CONVOLUTIONAL:
            model = models.ConvVAE(
                config.latent_dim,
                config.widths,
                (shape[-2], shape[-1]),
                contrastive=config.contrast > 0,
            )
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
    """Train one member: `fit_members` with a single seed."""
    (fitted,) = fit_members(
        features,
        config,
        seeds=[config.seed],
        on_epoch=lambda _, epoch: on_epoch(epoch),
        checkpoint=checkpoint,
    )
    return fitted


def fit_members(
    features: FeatureSet,
    config: TrainConfig,
    *,
    seeds: Sequence[int],
    on_epoch: Callable[[int, Epoch], object] = lambda seed, epoch: None,
    checkpoint: Path | None = None,
) -> list[Fitted]:
    """Train a member for each seed, together: each as it would be alone, but for rounding.

    Parameters
    ----------
    features : values (n, d) or (n, w, 1, mel, t)
        Of windows, one of each track (two for a contrastive term) is drawn at random in every
        epoch, and one seed is all that can be trained at a time. Labels are looked at by a CVAE on
        genres alone.
    config
        Equal features, configs and seeds give equal weights on one machine and thread count. Its
        own seed does not count here.
    seeds
        Of the members.
    on_epoch
        Called with a member's seed after each of its epochs.
    checkpoint
        File for the last state, written every 20 epochs and at the end. Where it is already
        there, training goes on from it, with the same result as if it had never stopped.

    Raises
    ------
    InputError
        If there are fewer than two tracks, two genres for a CVAE on them, or two windows for a
        contrastive term; if the loss is not finite, or the checkpoint belongs to another
        configuration.
    """
    if len(features) < 2:
        raise InputError(f"{features.name}: training needs two tracks, got {len(features)}")
    members = [_Member.begin(features, replace(config, seed=seed)) for seed in seeds]
    m, device = len(members), config.device
    windowed = features.values.ndim > 2
    n_windows = features.values.shape[1] if windowed else 1
    views = 2 if config.contrast > 0 else 1
    if n_windows < views:
        raise InputError(f"{features.name}: a contrastive term needs two windows of each track")
    weights = {name: getattr(config, name) for name in ("beta", "contrast", "temperature")}
    shape = features.values.shape[2 if windowed else 1 :]
    # (m, n, d) of dense features; windows stay on disk
    scaled = None if windowed else torch.stack([member.scaled(features) for member in members])
    each = torch.arange(m)[:, None]

    def examples(rows: Tensor, windows: Tensor) -> Tensor:
        """(m, b) -> (m * b, ...), a member's examples together."""
        if scaled is not None:
            return scaled[each, rows].flatten(0, 1).to(device)
        picked = features.values[rows[0].numpy(), windows[0].numpy()]
        x = torch.from_numpy(MEL_SCALER.transform(picked)).to(device)
        return x.contiguous(memory_format=torch.channels_last)

    train, val, met, coded = (
        torch.stack([getattr(member, name) for member in members])
        for name in ("train", "val", "met", "coded")
    )
    # Validation looks at the same windows in every epoch, or its loss would be a lottery.
    spaced = np.unique(np.linspace(0, n_windows - 1, VAL_WINDOWS).round().astype(np.int64))
    val_windows = torch.from_numpy(spaced)[:, None]
    model = stacking.stack([member.model(shape) for member in members]).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=config.lr, fused=True)
    for place, member in enumerate(members):
        member.weights = stacking.weights_of(model, place, members=m)
    if checkpoint is not None and checkpoint.exists():
        _read_checkpoint(checkpoint, config, model, optimizer, members)

    while any(member.goes_on for member in members):
        model.train()
        total = torch.zeros(m, device=device)
        order, drawn = (
            torch.stack(draws)
            for draws in zip(*(member.draw(n_windows, views) for member in members), strict=True)
        )
        for batch in torch.split(order, config.batch_size, dim=1):
            # a window of each track of the batch, then another of each, ...
            rows = train.gather(1, batch).repeat(1, views)
            window = torch.cat([view.gather(1, batch) for view in drawn.unbind(dim=2)], dim=1)
            b = rows.shape[1]
            noise = torch.cat([member.noise(b) for member in members]).to(device)
            told = met[each, rows].flatten()
            if config.encode_as == "unknown":
                told[torch.cat([member.forgets(b) for member in members])] = UNKNOWN
            x = examples(rows, window)
            found = loss(x, model(x, noise, told.to(device)), **weights, views=views, members=m)
            optimizer.zero_grad()
            found.total.sum().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += found.total.detach() * (batch.shape[1] / train.shape[1])

        model.eval()
        held_out = torch.zeros(len(Loss._fields), m, device=device)
        for tracks in torch.split(val, max(1, BLOCK // len(spaced)), dim=1):
            rows = tracks.repeat(1, len(spaced))
            window = val_windows.expand(-1, tracks.shape[1]).reshape(1, -1)
            x, told = examples(rows, window), coded[each, rows].flatten().to(device)
            with torch.no_grad():
                parts = loss(x, model(x, None, told), **weights, views=len(spaced), members=m)
            held_out += torch.stack(parts) * (tracks.shape[1] / val.shape[1])
        losses = torch.cat([total[None], held_out]).T.tolist()
        for place, member in enumerate(members):
            if not member.goes_on:  # the others do, so it is computed and not looked at
                continue
            epoch = Epoch(len(member.history) + 1, *losses[place])
            if not np.isfinite(losses[place]).all():
                raise InputError(f"{config.model}: the loss is not finite after epoch {epoch[0]}")
            member.history.append(epoch)
            if best(member.history) is epoch:
                member.weights = stacking.weights_of(model, place, members=m)
            on_epoch(member.config.seed, epoch)
        done = max(len(member.history) for member in members)
        if checkpoint is not None and done % CHECKPOINT_EVERY == 0:
            _write_checkpoint(checkpoint, config, model, optimizer, members)
    if checkpoint is not None:
        _write_checkpoint(checkpoint, config, model, optimizer, members)
    return [member.end(shape) for member in members]


class Turns:
    """Lets a few of several trainings run at a time, and those go on that are furthest behind.

    Five members on two cores then take two and a half times as long as one, not three times: none
    is left to run alone at the end. Each holds it as a context and calls `pass_on` after an epoch.
    """

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: list[tuple[int, int]] = []  # epochs done, thread
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            self._wait(0)

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._free += 1
            self._changed.notify_all()

    def pass_on(self, epochs: int) -> None:
        """Let another go on that has fewer epochs behind it, and wait for the next turn."""
        with self._changed:  # given back and asked for at once, or one ahead could slip in between
            self._free += 1
            self._wait(epochs)

    def _wait(self, epochs: int) -> None:
        mine = epochs, threading.get_ident()
        self._waiting.append(mine)
        self._changed.notify_all()
        self._changed.wait_for(lambda: self._free > 0 and min(self._waiting) == mine)
        self._waiting.remove(mine)
        self._free -= 1
        self._changed.notify_all()


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

    A window is decoded from its own code. ValueError for an encoder alone.
    """
    values = np.asarray(features.values)
    x = torch.from_numpy(fitted.scaler.transform(values)).reshape(-1, *fitted.shape)
    with torch.no_grad():
        told = conditions_of(fitted, features)
        output = fitted.model(x.to(fitted.config.device), None, told)
    if output.reconstruction is None:
        raise ValueError(f"{fitted.config.model} has no decoder")
    scaled = output.reconstruction.cpu().numpy().reshape(values.shape)
    restored = fitted.scaler.inverse(scaled)
    return features.derive(f"{features.name}, reconstructed", restored)


def decode(fitted: Fitted, codes: npt.NDArray[np.floating]) -> FloatArray:
    """What codes stand for, in the units of the model's input: (n, k) -> (n, d), or windows
    (n, 1, mel, t) in dB. Of models that are told nothing; ValueError for a CVAE."""
    z = torch.from_numpy(np.asarray(codes, dtype=np.float32)).to(fitted.config.device)
    with torch.no_grad():
        scaled = fitted.model.decode(z)
    return fitted.scaler.inverse(scaled.cpu().numpy())


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


@dataclass(eq=False)
class _Member:
    """What belongs to one member of a training: all but the weights that are being trained.

    `train` and `val` are rows; `met` (n,) is what a CVAE is told of each track in training and
    `coded` (n,) what it is told when it codes it; `weights` are those of the best epoch so far.
    """

    config: TrainConfig
    scaler: Scaler
    conditioner: Conditioner | None
    train: Tensor
    val: Tensor
    met: Tensor
    coded: Tensor
    # On the CPU whatever the device, so that a seed means the same batches and noise everywhere.
    generator: torch.Generator
    history: list[Epoch]
    weights: dict[str, Tensor]

    @classmethod
    def begin(cls, features: FeatureSet, config: TrainConfig) -> _Member:
        training = split(features.ids, val_fraction=config.val_fraction, seed=config.seed)
        windowed = features.values.ndim > 2
        # statistics of the training tracks only
        scaler = MEL_SCALER if windowed else Scaler.fit(features.values[training])
        conditioner = None
        met = torch.zeros(len(features), dtype=torch.int64)  # what models but a CVAE pay no heed to
        if config.model == "cvae":
            scaled = scaler.transform(features.values)
            if config.condition_on == "genre":
                conditioner = Conditioner.of_genres(features.labels)
            else:
                conditioner = Conditioner.of_clusters(
                    scaled[training], n_clusters=config.n_clusters, seed=config.seed
                )
            met = torch.from_numpy(conditioner.numbers(features.labels, scaled))
        train, val = (torch.from_numpy(np.flatnonzero(rows)) for rows in (training, ~training))
        coded = torch.zeros_like(met) if config.encode_as == "unknown" else met
        generator = torch.Generator().manual_seed(config.seed)
        return cls(config, scaler, conditioner, train, val, met, coded, generator, [], {})

    @property
    def goes_on(self) -> bool:
        if not self.history:
            return True
        stalled = len(self.history) - best(self.history).epoch >= self.config.patience
        return len(self.history) < self.config.epochs and not stalled

    def scaled(self, features: FeatureSet) -> Tensor:
        return torch.from_numpy(self.scaler.transform(features.values))

    def model(self, shape: tuple[int, ...]) -> Coder:
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
        return torch.randn(b, self.config.latent_dim, generator=self.generator)

    def forgets(self, b: int) -> Tensor:
        return torch.rand(b, generator=self.generator) < FORGET

    def end(self, shape: tuple[int, ...]) -> Fitted:
        model = self.model(shape)
        model.load_state_dict(self.weights)
        model.to(self.config.device).eval()
        return Fitted(model, self.scaler, self.conditioner, shape, self.config, self.history)


def _read_checkpoint(
    path: Path,
    config: TrainConfig,
    model: Coder,
    optimizer: torch.optim.Optimizer,
    members: Sequence[_Member],
) -> None:
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    # More epochs may be asked of a checkpoint; anything else is another training.
    asked = asdict(config) | {"seed": members[0].config.seed}
    seeds = [member.config.seed for member in members]
    if state["config"] | {"epochs": config.epochs} != asked or state["seeds"] != seeds:
        raise InputError(f"{path}: the checkpoint belongs to another configuration")
    model.load_state_dict(state["last"])
    optimizer.load_state_dict(state["optimizer"])
    for member, own in zip(members, state["members"], strict=True):
        member.generator.set_state(own["generator"])
        member.weights = own["best"]
        member.history = [Epoch(int(row[0]), *row[1:]) for row in own["history"]]


def _write_checkpoint(
    path: Path,
    config: TrainConfig,
    model: Coder,
    optimizer: torch.optim.Optimizer,
    members: Sequence[_Member],
) -> None:
    _save_tensors(
        path,
        {
            "config": asdict(config) | {"seed": members[0].config.seed},
            "seeds": [member.config.seed for member in members],
            "last": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "members": [
                {
                    "generator": member.generator.get_state(),
                    "best": member.weights,
                    "history": [tuple(epoch) for epoch in member.history],
                }
                for member in members
            ],
        },
    )


def _save_tensors(path: Path, state: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        torch.save(state, temporary)
