"""The models: plain modules from a batch to its reconstruction, and nothing else.

Every model has ``encode(x) -> (mean, logvar)`` and ``decode(z)``; ``logvar`` is None where the
code is not a distribution. Randomness is passed in: ``forward(x, noise)`` takes the standard
normal sample of the reparameterisation trick, and without it decodes the mean. The condition of
each example is passed in as well; models that are not conditional ignore it.

Axes: ``b`` batch, ``d`` input, ``k`` latent, ``p`` projection, ``e`` dimensions of a condition's
embedding.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn

from genre_vae.models.config import CONVOLUTIONAL, TrainConfig

HIDDEN = (128, 64)  # widths from the input towards the latent; the decoder mirrors them
PROJECTION = 64  # p
EIGHTH = 8  # of each axis of a window is what the convolutions leave
GROUPS = 4  # of channels that are normalised together
SILU_GAIN = 1.68  # 1 / the root mean square of SiLU of a standard normal
_GLOBAL_GENERATOR = threading.Lock()  # torch's initialisers know no other; members may be threads


class Output(NamedTuple):
    """``reconstruction`` like the input, ``mean`` (b, k), ``logvar`` (b, k), ``projection`` (b, p):
    what a contrastive term compares. None where a model has no such thing."""

    reconstruction: Tensor | None
    mean: Tensor
    logvar: Tensor | None
    projection: Tensor | None = None


def _perceptron(*widths: int) -> nn.Sequential:
    """Linear layers with ReLU between them (none after the last)."""
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def _strides(widths: Sequence[int]) -> list[int]:
    """Every convolution halves both axes but the first, which leaves an eighth for the last: with
    two convolutions it reads patches of 4 by 4."""
    return [2 * EIGHTH // 2 ** len(widths), *[2] * (len(widths) - 1)]


def _kernel(stride: int) -> tuple[int, int]:
    """The size and the padding of a kernel: twice the stride of 2, or a patch as wide as it."""
    return (4, 1) if stride == 2 else (stride, 0)


def _convolutions(widths: Sequence[int], *, normed: bool = False) -> list[nn.Module]:
    """Convolutions with SiLU after each, which leave an eighth of both axes; with `normed`, group
    normalisation stands between (docs/decisions.md)."""
    layers: list[nn.Module] = []
    for (before, after), stride in zip(pairwise((1, *widths)), _strides(widths), strict=True):
        size, padding = _kernel(stride)
        layers.append(nn.Conv2d(before, after, size, stride, padding))
        if normed:  # by example, not by batch: a code does not depend on its neighbours
            layers.append(nn.GroupNorm(math.gcd(GROUPS, after), after))
        layers.append(nn.SiLU())
    return layers


def _initialise(layer: nn.Module, gain: float) -> None:
    """Normal weights under which values grow by `gain` (He et al., 2015, arXiv:1502.01852), and
    biases of 0.

    Torch's own weights let a code fade on its way through transposed convolutions, of whose kernels
    only a part meets in any output, and many epochs pass before it is used.
    """
    if isinstance(layer, nn.ConvTranspose2d):
        meet = math.prod(layer.kernel_size) // math.prod(layer.stride)
        inputs = layer.in_channels * meet
    elif isinstance(layer, nn.Linear | nn.Conv2d):
        inputs = layer.weight[0].numel()
    else:
        return
    nn.init.normal_(layer.weight, std=gain / math.sqrt(inputs))
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


class _OverTime(nn.Module):
    """Mean and highest value over time: (b, channels, bands, frames) -> (b, 2 * channels * bands).

    The bands stay apart: what an instrument sounds like is where it sounds.
    """

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x.mean(dim=3), x.amax(dim=3)], dim=1).flatten(1)


class AutoencoderBase(nn.Module):
    """The interface of every model: ``encode``, ``decode``, and both in ``forward``."""

    def encode(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(b, ...) -> mean (b, k) and log variance (b, k) of the code, or None for the latter."""
        raise NotImplementedError

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """(b, k) -> (b, ...)."""
        raise NotImplementedError

    def project(self, mean: Tensor) -> Tensor | None:
        """The projection that a contrastive term compares, (b, k) -> (b, p), or None.

        It serves training only: information that the term does not need is lost in the projection
        and not in the code (Chen et al., 2020, arXiv:2002.05709).
        """
        return None

    def forward(
        self, x: Tensor, noise: Tensor | None = None, condition: Tensor | None = None
    ) -> Output:
        """`noise` (b, k), where given, moves the code within its variance; `condition` (b,) holds
        whole numbers."""
        mean, logvar = self.encode(x, condition)
        z = mean if logvar is None or noise is None else mean + noise * torch.exp(logvar / 2)
        return Output(self.decode(z, condition), mean, logvar, self.project(mean))


class Autoencoder(AutoencoderBase):
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

    def encode(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(b, d) -> mean (b, k), and None: an autoencoder's code has no variance."""
        return self.mean(self.trunk(x)), None

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """(b, k) -> (b, d)."""
        reconstruction: Tensor = self.decoder(z)
        return reconstruction


class VAE(Autoencoder):
    """Variational autoencoder (Kingma & Welling, 2014, arXiv:1312.6114) of the same shape: the
    code of x is the Gaussian N(mean, exp(logvar))."""

    def __init__(self, input_dim: int, latent_dim: int, hidden: tuple[int, ...] = HIDDEN) -> None:
        super().__init__(input_dim, latent_dim, hidden)
        self.logvar = nn.Linear(hidden[-1], latent_dim)

    def encode(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(b, d) -> mean and log variance of the code, (b, k) each."""
        hidden = self.trunk(x)
        return self.mean(hidden), self.logvar(hidden)


class CVAE(AutoencoderBase):
    """Conditional VAE (Sohn, Lee & Yan, 2015): a VAE with a condition for each example.

    An embedding of the condition joins the code on its way into the decoder and, where the encoder
    is conditioned as well, the input on its way into the encoder. What the condition says the code
    need not carry. The prior N(0, I) does not depend on the condition, which Sohn et al. allow.

    Parameters
    ----------
    input_dim, latent_dim
        ``d`` and ``k``.
    n_conditions
        Conditions are numbers below this.
    condition_dim
        ``e``.
    condition_encoder
        Whether the encoder is conditioned too; if not, encoding needs no condition.
    hidden
        Widths of the encoder's hidden layers.
    """

    def __init__(
        self,
        input_dim: int,
        latent_dim: int,
        n_conditions: int,
        condition_dim: int,
        *,
        condition_encoder: bool,
        hidden: tuple[int, ...] = HIDDEN,
    ) -> None:
        super().__init__()
        self.condition_encoder = condition_encoder
        self.embedding = nn.Embedding(n_conditions, condition_dim)
        more = condition_dim if condition_encoder else 0
        self.trunk = nn.Sequential(_perceptron(input_dim + more, *hidden), nn.ReLU())
        self.mean = nn.Linear(hidden[-1], latent_dim)
        self.logvar = nn.Linear(hidden[-1], latent_dim)
        self.decoder = _perceptron(latent_dim + condition_dim, *reversed(hidden), input_dim)

    def encode(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(b, d) and, for a conditioned encoder, (b,) -> mean and log variance, (b, k) each."""
        hidden = self.trunk(self._with(x, condition) if self.condition_encoder else x)
        return self.mean(hidden), self.logvar(hidden)

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """(b, k) and (b,) -> (b, d)."""
        reconstruction: Tensor = self.decoder(self._with(z, condition))
        return reconstruction

    def _with(self, values: Tensor, condition: Tensor | None) -> Tensor:
        if condition is None:
            raise ValueError("a conditional VAE needs a condition for every example")
        return torch.cat([values, self.embedding(condition)], dim=1)


class ConvVAE(AutoencoderBase):
    """Convolutional variational autoencoder of mel windows in [0, 1].

    Convolutions leave an eighth of both axes and transposed ones restore them; the output is a
    sigmoid, which can reach what it has to fit.

    Parameters
    ----------
    latent_dim
        ``k``.
    widths
        Channels after each convolution, of which there are two or three; the decoder mirrors them.
    shape
        Mel bins and frames of a window, both divisible by 8.
    contrastive
        Whether a contrastive term trains it as well. It then has a head, its convolutions are
        normalised, and its code sees each channel and band over time, not frame by frame: two
        windows of a track share what sounds, not when.
    """

    def __init__(
        self,
        latent_dim: int,
        widths: tuple[int, ...] = TrainConfig.widths,
        shape: tuple[int, int] = (64, 128),
        *,
        contrastive: bool = False,
    ) -> None:
        super().__init__()
        left = [size // EIGHTH for size in shape]
        down = _convolutions(widths, normed=contrastive)
        up: list[nn.Module] = []
        strides = reversed(_strides(widths))
        for (before, after), stride in zip(pairwise((*reversed(widths), 1)), strides, strict=True):
            size, padding = _kernel(stride)
            up += [nn.SiLU(), nn.ConvTranspose2d(before, after, size, stride, padding)]
        flat = widths[-1] * left[0] * left[1]
        over_time = 2 * widths[-1] * left[0]
        self.encoder = nn.Sequential(*down, _OverTime() if contrastive else nn.Flatten())
        self.mean = nn.Linear(over_time if contrastive else flat, latent_dim)
        self.logvar = nn.Linear(over_time if contrastive else flat, latent_dim)
        self.decoder = nn.Sequential(
            nn.Linear(latent_dim, flat), nn.Unflatten(1, (widths[-1], *left)), *up, nn.Sigmoid()
        )
        first, last = self.decoder[0], self.decoder[-2]  # before and after all SiLU
        for layer in self.modules():
            _initialise(layer, 1 if layer in (self.mean, first, last) else SILU_GAIN)
        _initialise(self.logvar, 0.1)  # the variance begins near the prior's
        self.head = _perceptron(latent_dim, PROJECTION, PROJECTION) if contrastive else None

    def encode(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(b, 1, mel, t) -> mean and log variance of the code, (b, k) each."""
        hidden = self.encoder(x)
        return self.mean(hidden), self.logvar(hidden)

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """(b, k) -> (b, 1, mel, t)."""
        reconstruction: Tensor = self.decoder(z)
        return reconstruction

    def project(self, mean: Tensor) -> Tensor | None:
        """(b, k) -> (b, p)."""
        return None if self.head is None else self.head(mean)


class ContrastiveEncoder(AutoencoderBase):
    """The contrastive ConvVAE's encoder without a decoder, trained by that term alone.

    Parameters
    ----------
    latent_dim, widths
        As the ConvVAE's.
    n_mels
        Mel bins of a window.
    """

    def __init__(
        self, latent_dim: int, widths: tuple[int, ...] = TrainConfig.widths, n_mels: int = 64
    ) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*_convolutions(widths, normed=True), _OverTime())
        self.mean = nn.Linear(2 * widths[-1] * (n_mels // EIGHTH), latent_dim)
        self.head = _perceptron(latent_dim, PROJECTION, PROJECTION)

    def encode(self, x: Tensor, condition: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """(b, 1, mel, t) -> code (b, k), and None."""
        return self.mean(self.encoder(x)), None

    def forward(
        self, x: Tensor, noise: Tensor | None = None, condition: Tensor | None = None
    ) -> Output:
        """Code and projection."""
        mean, _ = self.encode(x)
        return Output(None, mean, None, self.project(mean))

    def project(self, mean: Tensor) -> Tensor | None:
        """(b, k) -> (b, p)."""
        projection: Tensor = self.head(mean)
        return projection


def build(config: TrainConfig, shape: tuple[int, ...], n_conditions: int = 0) -> AutoencoderBase:
    """A model with the initial weights of ``config.seed``; the global generator is untouched.

    Parameters
    ----------
    config
        Which model, and its sizes.
    shape
        The shape of an example: (d,), or (1, mel, t) for mel windows.
    n_conditions
        The number of conditions of a CVAE.
    """
    with _GLOBAL_GENERATOR, torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = _new(config, shape, n_conditions)
    if len(shape) > 1:  # convolutions on a CPU are a quarter faster so
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return model


def _new(config: TrainConfig, shape: tuple[int, ...], n_conditions: int) -> AutoencoderBase:
    if config.model == "contrastive":
        return ContrastiveEncoder(config.latent_dim, config.widths, shape[-2])
    if config.model in CONVOLUTIONAL:
        windows = (shape[-2], shape[-1])
        contrastive = config.contrast > 0
        return ConvVAE(config.latent_dim, config.widths, windows, contrastive=contrastive)
    if config.model == "cvae":
        return CVAE(
            shape[0],
            config.latent_dim,
            n_conditions,
            config.condition_dim,
            condition_encoder=config.condition == "encoder+decoder",
        )
    dense = Autoencoder if config.model == "autoencoder" else VAE
    return dense(shape[0], config.latent_dim)
