"""The one objective: training, validation and tests all call `loss`.

The decoder is a Gaussian with one variance for all dimensions of the input. The squared error plus
``beta`` times the KL is the bound for the variance 1/2, up to a constant. So beta=1 here is beta=2
at unit variance, and one beta does not mean the same for inputs of different dimension (compare the
normalised beta of Higgins et al., 2017).

With the variance at its optimum, which is the mean squared error, nothing is left to choose
(sigma-VAE: Rybkin, Daniilidis & Levine, 2021, arXiv:2006.13202). The bound is then in nats, and its
gradient is that of the squared error plus ``2 * variance * beta`` times the KL: the same objective
with a weight that follows how well the model reconstructs.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from genre_vae.models.networks import Output


class Loss(NamedTuple):
    """``total = reconstruction + beta * kl`` and, of `loss`, ``+ weight * contrast``; the terms
    are averaged over the batch: (), or (m,)."""

    total: Tensor
    reconstruction: Tensor
    kl: Tensor
    contrast: Tensor


def loss(
    x: Tensor,
    output: Output,
    *,
    beta: float,
    variance: Tensor | None = None,
    contrast: float = 0.0,
    temperature: float = 0.2,
    views: int = 1,
    members: int | None = None,
) -> Loss:
    """`elbo`, and ``contrast * nt_xent`` of the projections where a model makes them.

    Parameters
    ----------
    x, output, beta, variance, members
        See `elbo`.
    contrast
        Weight of the contrastive term.
    temperature, views
        See `nt_xent`.
    """
    found = elbo(x, output, beta=beta, variance=variance, members=members)
    if output.projection is None:
        return found
    term = nt_xent(output.projection, temperature=temperature, views=views, members=members)
    return found._replace(total=found.total + contrast * term, contrast=term)


def elbo(
    x: Tensor,
    output: Output,
    *,
    beta: float,
    variance: Tensor | None = None,
    members: int | None = None,
) -> Loss:
    """Negative evidence lower bound.

    The reconstruction term is the squared error summed over the dimensions of one example, or with
    a `variance` the negative log likelihood of the example; the other term is the KL divergence
    from the code's Gaussian to N(0, I), summed over latent dimensions. Both are averaged over the
    batch. (Averaging either over its dimensions would silently change what `beta` means.)

    Parameters
    ----------
    x : (b, ...)
        The input.
    output
        The model's output for it. Without a ``logvar`` the KL is zero: an autoencoder. Without a
        ``reconstruction`` that term is zero: an encoder alone.
    beta
        Weight of the KL: 1 is the VAE (Kingma & Welling, 2014, arXiv:1312.6114), more is the
        BetaVAE (Higgins et al., 2017).
    variance : () or (m,), optional
        The variance of the decoder's Gaussian, and then the bound is in nats. Without it the
        variance is 1/2 and the constant of the likelihood is left out.
    members
        The batch holds the examples of that many models, one model's after another's: averages are
        over the examples of each. None: it is one model's, and the averages have no axis.
    """
    none = x.new_zeros(len(x))
    error, divergence = none, none
    if output.reconstruction is not None:
        error = (output.reconstruction - x).square().flatten(1).sum(1)
    if output.logvar is not None:
        mean, logvar = output.mean, output.logvar
        divergence = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).sum(1)
    reconstruction, kl = _mean(error, members), _mean(divergence, members)
    if variance is not None:
        constant = x[0].numel() / 2 * torch.log(2 * math.pi * variance)
        reconstruction = constant + reconstruction / (2 * variance)
    return Loss(reconstruction + beta * kl, reconstruction, kl, torch.zeros_like(kl))


def optimal_variance(x: Tensor, output: Output, *, members: int | None = None) -> Tensor:
    """The decoder's variance under which a batch is most likely, without a gradient: the mean
    squared error over its examples and their dimensions, () or (m,).

    The bound at the optimum has the same gradient whether the variance has one or not, since it
    is the minimum over the variance.
    """
    assert output.reconstruction is not None
    error = (output.reconstruction.detach() - x).square().flatten(1).mean(1)
    return _mean(error, members)


def nt_xent(
    projections: Tensor, *, temperature: float, views: int, members: int | None = None
) -> Tensor:
    """Normalised temperature-scaled cross entropy (Chen et al., 2020, arXiv:2002.05709).

    Each view of a track has to be most similar, by cosine, to the other views of that track among
    all other views in the batch. The term is 0 if there is only one track, and
    ``log(views * b - 1)`` where every view is as similar as every other.

    Parameters
    ----------
    projections : (m * views * b, p)
        The first view of each of ``b`` tracks, then the second of each, ...
    temperature
        Divides the similarities: the lower, the more the nearest views alone count.
    views
        Views of each track, at least two. With more than two, the mean over a view's companions.
    members
        See `elbo`.
    """
    unit = torch.nn.functional.normalize(projections, dim=1).reshape(
        members or 1, -1, projections.shape[1]
    )
    n = unit.shape[1]
    itself = torch.eye(n, dtype=torch.bool, device=unit.device)
    similar = (unit @ unit.transpose(1, 2) / temperature).masked_fill(itself, -torch.inf)
    found = similar - similar.logsumexp(dim=2, keepdim=True)  # log probabilities (m, n, n)
    track = torch.arange(n, device=unit.device) % (n // views)
    companions = (track[:, None] == track) & ~itself
    cross_entropy = -found.masked_fill(~companions, 0).sum(dim=2) / (views - 1)
    return _mean(cross_entropy.flatten(), members)


def _mean(per_example: Tensor, members: int | None) -> Tensor:
    return per_example.mean() if members is None else per_example.reshape(members, -1).mean(1)
