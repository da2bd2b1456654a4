"""The models: plain modules from a batch to its reconstruction, and nothing else.

Every model has ``encode(x) -> (mean, logvar)`` and ``decode(z)``; ``logvar`` is None where the
code is not a distribution. Randomness is passed in: ``forward(x, noise)`` takes the standard
normal sample of the reparameterisation trick, and without it decodes the mean.

Axes: ``b`` batch, ``d`` input dimensions, ``k`` latent dimensions.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

HIDDEN = (128, 64)  # widths from the input towards the latent; the decoder mirrors them


class Output(NamedTuple):
    """``reconstruction`` like the input, ``mean`` (b, k), ``logvar`` (b, k) or None."""

    reconstruction: Tensor
    mean: Tensor
    logvar: Tensor | None


def _perceptron(*widths: int) -> nn.Sequential:
    """Linear layers with ReLU between them (none after the last)."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class Autoencoder(nn.Module):
    """Dense autoencoder d-128-64-k-64-128-d.

    Parameters
    ----------
    input_dim, latent_dim
        ``d`` and ``k``.
    hidden
        Widths of the encoder's hidden layers.
    """

    def __init__(self, input_dim: int, latent_dim: int, hidden: tuple[int, ...] = HIDDEN) -> None:
        super().__init__()
        self.trunk = nn.Sequential(_perceptron(input_dim, *hidden), nn.ReLU())
        self.mean = nn.Linear(hidden[-1], latent_dim)
        self.decoder = _perceptron(latent_dim, *reversed(hidden), input_dim)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(b, d) -> mean (b, k), and None: an autoencoder's code has no variance."""
        return self.mean(self.trunk(x)), None

    def decode(self, z: Tensor) -> Tensor:
        """(b, k) -> (b, d)."""
        reconstruction: Tensor = self.decoder(z)
        return reconstruction

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Output:
        """`noise` (b, k), where given, moves the code within its variance."""
        mean, logvar = self.encode(x)
        z = mean if logvar is None or noise is None else mean + noise * torch.exp(logvar / 2)
        return Output(self.decode(z), mean, logvar)


class VAE(Autoencoder):
    """Variational autoencoder (Kingma & Welling, 2014, arXiv:1312.6114) of the same shape: the
    code of x is the Gaussian N(mean, exp(logvar))."""

    def __init__(self, input_dim: int, latent_dim: int, hidden: tuple[int, ...] = HIDDEN) -> None:
        super().__init__(input_dim, latent_dim, hidden)
        self.logvar = nn.Linear(hidden[-1], latent_dim)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor | None]:
        """(b, d) -> mean and log variance of the code, (b, k) each."""
        hidden = self.trunk(x)
        return self.mean(hidden), self.logvar(hidden)


MODELS: dict[str, type[Autoencoder]] = {"autoencoder": Autoencoder, "vae": VAE}
