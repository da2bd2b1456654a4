from __future__ import annotations

import dataclasses
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from genre_vae.models import checkpoint, encoding, training
from genre_vae.models.checkpoint import Epoch, TrainedModel
from genre_vae.models.config import CONVOLUTIONAL, TrainConfig
from genre_vae.models.encoding import encode
from genre_vae.models.members import split
from genre_vae.models.networks import AutoencoderBase
from genre_vae.models.training import fit
from genre_vae.records import FeatureSet, InputError
from tests.helpers import blobs

CONFIG = TrainConfig(latent_dim=3, epochs=25, patience=100, lr=5e-3)


def assert_same_weights(one: TrainedModel, two: TrainedModel) -> None:
    for key, weight in one.model.state_dict().items():
        assert torch.equal(weight, two.model.state_dict()[key]), key


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


def test_labels_are_not_looked_at() -> None:
    features = blobs(40, groups=4)
    shuffled = replace(features, labels=np.random.default_rng(0).permutation(features.labels))
    assert_same_weights(fit(features, CONFIG), fit(shuffled, CONFIG))


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
    fitted = fit(features, replace(CONFIG, model=model, epochs=60))
    assert fitted.best.val_reconstruction < 0.15 * 10  # the mean alone leaves all 10


def test_history_is_reported_as_it_happens() -> None:
    seen: list[Epoch] = []
    fitted = fit(blobs(40, groups=4), CONFIG, on_epoch=seen.append)
    assert seen == fitted.history
    assert [epoch.epoch for epoch in seen] == list(range(1, CONFIG.epochs + 1))
    for epoch in seen:
        assert epoch.val_loss == pytest.approx(epoch.val_reconstruction + epoch.val_kl, rel=1e-5)


def test_early_stopping_keeps_the_best_epoch() -> None:
    config = replace(CONFIG, epochs=500, patience=7, lr=3e-2)
    fitted = fit(blobs(40, groups=4), config)
    assert len(fitted.history) == fitted.best.epoch + 7 < 500
    cut = fit(blobs(40, groups=4), replace(config, epochs=fitted.best.epoch))
    assert_same_weights(fitted, cut)


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


def test_encoding_is_row_by_row() -> None:
    features = blobs(30, groups=3)
    fitted = fit(features, CONFIG)
    whole = encode(fitted, features)
    order = np.random.default_rng(0).permutation(30)
    permuted = encode(fitted, features.select(features.ids[order]))
    np.testing.assert_array_equal(permuted.ids, features.ids[order])
    np.testing.assert_allclose(permuted.values, whole.values[order], atol=1e-6)
    assert whole.name == "vae(blobs)"
    assert whole.values.shape == (30, 3)


def test_a_checkpoint_that_carries_code_is_not_executed(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (Path.touch, (tmp_path / "executed",))  # type: ignore[return-value]

    torch.save({"config": Bomb()}, tmp_path / "vae_best.pth")
    with pytest.raises(pickle.UnpicklingError):
        checkpoint.load(tmp_path / "vae_best.pth")
    assert not (tmp_path / "executed").exists()


def test_a_loss_that_explodes_is_reported() -> None:
    with pytest.raises(InputError, match="not finite"):
        fit(blobs(40, groups=4), replace(CONFIG, lr=1e30))


def test_one_track_cannot_be_trained_on() -> None:
    one = FeatureSet("x", np.array(["a"]), np.ones((1, 3), np.float32), np.array([""]))
    with pytest.raises(InputError, match="needs two tracks"):
        fit(one, CONFIG)


def test_the_config_is_plain_data() -> None:
    assert TrainConfig(**dataclasses.asdict(CONFIG)) == CONFIG


CONV = TrainConfig(
    model="conv_vae", latent_dim=4, widths=(4, 8, 8), epochs=3, batch_size=8, lr=2e-3
)


def windows(n: int = 12, w: int = 4, *, seed: int = 0) -> FeatureSet:
    """Tracks whose windows show a bar in one of three places, in dB: (n, w, 1, 16, 32) float16."""
    rng = np.random.default_rng(seed)
    values = np.full((n, w, 1, 16, 32), -60, dtype=np.float16)
    for track in range(n):
        values[track, :, :, 5 * (track % 3) : 5 * (track % 3) + 4] = -10
    values += rng.normal(size=values.shape).astype(np.float16)
    labels = np.array([f"g{track % 3}" for track in range(n)])
    return FeatureSet("mel", blobs(n, groups=3).ids, values, labels)


def test_a_code_of_windows_is_the_mean_over_all_windows() -> None:
    features = windows()
    fitted = fit(features, CONV)
    whole = encode(fitted, features).values
    one_by_one = [
        encode(fitted, features.derive("mel", features.values[:, w : w + 1])).values
        for w in range(4)
    ]
    np.testing.assert_allclose(whole, np.mean(one_by_one, axis=0), atol=1e-5)
    backwards = features.derive("mel", np.ascontiguousarray(features.values[:, ::-1]))
    np.testing.assert_allclose(encode(fitted, backwards).values, whole, atol=1e-5)


def test_windows_on_disk_train_like_windows_in_memory(tmp_path: Path) -> None:
    features = windows()
    features.save(tmp_path, "mel")
    on_disk = FeatureSet.load(tmp_path, "mel", mmap=True)
    assert_same_weights(fit(features, CONV), fit(on_disk, CONV))


def test_every_window_is_drawn_some_time() -> None:
    """A track whose second window is NaN cannot be trained on for long without it being met."""
    features = windows()
    values = features.values.copy()
    object.__setattr__(features, "values", values)  # past the record's own check
    values[:, 1] = np.nan
    with pytest.raises(InputError, match="not finite after epoch 1"):
        fit(features, CONV)


CONTRASTIVE = [
    replace(CONV, model="contrastive_vae", contrast=100.0),
    replace(CONV, model="contrastive", contrast=1.0),
]


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


def nearness(fitted: TrainedModel, features: FeatureSet) -> float:
    """How many windows have one of their own track as the nearest: a share."""
    n, w = features.values.shape[:2]
    scaled = torch.from_numpy(fitted.scaler.transform(features.values)).reshape(-1, 1, 16, 32)
    with torch.no_grad():
        codes, _ = fitted.model.encode(scaled)
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


@pytest.mark.parametrize("config", CONTRASTIVE)
def test_a_contrastive_term_needs_two_windows(config: TrainConfig) -> None:
    with pytest.raises(InputError, match="two windows of each track"):
        fit(windows(w=1), config)


def test_an_encoder_alone_reconstructs_nothing() -> None:
    features = windows()
    fitted = fit(features, CONTRASTIVE[1])
    with pytest.raises(ValueError, match="no decoder"):
        encoding.reconstruct(fitted, features)


def test_the_history_adds_up_with_a_contrastive_term() -> None:
    for epoch in fit(windows(), CONTRASTIVE[0]).history:
        parts = epoch.val_reconstruction + epoch.val_kl + 100 * epoch.val_contrast
        assert epoch.val_loss == pytest.approx(parts, rel=1e-5)
        assert epoch.val_contrast > 0


@pytest.mark.parametrize("config", CONTRASTIVE)
def test_a_resumed_contrastive_training_is_the_unbroken_one(
    tmp_path: Path, config: TrainConfig
) -> None:
    features, longer = windows(), replace(config, epochs=24)
    fit(features, replace(longer, epochs=20), checkpoint=tmp_path / "last.pth")
    resumed = fit(features, longer, checkpoint=tmp_path / "last.pth")
    assert_same_weights(resumed, fit(features, longer))


@pytest.mark.parametrize(
    "config", [CONFIG, replace(CONFIG, model="autoencoder"), CONV, *CONTRASTIVE]
)
def test_save_then_load_is_identity(tmp_path: Path, config: TrainConfig) -> None:
    features = windows() if config.model in CONVOLUTIONAL else blobs(30, groups=3)
    fitted = fit(features, config)
    checkpoint.save(fitted, tmp_path / "best.pth")
    loaded = checkpoint.load(tmp_path / "best.pth")
    assert_same_weights(fitted, loaded)
    np.testing.assert_array_equal(encode(loaded, features).values, encode(fitted, features).values)


def test_the_conv_vae_reconstructs_real_windows_better_than_their_mean(gtzan_mini: Path) -> None:
    """The seed's could not fit its own input: a sigmoid against decibels."""
    from genre_vae.collection.audio import load as load_audio
    from genre_vae.features.spectral import extract, mel_filters

    paths = sorted(gtzan_mini.glob("genres/*/*.0000[0-3].wav"))
    mel = np.stack([extract(load_audio(path), mel_filters()).mel for path in paths])
    ids = np.array([path.name for path in paths])
    features = FeatureSet("mel", ids, mel, np.full(len(ids), ""))
    config = TrainConfig(model="conv_vae", latent_dim=32, epochs=12, batch_size=8, lr=2e-3, seed=1)
    fitted = fit(features, config)
    held_out = ~split(ids, val_fraction=config.val_fraction, seed=config.seed)
    x = torch.from_numpy(fitted.scaler.transform(mel[held_out])).flatten(0, 1)
    with torch.no_grad():
        reconstruction = fitted.model(x).reconstruction
    error = (x - reconstruction).square().mean()
    mean = torch.from_numpy(fitted.scaler.transform(mel[~held_out])).flatten(0, 1).mean(dim=0)
    assert error < 0.8 * (x - mean).square().mean()
    assert 0 <= x.min() < x.max() <= 1


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


def test_windows_are_trained_one_member_at_a_time() -> None:
    with pytest.raises(ValueError, match="cannot be stacked"):
        training.fit_members(windows(), CONV, seeds=[0, 1])


def test_decoding_the_codes_is_the_reconstruction() -> None:
    features = blobs(40, groups=4)
    fitted = fit(features, CONFIG)
    decoded = encoding.decode(fitted, encode(fitted, features).values)
    wanted = encoding.reconstruct(fitted, features).values
    np.testing.assert_allclose(decoded, wanted, rtol=1e-4, atol=1e-5)
    one = windows(w=1)
    conv = fit(one, CONV)
    decoded = encoding.decode(conv, encode(conv, one).values)
    assert decoded.shape == (12, 1, 16, 32)
    assert (decoded >= -80).all()
    assert (decoded <= 0).all()
    np.testing.assert_allclose(decoded[:, None], encoding.reconstruct(conv, one).values, atol=1e-3)


def test_labels_do_not_reach_a_model_that_is_not_conditional() -> None:
    features = blobs(30, groups=3)
    dealt = replace(features, labels=np.random.default_rng(0).permutation(features.labels))
    one, two = (fit(each, replace(CONFIG, epochs=3)) for each in (features, dealt))
    assert_same_weights(one, two)


@pytest.mark.parametrize("name", ["vae", "conv_vae"])
def test_seeds_trained_on_all_cores_are_those_trained_one_by_one(name: str, tmp_path: Path) -> None:
    """In the order of their seeds, each with its file for the last state."""
    features = windows() if name in CONVOLUTIONAL else blobs(30, groups=3)
    config = replace(CONV if name in CONVOLUTIONAL else CONFIG, model=name, epochs=4)
    seen: list[tuple[int, int]] = []
    found = training.fit_seeds(
        features,
        config,
        seeds=[3, 4, 5],
        workers=2,
        on_epoch=lambda seed, epoch: seen.append((seed, epoch.epoch)),
        checkpoint=lambda seed: tmp_path / f"{seed}.pth",
    )
    assert [one.config.seed for one in found] == [3, 4, 5]
    assert sorted(seen) == [(seed, epoch) for seed in (3, 4, 5) for epoch in (1, 2, 3, 4)]
    files = {"3.pth"} if name == "vae" else {"3.pth", "4.pth", "5.pth"}
    assert {path.name for path in tmp_path.iterdir()} == files
    for one in found:
        alone = fit(features, replace(config, seed=one.config.seed))
        for key, weight in alone.model.state_dict().items():
            torch.testing.assert_close(one.model.state_dict()[key], weight, rtol=1e-4, atol=1e-5)


def test_an_error_in_one_seed_ends_the_others(tmp_path: Path) -> None:
    """Their epochs are many; that this test ends shows that they do."""

    def fail(seed: int, epoch: Epoch) -> None:
        if seed == 0 and epoch.epoch == 2:
            raise KeyError("stop")

    config = replace(CONV, epochs=100_000, patience=100_000)
    with pytest.raises(KeyError):
        training.fit_seeds(
            windows(),
            config,
            seeds=[0, 1, 2],
            workers=2,
            on_epoch=fail,
            checkpoint=lambda seed: tmp_path / f"{seed}.pth",
        )
