from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from genre_vae.models.config import TrainConfig
from genre_vae.models.members import MOST_HELD_OUT, Member, split
from genre_vae.models.networks import AutoencoderBase
from genre_vae.models.training import fit
from genre_vae.records import StrArray
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


def test_of_many_tracks_a_bounded_number_is_held_out() -> None:
    ids = blobs(3000, groups=3).ids
    held_out = ~split(ids, val_fraction=0.1, seed=0)
    assert held_out.sum() == MOST_HELD_OUT
    again = ~split(ids[::-1], val_fraction=0.1, seed=0)
    assert set(ids[::-1][again]) == set(ids[held_out])
    sizes = [15] * 200
    ids, artists = by_artist(sizes)
    assert abs((~split(ids, val_fraction=0.1, seed=0, artists=artists)).sum() - MOST_HELD_OUT) < 15


@pytest.mark.parametrize("parts", [1, 2, 7])
@pytest.mark.parametrize("views", [1, 2])
def test_a_pass_has_every_track_once_in_whatever_parts(parts: int, views: int) -> None:
    member = Member.begin(blobs(110, groups=2), CONFIG)
    n = len(member.train)
    orders = []
    for _ in range(2):
        drawn = [member.draw(5, views, part=part, parts=parts) for part in range(parts)]
        order = torch.cat([tracks for tracks, _ in drawn])
        assert sorted(order.tolist()) == list(range(n))
        assert {len(tracks) for tracks, _ in drawn} <= {n // parts, n // parts + 1}
        for tracks, chosen in drawn:
            assert chosen.shape == (len(tracks), views)
            assert all(len(set(row)) == views for row in chosen.tolist())
        orders.append(order)
    assert not torch.equal(*orders), "a pass has an order of its own"


def by_artist(sizes: list[int], unknown: int = 0) -> tuple[StrArray, StrArray]:
    """Ids and artists of tracks in a mixed order."""
    artists = [f"artist {n}" for n, size in enumerate(sizes) for _ in range(size)] + [""] * unknown
    order = np.random.default_rng(0).permutation(len(artists))
    return np.array([f"{n}.wav" for n in order]), np.array(artists)[order]


@pytest.mark.parametrize(
    "sizes", [[15] * 20, [1, 2, 3, 50, 7, 9, 11, 30], [40, 3, 3, 3, 3], [2] * 3]
)
@pytest.mark.parametrize("unknown", [0, 7])
def test_no_artist_is_on_both_sides(sizes: list[int], unknown: int) -> None:
    ids, artists = by_artist(sizes, unknown)
    held_out = [~split(ids, val_fraction=0.1, seed=n, artists=artists) for n in range(10)]
    for one in held_out:
        assert not set(artists[one]) & set(artists[~one]) - {""}
    assert len({int(one.sum()) for one in held_out}) == 1, "members of an ensemble are alike"
    assert len({tuple(ids[one]) for one in held_out}) > 1 or len(sizes) < 4
    order = np.random.default_rng(1).permutation(len(ids))
    again = ~split(ids[order], val_fraction=0.1, seed=0, artists=artists[order])
    assert set(ids[order][again]) == set(ids[held_out[0]])


def test_as_many_tracks_are_held_out_as_whole_artists_allow() -> None:
    for sizes, wanted in (([15] * 20, 30), ([40, 3, 3, 3, 3], 6), ([7, 9, 84], 9), ([1] * 50, 5)):
        ids, artists = by_artist(sizes)
        assert (~split(ids, val_fraction=0.1, seed=0, artists=artists)).sum() == wanted


def test_without_artists_the_split_is_what_it_was() -> None:
    ids = blobs(50, groups=3).ids
    plain = split(ids, val_fraction=0.1, seed=2)
    for artists in (np.full(50, ""), np.array([f"{n}" for n in range(50)])):
        assert (~split(ids, val_fraction=0.1, seed=2, artists=artists)).sum() == (~plain).sum()
    unknown = split(ids, val_fraction=0.1, seed=2, artists=np.full(50, ""))
    np.testing.assert_array_equal(unknown, plain)


@pytest.mark.parametrize("sizes", [[30], [10, 12], [90, 10, 10]])
def test_where_artists_cannot_be_kept_apart_some_are_split(sizes: list[int]) -> None:
    """One artist, or none small enough to be held out: a split by track is all there is."""
    ids, artists = by_artist(sizes)
    held_out = ~split(ids, val_fraction=0.1, seed=0, artists=artists)
    assert 0 < held_out.sum() <= len(ids) / 2


def test_training_keeps_artists_apart() -> None:
    features = blobs(60, groups=3)
    artists = np.array([f"artist {n % 6}" for n in range(60)])
    member = Member.begin(replace(features, groups={"artist": artists}), CONFIG)
    assert not set(artists[member.val.numpy()]) & set(artists[member.train.numpy()])


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
