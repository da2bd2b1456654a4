from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from genre_vae.models import encoding, members
from genre_vae.models.encoding import encode
from genre_vae.models.networks import AutoencoderBase
from genre_vae.models.training import fit
from genre_vae.records import FeatureSet
from tests.helpers import blobs
from tests.models.inputs import CONFIG, CONTRASTIVE, CONV, windows


def test_encoding_is_row_by_row() -> None:
    features = blobs(30, groups=3)
    trained = fit(features, CONFIG)
    whole = encode(trained, features)
    order = np.random.default_rng(0).permutation(30)
    permuted = encode(trained, features.select(features.ids[order]))
    np.testing.assert_array_equal(permuted.ids, features.ids[order])
    np.testing.assert_allclose(permuted.values, whole.values[order], atol=1e-6)
    assert whole.name == "vae(blobs)"
    assert whole.values.shape == (30, 3)


def test_a_code_of_windows_is_the_mean_over_all_windows() -> None:
    features = windows()
    trained = fit(features, CONV)
    whole = encode(trained, features).values
    one_by_one = [
        encode(trained, features.derive("mel", features.values[:, w : w + 1])).values
        for w in range(4)
    ]
    np.testing.assert_allclose(whole, np.mean(one_by_one, axis=0), atol=1e-5)
    backwards = features.derive("mel", np.ascontiguousarray(features.values[:, ::-1]))
    np.testing.assert_allclose(encode(trained, backwards).values, whole, atol=1e-5)


def test_an_encoder_alone_reconstructs_nothing() -> None:
    features = windows()
    trained = fit(features, CONTRASTIVE[1])
    with pytest.raises(ValueError, match="no decoder"):
        encoding.reconstruct(trained, features)


class Stub(AutoencoderBase):
    """A model whose code is its input, decoded by a function."""

    def __init__(self, decoder: Callable[[torch.Tensor], torch.Tensor]) -> None:
        super().__init__()
        self.decoder = decoder

    def encode(self, x: torch.Tensor, condition: torch.Tensor | None = None) -> tuple[Any, None]:
        return x, None

    def decode(self, z: torch.Tensor, condition: torch.Tensor | None = None) -> torch.Tensor:
        return self.decoder(z)


def explained(features: FeatureSet, decoder: Callable[[torch.Tensor], torch.Tensor]) -> float:
    config = CONV if features.values.ndim > 2 else CONFIG
    trained = fit(features, replace(config, epochs=1))
    return encoding.variance_explained(replace(trained, model=Stub(decoder)), features)


@pytest.mark.parametrize("features", [windows(40, w=1), blobs(40, groups=4)])
def test_perfect_decoders_explain_everything_and_half_an_error_a_quarter_less(
    features: FeatureSet,
) -> None:
    def centre(x: torch.Tensor) -> torch.Tensor:
        """The clip's mean spectrum, or the training tracks' mean, which is 0."""
        return x.mean(dim=3, keepdim=True).expand(x.shape) if x.ndim > 2 else torch.zeros_like(x)

    assert explained(features, lambda x: x) == 1
    assert explained(features, centre) == pytest.approx(0, abs=1e-3)
    assert explained(features, lambda x: (x + centre(x)) / 2) == pytest.approx(0.75, abs=1e-3)
    assert explained(features, lambda x: 2 * x + 1) < 0


def test_what_training_tracks_reconstruct_to_is_not_counted() -> None:
    features = blobs(40, groups=4)
    held_out = ~members.split(features.ids, val_fraction=CONFIG.val_fraction, seed=CONFIG.seed)
    trained = fit(features, replace(CONFIG, epochs=1))
    first = torch.from_numpy(trained.scaler.transform(features.values[held_out]))[0]

    def only_held_out(x: torch.Tensor) -> torch.Tensor:
        assert len(x) == held_out.sum()
        torch.testing.assert_close(x[0], first)
        return x

    stub = replace(trained, model=Stub(only_held_out))
    assert encoding.variance_explained(stub, features) == 1


def test_active_units_tell_tracks_apart() -> None:
    codes = np.zeros((50, 4), np.float32)
    codes[:, 1] = 7  # the same for every track
    codes[::2, 2] = 0.1  # a variance of .0025
    codes[::2, 3] = 1
    assert encoding.active_units(codes) == 1
    assert encoding.active_units(np.random.default_rng(0).normal(size=(50, 4))) == 4


def test_decoding_the_codes_is_the_reconstruction() -> None:
    features = blobs(40, groups=4)
    trained = fit(features, CONFIG)
    decoded = encoding.decode(trained, encode(trained, features).values)
    wanted = encoding.reconstruct(trained, features).values
    np.testing.assert_allclose(decoded, wanted, rtol=1e-4, atol=1e-5)
    one = windows(w=1)
    conv = fit(one, CONV)
    decoded = encoding.decode(conv, encode(conv, one).values)
    assert decoded.shape == (12, 1, 16, 32)
    assert (decoded >= -80).all()
    assert (decoded <= 0).all()
    np.testing.assert_allclose(decoded[:, None], encoding.reconstruct(conv, one).values, atol=1e-3)


def test_a_reconstruction_is_in_the_units_of_the_input() -> None:
    spread = blobs(60, groups=3, spread=1.0)
    features = spread.derive("big", spread.values * 100 + 1000)
    trained = fit(features, replace(CONFIG, model="autoencoder", latent_dim=6, epochs=200))
    back = encoding.reconstruct(trained, features)
    assert back.values.shape == features.values.shape
    residual = (back.values - features.values).var(axis=0) / features.values.var(axis=0)
    assert residual.mean() < 0.3


def test_what_is_explained_is_of_the_artists_that_were_held_out() -> None:
    """Values that only training tracks have lost change nothing."""
    features = windows(n=24)
    artists = np.array([f"artist {n % 8}" for n in range(24)])
    features = replace(features, groups={"artist": artists})
    trained = fit(features, CONV)
    rows = members.training_rows(features, CONV)
    assert not set(artists[rows]) & set(artists[~rows])
    values = features.values.copy()
    values[rows] = np.random.default_rng(0).uniform(-80, 0, values[rows].shape)
    lost = features.derive("mel", values)
    wanted = encoding.variance_explained(trained, features)
    assert encoding.variance_explained(trained, lost) == wanted
