from __future__ import annotations

import pytest
import torch

from genre_vae.models import networks, stacking
from genre_vae.models.config import TrainConfig
from genre_vae.models.networks import Autoencoder, AutoencoderBase, build
from genre_vae.models.objective import elbo
from genre_vae.models.training import fit, fit_members
from tests.helpers import blobs

DENSE = ("autoencoder", "vae", "cvae")


def built(name: str, members: int = 3) -> list[AutoencoderBase]:
    config = TrainConfig(model=name, latent_dim=2)
    return [build(TrainConfig(**(vars(config) | {"seed": s})), (6,), 4) for s in range(members)]


def batch(members: int = 3, b: int = 5) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    g = torch.Generator().manual_seed(0)
    x, noise = (torch.randn(members * b, d, generator=g) for d in (6, 2))
    return x, noise, torch.randint(4, (members * b,), generator=g)


@pytest.mark.parametrize("name", DENSE)
def test_each_row_goes_through_its_own_model(name: str) -> None:
    alone, (x, noise, condition) = built(name), batch()
    together = stacking.stack(alone)(x, noise, condition)
    for place, model in enumerate(alone):
        own = slice(5 * place, 5 * place + 5)
        expected = model(x[own], noise[own], condition[own])
        torch.testing.assert_close(together.reconstruction[own], expected.reconstruction)
        torch.testing.assert_close(together.mean[own], expected.mean)


@pytest.mark.parametrize("name", DENSE)
def test_gradients_are_those_of_each_model_alone(name: str) -> None:
    alone, (x, noise, condition) = built(name), batch()
    stacked = stacking.stack(alone)
    loss = elbo(x, stacked(x, noise, condition), beta=2, members=3)
    loss.total.sum().backward()  # type: ignore[no-untyped-call]
    for place, model in enumerate(alone):
        own = slice(5 * place, 5 * place + 5)
        alone_loss = elbo(x[own], model(x[own], noise[own], condition[own]), beta=2)
        alone_loss.total.backward()  # type: ignore[no-untyped-call]
        for key, weight in model.named_parameters():
            gradient = stacked.get_parameter(key).grad
            assert gradient is not None
            torch.testing.assert_close(gradient[place], weight.grad, msg=key)


@pytest.mark.parametrize("name", DENSE)
def test_weights_come_back_under_their_own_names(name: str) -> None:
    alone = built(name)
    stacked = stacking.stack(alone)
    for place, model in enumerate(alone):
        weights = stacking.weights_of(stacked, place, members=3)
        for key, weight in model.state_dict().items():
            assert torch.equal(weights[key], weight), key
        model.load_state_dict(weights)


def test_a_copy_of_weights_stays_when_training_goes_on() -> None:
    stacked = stacking.stack(built("vae"))
    kept = stacking.weights_of(stacked, 0, members=3)
    before = kept["mean.bias"].clone()
    with torch.no_grad():
        stacked.get_parameter("mean.bias").add_(1)
    assert torch.equal(kept["mean.bias"], before)


def test_one_model_is_itself_and_convolutions_cannot_be_stacked() -> None:
    model = Autoencoder(6, 2)
    assert stacking.stack([model]) is model
    with pytest.raises(ValueError, match=r"Conv2d 'encoder\.0' cannot be stacked"):
        stacking.stack([networks.ConvVAE(2, (4, 4, 4), (16, 32)) for _ in range(2)])


@pytest.mark.parametrize("name", DENSE)
def test_members_trained_together_are_those_trained_alone(name: str) -> None:
    """But for rounding, whatever else is trained beside them and however long that takes."""
    features = blobs(60, groups=3, spread=1.0)
    config = TrainConfig(model=name, latent_dim=2, epochs=40, patience=4, lr=5e-3)
    together = fit_members(features, config, seeds=[0, 1, 2])
    lengths = set()
    for seed, member in enumerate(together):
        alone = fit(features, TrainConfig(**(vars(config) | {"seed": seed})))
        assert member.config == alone.config
        assert len(member.history) == len(alone.history)
        lengths.add(len(alone.history))
        assert member.best.val_loss == pytest.approx(alone.best.val_loss, rel=1e-4)
        for key, weight in alone.model.state_dict().items():
            torch.testing.assert_close(
                member.model.state_dict()[key], weight, rtol=1e-2, atol=1e-4, msg=key
            )
    assert len(lengths) > 1, "some stop before others, or the test shows less than it says"
