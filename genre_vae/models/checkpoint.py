"""Trained models, and the last state of a training, as tensors in a file. No code is unpickled."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from genre_vae.files import replacing
from genre_vae.models.conditioning import Conditioner
from genre_vae.models.config import TrainConfig
from genre_vae.models.networks import AutoencoderBase, build
from genre_vae.records import InputError
from genre_vae.scaling import Scaler


class Epoch(NamedTuple):
    """One row of the history: mean losses per example, `train_loss` with noise as optimised,
    the others on the held-out tracks, at the code's mean unless the decoder is calibrated."""

    epoch: int
    train_loss: float
    val_loss: float
    val_reconstruction: float
    val_kl: float
    val_contrast: float


def best(history: Sequence[Epoch]) -> Epoch:
    """The epoch whose weights are kept: the first with the lowest validation loss."""
    return min(history, key=lambda epoch: epoch.val_loss)


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A trained model with the weights of its best epoch, its scaler and its history.

    `shape` is that of one example: (d,), or (1, mel, t) for mel windows. `conditioner` is None for
    models without a condition, and `device` is where the model is.
    """

    model: AutoencoderBase
    scaler: Scaler
    conditioner: Conditioner | None
    shape: tuple[int, ...]
    config: TrainConfig
    history: list[Epoch]
    device: str = "cpu"

    @property
    def best(self) -> Epoch:
        """The epoch that the weights are from."""
        return best(self.history)


def save(trained: TrainedModel, path: Path) -> None:
    """Write the best weights with scaler and config, for `load`."""
    conditioner = trained.conditioner or Conditioner()
    centroids = conditioner.centroids
    _save_tensors(
        path,
        {
            "config": asdict(trained.config),
            "shape": list(trained.shape),
            "weights": trained.model.state_dict(),
            "scaler": {
                name: torch.from_numpy(array) for name, array in trained.scaler.arrays().items()
            },
            "genres": list(conditioner.genres),
            "centroids": None if centroids is None else torch.from_numpy(centroids),
        },
    )


def load(path: Path) -> TrainedModel:
    """Read what `save` wrote, on the CPU; the history is not kept there. Older files, from before
    scalers had a geometry and decoders were calibrated, are read too."""
    state = torch.load(path, weights_only=True, map_location="cpu")
    config = TrainConfig(**state["config"])
    if "scaler" in state:
        scaler = Scaler.of_arrays({name: one.numpy() for name, one in state["scaler"].items()})
    else:
        scaler = Scaler(state["scaler_mean"].numpy(), state["scaler_scale"].numpy())
    shape = tuple(state["shape"])
    conditioner = None
    if config.model == "cvae":
        centroids = None if state["centroids"] is None else state["centroids"].numpy()
        conditioner = Conditioner(tuple(state["genres"]), centroids)
    model = build(config, shape, conditioner.n_conditions if conditioner else 0)
    model.load_state_dict(state["weights"])
    return TrainedModel(model.eval(), scaler, conditioner, shape, config, [])


class MemberState(NamedTuple):
    """The part of a training's state that belongs to one member: its random generator's state, the
    order of the tracks in this pass, the weights of its best epoch so far, and its history."""

    generator: Tensor
    order: Tensor
    best: dict[str, Tensor]
    history: list[Epoch]


def save_state(
    path: Path,
    config: TrainConfig,
    seeds: Sequence[int],
    model: AutoencoderBase,
    optimizer: torch.optim.Optimizer,
    members: Sequence[MemberState],
) -> None:
    """Write the state of a training of members with some seeds, for `load_state`."""
    _save_tensors(
        path,
        {
            "config": asdict(replace(config, seed=seeds[0])),
            "seeds": list(seeds),
            "last": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "members": [
                {
                    "generator": member.generator,
                    "order": member.order,
                    "best": member.best,
                    "history": [tuple(epoch) for epoch in member.history],
                }
                for member in members
            ],
        },
    )


def load_state(
    path: Path,
    config: TrainConfig,
    seeds: Sequence[int],
    model: AutoencoderBase,
    optimizer: torch.optim.Optimizer,
) -> list[MemberState]:
    """Read what `save_state` wrote into a model and its optimizer.

    More epochs may be asked of a state than it was made with, unless its learning rate follows
    their number.

    Raises
    ------
    InputError
        If it belongs to another training.
    """
    state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    asked = asdict(replace(config, seed=seeds[0]))
    more = {} if config.annealed else {"epochs": config.epochs}
    if state["config"] | more != asked or state["seeds"] != list(seeds):
        raise InputError(f"{path}: the checkpoint belongs to another configuration")
    model.load_state_dict(state["last"])
    optimizer.load_state_dict(state["optimizer"])
    return [
        MemberState(
            own["generator"],
            own["order"],
            own["best"],
            [Epoch(int(row[0]), *row[1:]) for row in own["history"]],
        )
        for own in state["members"]
    ]


def _save_tensors(path: Path, state: dict[str, Any]) -> None:
    with replacing(path) as temporary:
        torch.save(state, temporary)
