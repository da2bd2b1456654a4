"""The one objective: training, validation and tests all call `elbo`."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from genre_vae.models import Output


class Loss(NamedTuple):
    """``total = reconstruction + beta * kl``, the last two averaged over the batch: (), or (m,)."""

    total: Tensor
    reconstruction: Tensor
    kl: Tensor


def elbo(x: Tensor, output: Output, *, beta: float, members: int | None = None) -> Loss:
    """Negative evidence lower bound, up to a constant.

    The reconstruction term is the squared error summed over the dimensions of one example, and
    the other is the KL divergence from the code's Gaussian to N(0, I), summed over latent
    dimensions; both are averaged over the batch. (Averaging either over its dimensions would
    silently change what `beta` means.)

    Parameters
    ----------
    x : (b, ...)
        The input.
    output
        What the model made of it. Without a ``logvar`` the KL is zero: an autoencoder.
    beta
        Weight of the KL: 1 is the VAE (Kingma & Welling, 2014, arXiv:1312.6114), more is the
        BetaVAE (Higgins et al., 2017).
    members
        The batch holds the examples of that many models, one model's after another's: averages are
        over the examples of each. None: it is one model's, and the averages have no axis.
    """
    reconstruction = _mean((output.reconstruction - x).square().flatten(1).sum(1), members)
    if output.logvar is None:
        kl = torch.zeros_like(reconstruction)
    else:
        mean, logvar = output.mean, output.logvar
        kl = _mean(0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1), members)
    return Loss(reconstruction + beta * kl, reconstruction, kl)


def _mean(per_example: Tensor, members: int | None) -> Tensor:
    return per_example.mean() if members is None else per_example.reshape(members, -1).mean(1)
