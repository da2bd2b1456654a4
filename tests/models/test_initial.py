from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from genre_vae.models import initial
from genre_vae.models.members import MEL_SCALER, training_rows
from genre_vae.models.networks import ConvVAE, build
from genre_vae.models.training import fit
from tests.models.inputs import CALIBRATED, assert_same_weights, windows


def begun(b: int, k: int, widths: tuple[int, ...] = (4, 8)) -> tuple[ConvVAE, Tensor]:
    """A ConvVAE that begins with the components of `b` windows, and these."""
    found = MEL_SCALER.transform(windows(n=b, w=1).values[:, 0])
    model = build(replace(CALIBRATED, latent_dim=k, widths=widths), (1, 16, 32))
    assert isinstance(model, ConvVAE)
    x = torch.from_numpy(found)
    initial.from_windows(model, x)
    return model, x


def convolved(model: ConvVAE, x: Tensor) -> tuple[Tensor, Tensor]:
    """What the convolutions make of windows, after and before the last activation: (b, d) each."""
    with torch.no_grad():
        return model.encoder(x), model.encoder[:-2](x).flatten(1)


@pytest.mark.parametrize("widths", [(4, 8), (4, 8, 8)])
def test_codes_begin_as_principal_components(widths: tuple[int, ...]) -> None:
    model, x = begun(12, 5, widths)
    values, _ = convolved(model, x)
    centred = values - values.mean(dim=0)
    left, lengths, _ = torch.linalg.svd(centred.double(), full_matrices=False)
    scores = left[:, :5] * lengths[:5]
    with torch.no_grad():
        mean, logvar = model.encode(x)
    assert logvar is not None
    wanted = scores / scores.square().mean().sqrt() * initial.CODE_STD
    torch.testing.assert_close(mean.abs().double(), wanted.abs(), atol=1e-4, rtol=1e-3)
    assert logvar.mean() == pytest.approx(initial.LOGVAR, abs=1)


def test_with_enough_dimensions_nothing_is_lost_on_the_way_to_the_decoder() -> None:
    model, x = begun(12, 11)
    _, before = convolved(model, x)
    with torch.no_grad():
        mean, _ = model.encode(x)
        back = model.decoder[0](mean)
    torch.testing.assert_close(back, before, atol=1e-4, rtol=1e-3)


def test_transposed_convolutions_begin_as_the_convolutions_that_they_mirror() -> None:
    model, _ = begun(12, 5, (4, 8, 8))
    down = [layer.weight for layer in model.encoder if isinstance(layer, nn.Conv2d)]
    up = [layer.weight for layer in model.decoder if isinstance(layer, nn.ConvTranspose2d)]
    for one, other in zip(down, reversed(up), strict=True):
        ratio = other / one
        assert ratio.std() < 1e-3 * ratio.mean()


def test_dimensions_without_a_component_keep_their_weights() -> None:
    model, _ = begun(4, 10)
    plain = build(replace(CALIBRATED, latent_dim=10, widths=(4, 8)), (1, 16, 32))
    assert isinstance(plain, ConvVAE)
    assert torch.equal(model.mean.weight[3:], plain.mean.weight[3:])
    assert not torch.equal(model.mean.weight[:3], plain.mean.weight[:3])


def test_windows_that_are_all_alike_leave_numbers() -> None:
    features = windows()
    flat = features.derive("mel", np.full_like(features.values, -30))
    trained = fit(flat, replace(CALIBRATED, epochs=2))
    assert all(weight.isfinite().all() for weight in trained.model.state_dict().values())


def test_held_out_tracks_have_no_part_in_where_a_model_begins() -> None:
    """At a learning rate of next to nothing, what is left is the beginning."""
    features, config = windows(n=30), replace(CALIBRATED, epochs=1, lr=1e-30)
    clean = fit(features, config)
    values = features.values.copy()
    values[~training_rows(features, config)] = -5
    assert_same_weights(clean, fit(features.derive("mel", values), config))
