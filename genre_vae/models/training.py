"""The one loop: split by id, scale, fit with early stopping. It does not know MLflow.

Axes: ``m`` members, ``n`` tracks, ``b`` examples of each member in a batch, ``w`` windows of a
track, ``d`` input dimensions, ``k`` latent dimensions.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genre_vae.models import initial, stacking
from genre_vae.models.checkpoint import (
    Epoch,
    MemberState,
    TrainedModel,
    best,
    load_state,
    save_state,
)
from genre_vae.models.conditioning import UNKNOWN
from genre_vae.models.config import TrainConfig
from genre_vae.models.fairness import FairSemaphore
from genre_vae.models.members import MEL_SCALER, Member
from genre_vae.models.networks import AutoencoderBase, ConvVAE, Output
from genre_vae.models.objective import Loss, loss, optimal_variance
from genre_vae.records import FeatureSet, InputError

VAL_WINDOWS = 3  # of each validation track, evenly spaced: the same in every epoch
BLOCK = 64  # held-out examples that go through the model at a time
FIRST_WINDOWS = 512  # whose principal components a ConvVAE begins with
WARM_UP = 0.1
CHECKPOINT_EVERY = 20  # epochs between two writes of the last checkpoint


def torch_device(name: str | None) -> str:
    """The device of a name, or the fastest that torch finds; InputError where it finds none."""
    found = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name is None:
        return next((device for device, there in found.items() if there), "cpu")
    if not found.get(name, True):
        raise InputError(f"device={name}: torch finds none here")
    return name


def annealed(done: float) -> float:
    """The share of the learning rate when a share of the training is `done`: it rises from a tenth
    to 1 while a tenth of it is, and falls to 0 by half a cosine (Loshchilov & Hutter, 2017,
    arXiv:1608.03983; Goyal et al., 2017, arXiv:1706.02677, for the rise)."""
    if done < WARM_UP:
        return 0.1 + 0.9 * done / WARM_UP
    return (1 + math.cos(math.pi * (done - WARM_UP) / (1 - WARM_UP))) / 2


def fit(
    features: FeatureSet,
    config: TrainConfig,
    *,
    on_epoch: Callable[[Epoch], object] = lambda epoch: None,
    checkpoint: Path | None = None,
) -> TrainedModel:
    """Train one member: `fit_members` with a single seed."""
    (trained,) = fit_members(
        features,
        config,
        seeds=[config.seed],
        on_epoch=lambda _, epoch: on_epoch(epoch),
        checkpoint=checkpoint,
    )
    return trained


def fit_seeds(
    features: FeatureSet,
    config: TrainConfig,
    *,
    seeds: Sequence[int],
    workers: int,
    on_epoch: Callable[[int, Epoch], object] = lambda seed, epoch: None,
    checkpoint: Callable[[int], Path] | None = None,
) -> list[TrainedModel]:
    """Train a member for each seed, on all cores that may be used; in the order of the seeds.

    Dense members train together (`fit_members`). Members with convolutions would not gain by it;
    each trains in a thread of its own, since it leaves the interpreter for most of its time. Torch
    has one thread from then on.

    Parameters
    ----------
    features, config, seeds, on_epoch
        As for `fit_members`.
    workers
        Threads at a time; on an accelerator it is one.
    checkpoint
        The file for the last state of the members that train together, by the first one's seed.

    Raises
    ------
    InputError
        See `fit_members`. An error in one member, or in the calling thread, ends the others.
    """
    torch.set_num_threads(1)  # small models gain nothing from more, and one is bit-identical
    dense = features.values.ndim == 2
    together = [list(seeds)] if dense else [[seed] for seed in seeds]
    places = FairSemaphore(workers if torch_device(config.device) == "cpu" else 1)
    stop = threading.Event()

    def fit_some(some: Sequence[int]) -> list[TrainedModel]:
        def after(seed: int, epoch: Epoch) -> None:
            on_epoch(seed, epoch)
            if stop.is_set():
                raise InterruptedError
            places.pass_on(epoch.epoch)

        last = None if checkpoint is None else checkpoint(some[0])
        with places:
            return fit_members(features, config, seeds=some, on_epoch=after, checkpoint=last)

    with ThreadPoolExecutor(len(together)) as pool:
        futures = [pool.submit(fit_some, some) for some in together]
        try:
            for future in as_completed(futures):
                future.result()  # the first error that there is, whichever member's
            return [trained for future in futures for trained in future.result()]
        except BaseException:
            stop.set()  # Ctrl-C and SIGTERM reach this thread only
            pool.shutdown(cancel_futures=True)
            raise


def fit_members(
    features: FeatureSet,
    config: TrainConfig,
    *,
    seeds: Sequence[int],
    on_epoch: Callable[[int, Epoch], object] = lambda seed, epoch: None,
    checkpoint: Path | None = None,
) -> list[TrainedModel]:
    """Train a member for each seed, together: each as it would be alone, but for rounding.

    Parameters
    ----------
    features : values (n, d) or (n, w, 1, mel, t)
        Of windows, one of each track (two for a contrastive term) is drawn at random in every
        epoch, and one seed is all that can be trained at a time. Only a CVAE on genres uses the
        labels.
    config
        Equal features, configs and seeds give equal weights on one machine and thread count. Its
        own seed is replaced by each of `seeds`.
    seeds
        The members' seeds.
    on_epoch
        Called with a member's seed after each of its epochs.
    checkpoint
        File for the last state, written every 20 epochs and at the end. Where it is already
        there, training continues from it, with the same result as if it had never stopped.

    Raises
    ------
    InputError
        If there are fewer than two tracks, two genres for a CVAE on them, or two windows for a
        contrastive term; if the loss is not finite, or the checkpoint belongs to another
        configuration.
    """
    ensemble = _Ensemble(features, config, seeds)
    if checkpoint is not None and checkpoint.exists():
        ensemble.resume(checkpoint)
    while any(member.is_training for member in ensemble.members):
        train_loss, variance = ensemble.train_epoch()
        ensemble.record(train_loss, ensemble.validate(variance), on_epoch)
        if checkpoint is not None and ensemble.epochs % CHECKPOINT_EVERY == 0:
            ensemble.write(checkpoint)
    if checkpoint is not None:
        ensemble.write(checkpoint)
    return [member.trained(ensemble.shape, ensemble.device) for member in ensemble.members]


class _Ensemble:
    """Members in training: one model that is all of theirs, its optimizer, and their data."""

    def __init__(self, features: FeatureSet, config: TrainConfig, seeds: Sequence[int]) -> None:
        if len(features) < 2:
            raise InputError(f"{features.name}: training needs two tracks, got {len(features)}")
        windowed = features.values.ndim > 2
        self.values = features.values
        self.config = config
        self.device = torch_device(config.device)
        self.views = 2 if config.contrast > 0 else 1  # windows of a track in an epoch
        self.n_windows = features.values.shape[1] if windowed else 1
        if self.n_windows < self.views:
            raise InputError(f"{features.name}: a contrastive term needs two windows of each track")
        self.shape: tuple[int, ...] = features.values.shape[2 if windowed else 1 :]
        self.members = [Member.begin(features, replace(config, seed=seed)) for seed in seeds]
        # (m, n, d) of dense features; windows stay on disk
        self.scaled = (
            None if windowed else torch.stack([member.scaled(features) for member in self.members])
        )
        self.each = torch.arange(len(self.members))[:, None]
        self.train = torch.stack([member.train for member in self.members])
        self.val = torch.stack([member.val for member in self.members])
        # Every part of a pass has the same number of tracks, or one less.
        self.parts = math.ceil(self.train.shape[1] / config.epoch_tracks)
        self.train_condition = torch.stack([member.train_condition for member in self.members])
        self.encode_condition = torch.stack([member.encode_condition for member in self.members])
        # Validation sees the same windows in every epoch, or its loss would be a lottery.
        spaced = np.unique(np.linspace(0, self.n_windows - 1, VAL_WINDOWS).round().astype(np.int64))
        self.val_windows = torch.from_numpy(spaced)[:, None]
        # The bound on the likelihood needs a sample of the code: also the same in every epoch.
        n_val, k = self.val.shape[1], config.latent_dim
        self.val_noise = (
            torch.stack([m.noise(len(spaced) * n_val).reshape(-1, n_val, k) for m in self.members])
            if config.calibrated
            else None
        )
        built = [member.build(self.shape) for member in self.members]
        for model, member in zip(built, self.members, strict=True):
            # with a variance of 1/2 the KL rules, and soon undoes such a beginning
            if config.calibrated and isinstance(model, ConvVAE) and model.head is None:
                initial.from_windows(model, self.some_windows(member))
        self.model: AutoencoderBase = stacking.stack(built).to(self.device)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=config.lr, fused=True)
        for place, member in enumerate(self.members):
            member.weights = self.weights_of(place)

    def some_windows(self, member: Member) -> Tensor:
        """Windows of a member's training tracks, drawn from all: (b, 1, mel, t)."""
        n = len(member.train) * self.n_windows
        which = torch.randperm(n, generator=member.generator)[:FIRST_WINDOWS]
        picked = self.values[member.train[which // self.n_windows], which % self.n_windows]
        return torch.from_numpy(MEL_SCALER.transform(picked))

    @property
    def epochs(self) -> int:
        """Epochs done."""
        return max(len(member.history) for member in self.members)

    def weights_of(self, place: int) -> dict[str, Tensor]:
        """A copy of one member's weights."""
        return stacking.weights_of(self.model, place, members=len(self.members))

    def examples(self, rows: Tensor, windows: Tensor) -> Tensor:
        """(m, b) tracks and windows -> (m * b, ...), a member's examples together."""
        if self.scaled is not None:
            return self.scaled[self.each, rows].flatten(0, 1).to(self.device)
        picked = self.values[rows[0].numpy(), windows[0].numpy()]
        x = torch.from_numpy(MEL_SCALER.transform(picked)).to(self.device)
        return x.contiguous(memory_format=torch.channels_last)

    def loss(self, x: Tensor, output: Output, variance: Tensor | None, *, views: int) -> Loss:
        """The objective of each member: (m,)."""
        return loss(
            x,
            output,
            beta=self.config.beta,
            variance=variance,
            contrast=self.config.contrast,
            temperature=self.config.temperature,
            views=views,
            members=len(self.members),
        )

    def train_epoch(self) -> tuple[Tensor, Tensor | None]:
        """One pass over the training tracks of every member, or the next part of one: its mean loss
        and, where the decoder is calibrated, its variance, (m,) each."""
        self.model.train()
        total, squared = torch.zeros(2, len(self.members), device=self.device)
        which = {"part": self.epochs % self.parts, "parts": self.parts}
        draws = [member.draw(self.n_windows, self.views, **which) for member in self.members]
        order = torch.stack([order for order, _ in draws])  # (m, n)
        drawn = torch.stack([windows for _, windows in draws])  # (m, n, views)
        for places in torch.split(torch.arange(order.shape[1]), self.config.batch_size):
            # a window of each track of the batch, then another of each, ...
            rows = self.train.gather(1, order[:, places]).repeat(1, self.views)
            windows = torch.cat(drawn[:, places].unbind(dim=2), dim=1)
            b = rows.shape[1]
            noise = torch.cat([member.noise(b) for member in self.members]).to(self.device)
            condition = self.train_condition[self.each, rows].flatten()
            if self.config.encode_as == "unknown":
                dropped = torch.cat([member.condition_dropout(b) for member in self.members])
                condition[dropped] = UNKNOWN
            x = self.examples(rows, windows)
            output = self.model(x, noise, condition.to(self.device))
            variance = None
            if self.config.calibrated:
                variance = optimal_variance(x, output, members=len(self.members))
            found = self.loss(x, output, variance, views=self.views)
            if self.config.annealed:
                done = (self.epochs + places[0].item() / order.shape[1]) / self.config.epochs
                for group in self.optimizer.param_groups:
                    group["lr"] = self.config.lr * annealed(done)
            self.optimizer.zero_grad()
            found.total.sum().backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            share = len(places) / order.shape[1]
            total += found.total.detach() * share
            if variance is not None:
                squared += variance * share
        return total, squared if self.config.calibrated else None

    def validate(self, variance: Tensor | None) -> Tensor:
        """The terms of the loss on the held-out tracks of every member: (terms, m).

        The variance of a calibrated decoder is that of the training tracks, so that what is held
        out chooses nothing of its own likelihood.
        """
        self.model.eval()
        held_out = torch.zeros(len(Loss._fields), len(self.members), device=self.device)
        w = len(self.val_windows)
        for places in torch.split(torch.arange(self.val.shape[1]), max(1, BLOCK // w)):
            tracks = self.val[:, places]
            rows = tracks.repeat(1, w)
            windows = self.val_windows.expand(-1, tracks.shape[1]).reshape(1, -1)
            x = self.examples(rows, windows)
            condition = self.encode_condition[self.each, rows].flatten().to(self.device)
            noise = None  # (m, w, b, k) -> (m * w * b, k), in the order of the rows
            if self.val_noise is not None:
                noise = self.val_noise[:, :, places].flatten(0, 2).to(self.device)
            with torch.no_grad():
                parts = self.loss(x, self.model(x, noise, condition), variance, views=w)
            held_out += torch.stack(parts) * (tracks.shape[1] / self.val.shape[1])
        return held_out

    def record(
        self, train_loss: Tensor, held_out: Tensor, on_epoch: Callable[[int, Epoch], object]
    ) -> None:
        """Add an epoch to the history of each member in training, and keep the best weights."""
        losses = torch.cat([train_loss[None], held_out]).T.tolist()
        for place, member in enumerate(self.members):
            if not member.is_training:  # computed with the others, and of no more use
                continue
            epoch = Epoch(len(member.history) + 1, *losses[place])
            if not np.isfinite(losses[place]).all():
                name = self.config.model
                raise InputError(f"{name}: the loss is not finite after epoch {epoch.epoch}")
            member.history.append(epoch)
            if best(member.history) is epoch:
                member.weights = self.weights_of(place)
            on_epoch(member.config.seed, epoch)

    def write(self, checkpoint: Path) -> None:
        """Write the last state."""
        states = [
            MemberState(member.generator.get_state(), member.order, member.weights, member.history)
            for member in self.members
        ]
        seeds = [member.config.seed for member in self.members]
        save_state(checkpoint, self.config, seeds, self.model, self.optimizer, states)

    def resume(self, checkpoint: Path) -> None:
        """Continue from the last state."""
        seeds = [member.config.seed for member in self.members]
        states = load_state(checkpoint, self.config, seeds, self.model, self.optimizer)
        for member, state in zip(self.members, states, strict=True):
            member.generator.set_state(state.generator)
            member.order = state.order
            member.weights = state.best
            member.history = state.history
