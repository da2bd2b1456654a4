from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genre_vae.fusion import concatenate
from genre_vae.records import FeatureSet, InputError, LabelUse
from tests.conftest import blobs

AUDIO = blobs(30, groups=3, d=8, spread=1.0)
TEXT = replace(blobs(30, groups=3, d=2, spread=1.0, seed=1), name="text")


def test_modalities_are_joined_by_id_in_the_order_of_the_first() -> None:
    shuffled = TEXT.select(TEXT.ids[np.random.default_rng(0).permutation(30)])
    one, two = concatenate([AUDIO, TEXT]), concatenate([AUDIO, shuffled])
    np.testing.assert_array_equal(one.ids, AUDIO.ids)
    np.testing.assert_array_equal(two.ids, AUDIO.ids)
    np.testing.assert_allclose(one.values, two.values, atol=1e-6)
    assert one.name == "blobs + text"


def test_tracks_that_one_modality_lacks_are_left_out() -> None:
    fused = concatenate([AUDIO, TEXT.select(TEXT.ids[5:])])
    np.testing.assert_array_equal(fused.ids, AUDIO.ids[5:])
    with pytest.raises(InputError, match="1 tracks in common"):
        concatenate([AUDIO, TEXT.select(TEXT.ids[:1])])


def test_each_modality_weighs_the_same_whatever_its_units_and_dimensions() -> None:
    values = concatenate([AUDIO, TEXT]).values
    assert values[:, :8].var(axis=0).sum() == pytest.approx(1, rel=1e-4)
    assert values[:, 8:].var(axis=0).sum() == pytest.approx(1, rel=1e-4)
    louder = AUDIO.derive(AUDIO.name, AUDIO.values * 1000)
    np.testing.assert_allclose(concatenate([louder, TEXT]).values, values, atol=1e-4)


def test_weights_scale_their_modality() -> None:
    plain, weighed = concatenate([AUDIO, TEXT]), concatenate([AUDIO, TEXT], weights=[1, 3])
    np.testing.assert_allclose(weighed.values[:, :8], plain.values[:, :8])
    np.testing.assert_allclose(weighed.values[:, 8:], 3 * plain.values[:, 8:], rtol=1e-5)


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [-1, 1], [0, 0]])
def test_weights_that_do_not_fit_are_refused(weights: list[float]) -> None:
    with pytest.raises(InputError, match="weights"):
        concatenate([AUDIO, TEXT], weights=weights)


@pytest.mark.parametrize("use", LabelUse)
def test_label_use_is_the_highest(use: LabelUse) -> None:
    touched = TEXT.derive("text", TEXT.values, use)
    assert concatenate([AUDIO, touched]).label_use is use
    assert concatenate([touched, AUDIO]).label_use is use


def test_a_constant_modality_adds_nothing() -> None:
    constant = FeatureSet("c", AUDIO.ids, np.ones((30, 3), np.float32), AUDIO.labels)
    fused = concatenate([AUDIO, constant])
    assert (fused.values[:, 8:] == 0).all()
