from __future__ import annotations

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from genre_vae.models import checkpoint, training
from genre_vae.models.checkpoint import Epoch
from genre_vae.models.config import CONVOLUTIONAL, TrainConfig
from genre_vae.models.encoding import encode
from genre_vae.models.training import fit
from genre_vae.records import InputError
from tests.helpers import blobs
from tests.models.inputs import (
    CALIBRATED,
    CONFIG,
    CONTRASTIVE,
    CONV,
    assert_same_weights,
    windows,
)


@pytest.mark.parametrize(
    "config", [CONFIG, replace(CONFIG, model="autoencoder"), CONV, CALIBRATED, *CONTRASTIVE]
)
def test_save_then_load_is_identity(tmp_path: Path, config: TrainConfig) -> None:
    features = windows() if config.model in CONVOLUTIONAL else blobs(30, groups=3)
    trained = fit(features, config)
    checkpoint.save(trained, tmp_path / "best.pth")
    loaded = checkpoint.load(tmp_path / "best.pth")
    assert_same_weights(trained, loaded)
    np.testing.assert_array_equal(encode(loaded, features).values, encode(trained, features).values)


@pytest.mark.parametrize("config", [CONFIG, CONV])
def test_an_older_checkpoint_is_read(tmp_path: Path, config: TrainConfig) -> None:
    """From before scalers had a geometry and decoders were calibrated."""
    features = windows() if config is CONV else blobs(30, groups=3)
    trained = fit(features, config)
    checkpoint.save(trained, tmp_path / "new.pth")
    state = torch.load(tmp_path / "new.pth", weights_only=True)
    del state["config"]["calibrated"]
    scaler = state.pop("scaler")
    state |= {name: scaler[name] for name in ("scaler_mean", "scaler_scale")}
    torch.save(state, tmp_path / "old.pth")
    loaded = checkpoint.load(tmp_path / "old.pth")
    assert not loaded.config.calibrated
    np.testing.assert_array_equal(encode(loaded, features).values, encode(trained, features).values)


def test_a_checkpoint_that_carries_code_is_not_executed(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "executed",))  # type: ignore[return-value]

    torch.save({"config": Bomb()}, tmp_path / "vae_best.pth")
    with pytest.raises(pickle.UnpicklingError):
        checkpoint.load(tmp_path / "vae_best.pth")
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize("stop", [20, 33])
def test_a_resumed_training_is_the_unbroken_one(tmp_path: Path, stop: int) -> None:
    features, config = blobs(40, groups=4), replace(CONFIG, epochs=45)

    def die(epoch: Epoch) -> None:
        if epoch.epoch == stop + 1:
            raise KeyboardInterrupt

    path = tmp_path / "last.pth"
    with pytest.raises(KeyboardInterrupt):
        fit(features, config, on_epoch=die, checkpoint=path)
    resumed_at: list[Epoch] = []
    resumed = fit(features, config, on_epoch=resumed_at.append, checkpoint=path)
    assert resumed_at[0].epoch == 21  # the last multiple of CHECKPOINT_EVERY, plus one
    unbroken = fit(features, config)
    assert_same_weights(resumed, unbroken)
    assert resumed.history == unbroken.history


@pytest.mark.parametrize("annealed", [False, True])
def test_a_training_that_is_resumed_within_a_pass_is_the_unbroken_one(
    tmp_path: Path, annealed: bool
) -> None:
    """Seven epochs to a pass: the twentieth, after which the state is written, ends none."""
    features = blobs(60, groups=4)
    config = replace(CONFIG, epochs=24, epoch_tracks=8, batch_size=8, annealed=annealed)

    def die(epoch: Epoch) -> None:
        if epoch.epoch == 22:
            raise KeyboardInterrupt

    path = tmp_path / "last.pth"
    with pytest.raises(KeyboardInterrupt):
        fit(features, config, on_epoch=die, checkpoint=path)
    resumed, unbroken = fit(features, config, checkpoint=path), fit(features, config)
    assert_same_weights(resumed, unbroken)
    assert resumed.history == unbroken.history


def test_an_annealed_training_has_the_number_of_epochs_that_it_began_with(tmp_path: Path) -> None:
    features, path = blobs(40, groups=4), tmp_path / "last.pth"
    fit(features, replace(CONFIG, annealed=True), checkpoint=path)
    longer = replace(CONFIG, annealed=True, epochs=CONFIG.epochs + 1)
    with pytest.raises(InputError, match="another configuration"):
        fit(features, longer, checkpoint=path)


@pytest.mark.parametrize("config", [*CONTRASTIVE, CALIBRATED])
def test_a_resumed_convolutional_training_is_the_unbroken_one(
    tmp_path: Path, config: TrainConfig
) -> None:
    features, longer = windows(), replace(config, epochs=24)
    fit(features, replace(longer, epochs=20), checkpoint=tmp_path / "last.pth")
    resumed = fit(features, longer, checkpoint=tmp_path / "last.pth")
    unbroken = fit(features, longer)
    assert_same_weights(resumed, unbroken)
    assert resumed.history == unbroken.history


def test_resumed_members_are_the_unbroken_ones(tmp_path: Path) -> None:
    features, config = blobs(40, groups=4), replace(CONFIG, epochs=45)

    def die(seed: int, epoch: Epoch) -> None:
        if epoch.epoch == 30:
            raise KeyboardInterrupt

    path = tmp_path / "last.pth"
    with pytest.raises(KeyboardInterrupt):
        training.fit_members(features, config, seeds=[5, 6], on_epoch=die, checkpoint=path)
    resumed = training.fit_members(features, config, seeds=[5, 6], checkpoint=path)
    unbroken = training.fit_members(features, config, seeds=[5, 6])
    for one, two in zip(resumed, unbroken, strict=True):
        assert_same_weights(one, two)
        assert one.history == two.history
    with pytest.raises(InputError, match="another configuration"):
        training.fit_members(features, config, seeds=[5, 7], checkpoint=path)


def test_a_finished_training_is_not_trained_again(tmp_path: Path) -> None:
    path, seen = tmp_path / "last.pth", list[Epoch]()
    first = fit(blobs(40, groups=4), CONFIG, checkpoint=path)
    again = fit(blobs(40, groups=4), CONFIG, checkpoint=path, on_epoch=seen.append)
    assert seen == []
    assert_same_weights(first, again)


def test_a_checkpoint_of_another_configuration_is_refused(tmp_path: Path) -> None:
    fit(blobs(40, groups=4), CONFIG, checkpoint=tmp_path / "last.pth")
    with pytest.raises(InputError, match="another configuration"):
        fit(blobs(40, groups=4), replace(CONFIG, beta=2.0), checkpoint=tmp_path / "last.pth")
