from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from genre_vae.models import training
from genre_vae.models.checkpoint import Epoch, TrainedModel
from genre_vae.models.config import CONTRASTIVE as CONTRASTIVE_NAMES
from genre_vae.models.config import CONVOLUTIONAL, MODELS, TrainConfig
from genre_vae.models.encoding import variance_explained
from genre_vae.models.members import split
from genre_vae.models.training import fit
from genre_vae.records import FeatureSet, InputError
from tests.helpers import blobs
from tests.models.inputs import (
    CALIBRATED,
    CONFIG,
    CONTRASTIVE,
    CONV,
    assert_same_weights,
    windows,
)


def test_equal_seeds_give_equal_weights_and_others_do_not() -> None:
    features = blobs(40, groups=4)
    one, two = fit(features, CONFIG), fit(features, CONFIG)
    assert_same_weights(one, two)
    assert one.history == two.history
    assert fit(features, replace(CONFIG, seed=1)).history != one.history


def test_the_global_generator_is_neither_read_nor_moved() -> None:
    features = blobs(40, groups=4)
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = fit(features, CONFIG)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert_same_weights(one, fit(features, CONFIG))


@pytest.mark.parametrize("model", ["vae", "autoencoder"])
def test_a_model_learns_what_three_dimensions_can_hold(model: str) -> None:
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(300, 2)) @ rng.normal(size=(2, 10))
    features = replace(blobs(300, groups=3, d=10), values=flat.astype(np.float32))
    trained = fit(features, replace(CONFIG, model=model, epochs=60))
    assert trained.best.val_reconstruction < 0.15 * 10  # the mean alone leaves all 10


def test_history_is_reported_as_it_happens() -> None:
    seen: list[Epoch] = []
    trained = fit(blobs(40, groups=4), CONFIG, on_epoch=seen.append)
    assert seen == trained.history
    assert [epoch.epoch for epoch in seen] == list(range(1, CONFIG.epochs + 1))
    for epoch in seen:
        assert epoch.val_loss == pytest.approx(epoch.val_reconstruction + epoch.val_kl, rel=1e-5)


def test_early_stopping_keeps_the_best_epoch() -> None:
    config = replace(CONFIG, epochs=500, patience=7, lr=3e-2)
    trained = fit(blobs(40, groups=4), config)
    assert len(trained.history) == trained.best.epoch + 7 < 500
    cut = fit(blobs(40, groups=4), replace(config, epochs=trained.best.epoch))
    assert_same_weights(trained, cut)


@contextlib.contextmanager
def rates() -> Iterator[list[float]]:
    """The learning rate of every step of every optimizer."""
    seen: list[float] = []

    def after(optimizer: torch.optim.Optimizer, *_: object) -> None:
        seen.append(optimizer.param_groups[0]["lr"])

    hook = register_optimizer_step_post_hook(after)
    try:
        yield seen
    finally:
        hook.remove()


def test_ten_times_the_tracks_take_no_more_steps() -> None:
    config = replace(CONFIG, epochs=8, epoch_tracks=32, batch_size=8)
    counts = []
    for n in (36, 360, 3600):
        with rates() as seen:
            assert len(fit(blobs(n, groups=3), config).history) == 8
        counts.append(len(seen))
    assert counts == [8 * 4] * 3


def test_of_few_tracks_an_epoch_is_a_pass_whatever_its_bound() -> None:
    features = blobs(100, groups=3)
    bounded = fit(features, CONFIG)
    assert_same_weights(bounded, fit(features, replace(CONFIG, epoch_tracks=10**6)))
    cut = fit(features, replace(CONFIG, epoch_tracks=64))
    assert cut.history != bounded.history


def test_members_of_a_large_collection_are_those_trained_alone() -> None:
    features, config = blobs(200, groups=4), replace(CONFIG, epochs=7, batch_size=16)
    together = training.fit_members(features, config, seeds=[0, 1])
    for one in together:
        alone = fit(features, one.config)
        for name, weight in one.model.state_dict().items():
            torch.testing.assert_close(weight, alone.model.state_dict()[name], atol=1e-4, rtol=1e-3)


def test_an_annealed_rate_rises_and_falls_once_over_the_training() -> None:
    config = replace(CONV, epochs=20, annealed=True, patience=20)
    with rates() as seen:
        fit(windows(n=20), config)
    top = int(np.argmax(seen))
    assert 0 < top < len(seen) / 5
    assert (np.diff(seen[: top + 1]) > 0).all()
    assert (np.diff(seen[top:]) < 0).all()
    assert max(seen) == pytest.approx(config.lr, rel=0.05)
    assert seen[-1] < 0.02 * config.lr
    with rates() as constant:
        fit(windows(n=20), replace(config, annealed=False))
    assert set(constant) == {config.lr}


def test_a_loss_that_explodes_is_reported() -> None:
    with pytest.raises(InputError, match="not finite"):
        fit(blobs(40, groups=4), replace(CONFIG, lr=1e30))


def test_one_track_cannot_be_trained_on() -> None:
    one = FeatureSet("x", np.array(["a"]), np.ones((1, 3), np.float32), np.array([""]))
    with pytest.raises(InputError, match="needs two tracks"):
        fit(one, CONFIG)


def test_windows_on_disk_train_like_windows_in_memory(tmp_path: Path) -> None:
    features = windows()
    features.save(tmp_path, "mel")
    on_disk = FeatureSet.load(tmp_path, "mel", mmap=True)
    assert_same_weights(fit(features, CONV), fit(on_disk, CONV))


def test_every_window_is_drawn_some_time() -> None:
    """A track whose second window is NaN cannot be trained on for long without it being drawn."""
    features = windows()
    values = features.values.copy()
    object.__setattr__(features, "values", values)  # past the record's own check
    values[:, 1] = np.nan
    with pytest.raises(InputError, match="not finite after epoch 1"):
        fit(features, CONV)


def own_voices(n: int = 17, w: int = 4, *, seed: int = 0) -> FeatureSet:
    """Tracks with a timbre each, in which every window has bars of its own at random times."""
    rng = np.random.default_rng(seed)
    values = np.full((n, w, 1, 16, 32), -60, dtype=np.float16)
    for track in range(n):
        timbre = rng.choice(16, 5, replace=False)
        for window in range(w):
            times = rng.choice(32, 12, replace=False)
            values[track, window, 0][np.ix_(timbre, times)] = -10
    values += rng.normal(size=values.shape).astype(np.float16)
    return FeatureSet("mel", blobs(n, groups=3).ids, values, np.full(n, ""))


def nearness(trained: TrainedModel, features: FeatureSet) -> float:
    """How many windows have one of their own track as the nearest: a share."""
    n, w = features.values.shape[:2]
    scaled = torch.from_numpy(trained.scaler.transform(features.values)).reshape(-1, 1, 16, 32)
    with torch.no_grad():
        codes, _ = trained.model.encode(scaled)
    distances = torch.cdist(codes, codes).fill_diagonal_(torch.inf)
    track = torch.arange(n).repeat_interleave(w)
    return float((track[distances.argmin(dim=1)] == track).float().mean())


@pytest.mark.parametrize("config", CONTRASTIVE)
def test_a_contrastive_term_brings_windows_of_a_track_together(config: TrainConfig) -> None:
    features = own_voices()
    longer = replace(config, epochs=40, patience=40)
    without = fit(features, replace(longer, model="conv_vae", contrast=0.0))
    assert nearness(fit(features, longer), features) > nearness(without, features) + 0.2


@pytest.mark.parametrize("config", CONTRASTIVE)
def test_a_contrastive_term_needs_two_windows(config: TrainConfig) -> None:
    with pytest.raises(InputError, match="two windows of each track"):
        fit(windows(w=1), config)


def test_the_history_adds_up_with_a_contrastive_term() -> None:
    for epoch in fit(windows(), CONTRASTIVE[0]).history:
        parts = epoch.val_reconstruction + epoch.val_kl + 100 * epoch.val_contrast
        assert epoch.val_loss == pytest.approx(parts, rel=1e-5)
        assert epoch.val_contrast > 0


def test_the_history_of_a_calibrated_decoder_is_in_nats_and_adds_up() -> None:
    config = replace(CALIBRATED, beta=3.0, contrast=100.0)
    for epoch in fit(windows(), config).history:
        parts = epoch.val_reconstruction + 3 * epoch.val_kl + 100 * epoch.val_contrast
        assert epoch.val_loss == pytest.approx(parts, rel=1e-5)


def test_the_variance_of_a_decoder_is_that_of_the_training_tracks() -> None:
    """Held-out tracks that cannot be reconstructed are as unlikely as that variance says, and
    nothing in training heeds them."""
    features, config = windows(), replace(CALIBRATED, epochs=25, lr=1e-2)
    held_out = ~split(features.ids, val_fraction=config.val_fraction, seed=config.seed)
    values = features.values.copy()
    values[held_out] = np.random.default_rng(0).uniform(-80, 0, values[held_out].shape)
    clean, planted = fit(features, config), fit(features.derive("mel", values), config)
    for one, two in zip(clean.history, planted.history, strict=True):
        assert one.train_loss == two.train_loss
    d = values[0, 0].size
    worst = d / 2 * np.log(2 * np.pi * np.e / 3)  # with a variance of its own, wherever it is gray
    assert planted.history[-1].val_reconstruction > 2 * worst
    assert clean.history[-1].val_reconstruction < 0


def beats(n: int = 24, w: int = 4, *, seed: int = 0) -> FeatureSet:
    """Windows with a faint beat at one of four times, whatever the track."""
    rng = np.random.default_rng(seed)
    values = rng.normal(-40, 2, size=(n, w, 1, 16, 32)).astype(np.float16)
    for window in values.reshape(-1, 16, 32):
        time = 8 * rng.integers(4)
        window[:, time : time + 4] += 16
    return FeatureSet("mel", blobs(n, groups=3).ids, values, np.full(n, ""))


def test_a_calibrated_decoder_draws_events_that_a_variance_of_a_half_leaves_out() -> None:
    features, config = beats(), replace(CALIBRATED, epochs=40, patience=40, lr=1e-2)
    wide = replace(config, calibrated=False)
    calibrated, half = (variance_explained(fit(features, c), features) for c in (config, wide))
    assert calibrated > 0.6
    assert half < 0.3


def test_the_conv_vae_reconstructs_real_windows_better_than_their_mean(gtzan_mini: Path) -> None:
    """The seed's could not fit its own input: a sigmoid against decibels."""
    from genre_vae.collection.audio import load as load_audio
    from genre_vae.features.spectral import extract, mel_filters

    paths = sorted(gtzan_mini.glob("genres/*/*.0000[0-3].wav"))
    mel = np.stack([extract(load_audio(path).waveform, mel_filters()).mel for path in paths])
    ids = np.array([path.name for path in paths])
    features = FeatureSet("mel", ids, mel, np.full(len(ids), ""))
    config = TrainConfig(model="conv_vae", latent_dim=32, epochs=12, batch_size=8, lr=2e-3, seed=1)
    trained = fit(features, config)
    held_out = ~split(ids, val_fraction=config.val_fraction, seed=config.seed)
    x = torch.from_numpy(trained.scaler.transform(mel[held_out])).flatten(0, 1)
    with torch.no_grad():
        reconstruction = trained.model(x).reconstruction
    error = (x - reconstruction).square().mean()
    mean = torch.from_numpy(trained.scaler.transform(mel[~held_out])).flatten(0, 1).mean(dim=0)
    assert error < 0.8 * (x - mean).square().mean()
    assert 0 <= x.min() < x.max() <= 1


def test_windows_are_trained_one_member_at_a_time() -> None:
    with pytest.raises(ValueError, match="cannot be stacked"):
        training.fit_members(windows(), CONV, seeds=[0, 1])


@pytest.mark.parametrize("name", [name for name in MODELS if name != "cvae"])
def test_labels_do_not_reach_a_model_that_is_not_conditional(name: str) -> None:
    windowed = name in CONVOLUTIONAL
    features = windows() if windowed else blobs(30, groups=3)
    config = replace(CONV if windowed else CONFIG, model=name, epochs=3)
    config = replace(config, contrast=1.0 if name in CONTRASTIVE_NAMES else 0.0)
    permuted = replace(features, labels=np.random.default_rng(0).permutation(features.labels))
    unknown = replace(features, labels=np.full(len(features), ""))
    plain = fit(features, config)
    for other in (permuted, unknown):
        assert_same_weights(plain, fit(other, config))


def test_a_device_that_is_not_there_is_refused() -> None:
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    assert training.torch_device("cpu") == "cpu"
    assert there.get(training.torch_device(None), True)
    for name in (name for name, found in there.items() if not found):
        with pytest.raises(InputError, match=f"device={name}: torch finds none here"):
            fit(blobs(30, groups=3), replace(CONFIG, device=name))


@pytest.mark.parametrize("name", ["vae", "conv_vae"])
def test_seeds_trained_on_all_cores_are_those_trained_one_by_one(name: str, tmp_path: Path) -> None:
    """In the order of the seeds, with a file for the last state of those that train together."""
    dense = name == "vae"
    features = blobs(30, groups=3) if dense else windows()
    config = replace(CONFIG if dense else CONV, epochs=4)
    seen: list[tuple[int, int]] = []
    found = training.fit_seeds(
        features,
        config,
        seeds=[5, 3, 4],
        workers=2,
        on_epoch=lambda seed, epoch: seen.append((seed, epoch.epoch)),
        checkpoint=lambda seed: tmp_path / f"{seed}.pth",
    )
    assert [one.config.seed for one in found] == [5, 3, 4]
    assert sorted(seen) == [(seed, epoch) for seed in (3, 4, 5) for epoch in (1, 2, 3, 4)]
    files = {"5.pth"} if dense else {"3.pth", "4.pth", "5.pth"}
    assert {path.name for path in tmp_path.iterdir()} == files
    together = training.fit_members(features, config, seeds=[5, 3, 4]) if dense else []
    alone = together or [fit(features, replace(config, seed=seed)) for seed in (5, 3, 4)]
    for one, two in zip(found, alone, strict=True):
        assert_same_weights(one, two)


LONG = replace(CONV, epochs=500, patience=500)


@pytest.mark.parametrize("failing", [0, 2])
def test_an_error_in_one_seed_ends_the_others(failing: int) -> None:
    done: list[int] = []

    def fail(seed: int, epoch: Epoch) -> None:
        done.append(epoch.epoch)
        if seed == failing and epoch.epoch == 2:
            raise KeyError("stop")

    with pytest.raises(KeyError, match="stop"):
        training.fit_seeds(windows(), LONG, seeds=[0, 1, 2], workers=2, on_epoch=fail)
    assert max(done) < LONG.epochs


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="signals go to a process here")
def test_an_interrupt_of_the_calling_thread_ends_the_seeds() -> None:
    """What Ctrl-C does, which reaches that thread only."""
    caller, done = threading.get_ident(), list[int]()

    def interrupt(seed: int, epoch: Epoch) -> None:
        done.append(epoch.epoch)
        if seed == 1 and epoch.epoch == 2:
            signal.pthread_kill(caller, signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        training.fit_seeds(windows(), LONG, seeds=[0, 1, 2], workers=2, on_epoch=interrupt)
    assert max(done) < LONG.epochs
