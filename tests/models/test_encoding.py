from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genre_vae.models import encoding
from genre_vae.models.encoding import encode
from genre_vae.models.training import fit
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
