from __future__ import annotations

import pytest
import torch

from genre_vae.models.config import CONTRASTIVE, CONVOLUTIONAL, TrainConfig
from genre_vae.models.networks import PROJECTION, VAE, build


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        *(("autoencoder", (40,)), ("vae", (40,)), ("cvae", (40,))),
        *(("conv_vae", (1, 64, 128)), ("conv_vae", (1, 16, 32))),
    ],
)
@pytest.mark.parametrize("widths", [(4, 8, 8), (8, 4)])
def test_shapes(name: str, shape: tuple[int, ...], widths: tuple[int, ...]) -> None:
    model = build(TrainConfig(model=name, latent_dim=6, widths=widths), shape, 3)
    out = model(torch.randn(5, *shape), torch.randn(5, 6), torch.tensor([0, 1, 2, 0, 1]))
    assert out.reconstruction.shape == (5, *shape)
    assert out.mean.shape == (5, 6)
    assert (out.logvar is None) == (name == "autoencoder")


@pytest.mark.parametrize("widths", [(16, 32, 64), (32, 16), (64, 128)])
def test_a_code_neither_fades_nor_explodes_before_the_first_step(widths: tuple[int, ...]) -> None:
    """What codes of unit size are decoded to, before the sigmoid; torch's own weights make .02."""
    model = build(TrainConfig(model="conv_vae", latent_dim=128, widths=widths), (1, 64, 128))
    z = torch.randn(20, 128, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        spread = torch.logit(model.decode(z)).std(dim=0).mean()
        mean, logvar = model.encode(torch.rand(20, 1, 64, 128))
    assert 0.3 < spread < 2
    assert 0.1 < mean.std() < 3
    assert logvar is not None
    assert logvar.abs().mean() < 0.3, "the variance begins near the prior's"


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


@pytest.mark.parametrize("name", ["contrastive_vae", "contrastive"])
def test_a_contrastive_code_depends_on_its_own_window_alone(name: str) -> None:
    config = TrainConfig(model=name, latent_dim=6, widths=(4, 8, 8), contrast=1)
    model, x = build(config, (1, 16, 32)), torch.randn(5, 1, 16, 32)
    together = model(x)
    assert together.projection is not None
    assert together.projection.shape == (5, PROJECTION)
    assert (together.reconstruction is None) == (together.logvar is None) == (name == "contrastive")
    torch.testing.assert_close(model(x[2:3]).mean, together.mean[2:3])


def test_a_contrastive_code_does_not_know_when() -> None:
    """Channels and bands over time: frames in another order are the same."""
    config = TrainConfig(model="contrastive", latent_dim=6, widths=(4, 8, 8))
    encoder = build(config, (1, 16, 32)).get_submodule("encoder")
    pool = list(encoder.children())[-1]
    heard = torch.randn(2, 8, 2, 4)
    torch.testing.assert_close(pool(heard[..., [2, 0, 3, 1]]), pool(heard))
    assert not torch.allclose(pool(heard.flip(2)), pool(heard))  # but where a sound is it knows


def test_without_a_contrastive_term_there_is_no_head() -> None:
    names = [name for name, _ in build(TrainConfig(model="conv_vae"), (1, 64, 128)).named_modules()]
    assert not any(name.startswith("head") for name in names)


DENSE = ["decoder.0", "decoder.2", "decoder.4", "mean", "trunk.0.0", "trunk.0.2"]
DECODER = ["decoder.0", "decoder.3", "decoder.5", "decoder.7"]
TWO = ["encoder.0", "encoder.2"]
NORMED = ["encoder.0", "encoder.1", "encoder.3", "encoder.4", "encoder.6", "encoder.7"]


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("autoencoder", DENSE),
        ("vae", [*DENSE, "logvar"]),
        ("betavae", [*DENSE, "logvar"]),
        ("cvae", [*DENSE, "logvar", "embedding"]),
        ("conv_vae", [*DECODER, "encoder.0", "encoder.2", "encoder.4", "mean", "logvar"]),
        ("two convolutions", ["decoder.0", "decoder.3", "decoder.5", *DENSE[3:4], "logvar", *TWO]),
        ("contrastive_vae", [*DECODER, *NORMED, "mean", "logvar", "head.0", "head.2"]),
        ("contrastive", [*NORMED, "mean", "head.0", "head.2"]),
    ],
)
def test_weights_keep_their_names(name: str, layers: list[str]) -> None:
    """Registered models and files of weights are read by these names."""
    widths: tuple[int, ...] = (4, 8, 8)
    if name == "two convolutions":
        name, widths = "conv_vae", (4, 8)
    config = TrainConfig(model=name, widths=widths, contrast=float(name in CONTRASTIVE))
    model = build(config, (1, 16, 32) if name in CONVOLUTIONAL else (6,), 4)
    wanted = {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}
    assert set(model.state_dict()) == wanted - {"embedding.bias"}
