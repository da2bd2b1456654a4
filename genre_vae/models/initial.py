"""Where a ConvVAE begins: principal components instead of random weights.

Axes: ``b`` windows, ``d`` values that the convolutions leave of one, ``k`` latent dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from genre_vae.models.networks import ConvVAE

# What codes have after a training (GTZAN-mini: .46 and -4.35), so that little is left to scale.
CODE_STD = 0.5
LOGVAR = -4.0


@torch.no_grad()
def from_windows(model: ConvVAE, x: Tensor) -> None:
    """Let a ConvVAE begin as principal components of what its convolutions make of windows.

    From random weights most of a training finds that subspace (docs/decisions.md). The code begins
    as the components, with one scale for all of them; the decoder's linear layer as the regression
    of the values before the last activation on it; each transposed convolution as the transpose of
    the convolution that it mirrors. Components that there are not keep their random weights.

    Parameters
    ----------
    model
        Without a contrastive term, whose code is of other values than the decoder restores.
    x : (b, 1, mel, t)
        Windows of training tracks, in [0, 1].
    """
    down = [layer for layer in model.encoder if isinstance(layer, nn.Conv2d)]
    up = [layer for layer in model.decoder if isinstance(layer, nn.ConvTranspose2d)]
    for mirrored, layer in zip(down, reversed(up), strict=True):
        layer.weight.copy_(mirrored.weight * (layer.weight.std() / mirrored.weight.std()))
    *convolutions, activation, flatten = model.encoder
    before = flatten(nn.Sequential(*convolutions)(x))  # (b, d)
    values = activation(before)
    mean = values.mean(dim=0)
    centred = values - mean
    # By the products of windows, of which there are fewer than values: it costs less.
    squares, vectors = torch.linalg.eigh((centred @ centred.T).double())
    kept = squares > 1e-6 * squares[-1]
    scores = (vectors[:, kept] * squares[kept].sqrt()).float().flip(1)[:, : len(model.mean.bias)]
    lengths = scores.square().sum(dim=0)
    components = centred.T @ scores / lengths  # (d, k), each divided by its length in `scores`
    shrunk = CODE_STD / scores.square().mean().sqrt()
    k = scores.shape[1]
    model.mean.weight[:k] = shrunk * components.T
    model.mean.bias[:k] = -shrunk * (components.T @ mean)
    first = model.decoder[0]
    assert isinstance(first, nn.Linear)
    first.weight[:, :k] = before.T @ scores / (shrunk * lengths)
    first.bias.copy_(before.mean(dim=0))
    model.logvar.bias.fill_(LOGVAR)
