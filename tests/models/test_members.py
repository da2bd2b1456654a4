from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from genre_vae.models.config import TrainConfig
from genre_vae.models.members import split
from genre_vae.models.networks import AutoencoderBase
from genre_vae.models.training import fit
from tests.helpers import blobs
from tests.models.inputs import CONFIG, CONTRASTIVE, windows


def test_split_goes_by_id_not_by_row() -> None:
    ids = blobs(200, groups=4).ids
    training_rows = split(ids, val_fraction=0.1, seed=3)
    assert (~training_rows).sum() == 20
    order = np.random.default_rng(0).permutation(200)
    again = split(ids[order], val_fraction=0.1, seed=3)
    assert set(ids[order][~again]) == set(ids[~training_rows])
    assert set(ids[~split(ids, val_fraction=0.1, seed=4)]) != set(ids[~training_rows])


@pytest.mark.parametrize("n", [2, 3, 5])
def test_either_side_of_a_small_split_has_a_track(n: int) -> None:
    for fraction in (0.01, 0.5, 0.99):
        rows = split(blobs(n, groups=2).ids, val_fraction=fraction, seed=0)
        assert 0 < rows.sum() < n


def test_the_scaler_never_sees_validation_tracks() -> None:
    features = blobs(50, groups=3)
    held_out = ~split(features.ids, val_fraction=CONFIG.val_fraction, seed=CONFIG.seed)
    values = features.values.copy()
    values[held_out] += 100
    planted = fit(replace(features, values=values), replace(CONFIG, epochs=1))
    clean = fit(features, replace(CONFIG, epochs=1))
    np.testing.assert_array_equal(planted.scaler.mean, clean.scaler.mean)
    np.testing.assert_array_equal(planted.scaler.scale, clean.scaler.scale)
    assert planted.history[0].val_loss > 10 * clean.history[0].val_loss


@pytest.mark.parametrize("config", CONTRASTIVE)
def test_the_two_windows_of_a_track_differ_and_are_its_own(config: TrainConfig) -> None:
    """Windows that say which track and window they are, as the model sees them in training."""
    features = windows(w=3)
    values = np.zeros(features.values.shape, np.float16)
    values += (4 * np.arange(len(features))[:, None] + np.arange(3)).reshape(-1, 3, 1, 1, 1)
    seen: list[torch.Tensor] = []

    def listen(module: torch.nn.Module, given: tuple[torch.Tensor, ...]) -> None:
        if isinstance(module, AutoencoderBase) and module.training:
            seen.append((given[0][:, 0, 0, 0] * 80 - 80).round().to(torch.int64))

    hook = torch.nn.modules.module.register_module_forward_pre_hook(listen)
    try:
        fit(features.derive("mel", values), replace(config, epochs=10, batch_size=5))
    finally:
        hook.remove()
    first, second = (torch.cat(half) for half in zip(*(x.chunk(2) for x in seen), strict=True))
    assert torch.equal(first // 4, second // 4)
    assert (first % 4 != second % 4).all()
    assert set((first % 4).tolist()) == set((second % 4).tolist()) == {0, 1, 2}
    assert all(len(set(x.tolist())) == len(x) for x in seen)
