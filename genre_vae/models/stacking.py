"""Several dense models of one shape as a single module, trained together.

A small model's step is all overhead: what one costs in calls, five cost too if each call serves
them all. Rows of a batch stand model by model: the first ``b`` are the first model's, the next
``b`` the second's. Only the layers with weights distinguish the models.

Axes: ``m`` models, ``b`` rows of each.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from genre_vae.models.networks import AutoencoderBase


class _Linears(nn.Module):
    """A linear layer of every model: (m * b, in) -> (m * b, out)."""

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))
        self.bias = nn.Parameter(torch.stack([layer.bias.detach() for layer in layers]))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(len(self.weight), -1, x.shape[1])
        return torch.baddbmm(self.bias[:, None], rows, self.weight.transpose(1, 2)).flatten(0, 1)


class _Embeddings(nn.Module):
    """An embedding of every model: (m * b,) -> (m * b, e)."""

    def __init__(self, layers: Sequence[nn.Embedding]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.stack([layer.weight.detach() for layer in layers]))

    def forward(self, numbers: Tensor) -> Tensor:
        m = len(self.weight)
        model = torch.arange(m, device=numbers.device).repeat_interleave(len(numbers) // m)
        return self.weight[model, numbers]


def stack(models: Sequence[AutoencoderBase]) -> AutoencoderBase:
    """A module that is all of some models at once; a single model is itself.

    Parameters
    ----------
    models
        Of one shape, with no weights but those of linear layers and embeddings.

    Raises
    ------
    ValueError
        For a layer that cannot be stacked.
    """
    if len(models) == 1:
        return models[0]
    stacked = copy.deepcopy(models[0])
    for name, module in models[0].named_modules():
        layers = [model.get_submodule(name) for model in models]
        if isinstance(module, nn.Linear):
            stacked.set_submodule(name, _Linears(layers))  # type: ignore[arg-type]
        elif isinstance(module, nn.Embedding):
            stacked.set_submodule(name, _Embeddings(layers))  # type: ignore[arg-type]
        elif next(module.parameters(recurse=False), None) is not None:
            raise ValueError(f"{type(module).__name__} {name!r} cannot be stacked")
    return stacked


def weights_of(stacked: AutoencoderBase, member: int, *, members: int) -> dict[str, Tensor]:
    """A copy of one model's weights, under the names that it has alone."""
    state = stacked.state_dict()
    return {
        name: (weight[member] if members > 1 else weight).clone() for name, weight in state.items()
    }
