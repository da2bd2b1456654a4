from __future__ import annotations

import pytest
import torch
from torch.distributions import Normal, kl_divergence

from genre_vae.models import VAE, Output
from genre_vae.objective import elbo
from genre_vae.training import TrainConfig, build


def output(b: int = 5, k: int = 3, d: int = 7, *, seed: int = 0) -> tuple[torch.Tensor, Output]:
    g = torch.Generator().manual_seed(seed)
    x, reconstruction = torch.randn(2, b, d, generator=g)
    mean, logvar = torch.randn(2, b, k, generator=g)
    return x, Output(reconstruction, mean, logvar)


def test_kl_of_the_standard_normal_is_zero() -> None:
    x, out = output()
    loss = elbo(x, out._replace(mean=torch.zeros(5, 3), logvar=torch.zeros(5, 3)), beta=1)
    assert loss.kl == 0


def test_kl_is_torchs_summed_over_dimensions_averaged_over_the_batch() -> None:
    x, out = output()
    assert out.logvar is not None
    code = Normal(out.mean, (out.logvar / 2).exp())
    expected = kl_divergence(code, Normal(0, 1)).sum(1).mean()
    torch.testing.assert_close(elbo(x, out, beta=1).kl, expected)


def test_reconstruction_is_a_sum_over_dimensions() -> None:
    """Twice the dimensions is twice the error: a mean would make beta mean something else."""
    x, out = output()
    doubled = out._replace(reconstruction=torch.cat([out.reconstruction] * 2, dim=1))
    once = elbo(x, out, beta=1).reconstruction
    torch.testing.assert_close(once, (x - out.reconstruction).square().sum() / 5)
    twice = elbo(torch.cat([x, x], dim=1), doubled, beta=1).reconstruction
    torch.testing.assert_close(twice, 2 * once)


def test_images_count_like_vectors() -> None:
    x, out = output(d=8)
    image = elbo(
        x.reshape(5, 1, 2, 4),
        out._replace(reconstruction=out.reconstruction.reshape(5, 1, 2, 4)),
        beta=1,
    )
    torch.testing.assert_close(image, elbo(x, out, beta=1))


def test_repeating_the_batch_changes_nothing() -> None:
    x, out = output()
    repeated = Output(*(torch.cat([part, part]) for part in out if part is not None))
    torch.testing.assert_close(elbo(torch.cat([x, x]), repeated, beta=2), elbo(x, out, beta=2))


@pytest.mark.parametrize("beta", [0.0, 0.5, 4.0])
def test_beta_weighs_the_kl_and_nothing_else(beta: float) -> None:
    x, out = output()
    loss = elbo(x, out, beta=beta)
    torch.testing.assert_close(loss.total, loss.reconstruction + beta * loss.kl)


def test_an_autoencoder_has_no_kl() -> None:
    x, out = output()
    loss = elbo(x, out._replace(logvar=None), beta=100)
    assert loss.kl == 0
    assert loss.total == loss.reconstruction


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        *(("autoencoder", (40,)), ("vae", (40,)), ("cvae", (40,))),
        *(("conv_vae", (1, 64, 128)), ("conv_vae", (1, 16, 32))),
    ],
)
def test_shapes(name: str, shape: tuple[int, ...]) -> None:
    model = build(TrainConfig(model=name, latent_dim=6, widths=(4, 8, 8)), shape, 3)
    out = model(torch.randn(5, *shape), torch.randn(5, 6), torch.tensor([0, 1, 2, 0, 1]))
    assert out.reconstruction.shape == (5, *shape)
    assert out.mean.shape == (5, 6)
    assert (out.logvar is None) == (name == "autoencoder")


def test_the_widths_are_the_seeds() -> None:
    shapes = [tuple(p.shape) for n, p in VAE(40, 16).named_parameters() if n.endswith("weight")]
    encoder, decoder = [(128, 40), (64, 128), (16, 64)], [(64, 16), (128, 64), (40, 128)]
    assert sorted(shapes) == sorted([*encoder, *decoder, (16, 64)])


def test_noise_moves_the_code_by_its_standard_deviation() -> None:
    torch.manual_seed(0)
    model, x, noise = VAE(40, 3), torch.randn(4, 40), torch.randn(4, 3)
    mean, logvar = model.encode(x)
    assert logvar is not None
    z = mean + noise * logvar.exp().sqrt()
    torch.testing.assert_close(model(x, noise).reconstruction, model.decode(z))
    torch.testing.assert_close(model(x).reconstruction, model.decode(mean))
