from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score

from genre_vae.evaluation.differences import ami_without, differences
from genre_vae.records import Assignment


def noisy(name: str, *, wrong: float, rng: np.random.Generator, n: int = 150) -> Assignment:
    """Clusters of six genres with a share of tracks put anywhere, three seeds that mostly agree."""
    truth = np.arange(n) % 6
    bad = rng.random(n) < wrong
    clusters = np.where(bad, rng.integers(0, 6, (3, n)), truth)
    clusters[:, : n // 2] = clusters[0, : n // 2]
    ids = np.array([f"{row:04d}.wav" for row in range(n)])
    return Assignment(name, ids, clusters.astype(np.int64), np.array([f"g{g}" for g in truth]))


def test_equally_good_methods_are_rarely_distinguished_and_unequal_ones_are() -> None:
    rng = np.random.default_rng(0)
    false = [
        not differences([noisy("a", wrong=0.5, rng=rng), noisy("b", wrong=0.5, rng=rng)])[
            0
        ].within_noise
        for _ in range(60)
    ]
    assert sum(false) <= 6  # 3 expected at 95 %
    (one,) = differences([noisy("a", wrong=0.1, rng=rng), noisy("b", wrong=0.7, rng=rng)])
    assert not one.within_noise
    assert one.low < one.difference < one.high
    assert one.difference > 0.3


def test_the_interval_is_as_wide_as_differences_scatter() -> None:
    """Against draws of the whole experiment, which only a simulation can repeat."""
    rng = np.random.default_rng(1)
    drawn = [
        differences([noisy("a", wrong=0.4, rng=rng), noisy("b", wrong=0.6, rng=rng)])[0]
        for _ in range(60)
    ]
    scatter = 1.96 * np.std([one.difference for one in drawn])
    half = np.mean([(one.high - one.low) / 2 for one in drawn])
    assert scatter < half < 1.6 * scatter


def test_a_difference_is_of_common_tracks_with_genres_in_any_order() -> None:
    rng = np.random.default_rng(2)
    one, other = noisy("a", wrong=0.2, rng=rng), noisy("b", wrong=0.5, rng=rng)
    order = rng.permutation(150)
    moved = Assignment("b", other.ids[order], other.clusters[:, order], other.labels[order])
    assert differences([one, other]) == differences([one, moved])
    labels = other.labels.copy()
    fewer = Assignment("b", other.ids[20:], other.clusters[:, 20:], labels[20:])
    unknown = one.labels.copy()
    unknown[:20] = ""
    partly = Assignment("a", one.ids, one.clusters, unknown)
    assert differences([one, fewer]) == differences([partly, other])


def test_more_comparisons_make_wider_intervals() -> None:
    rng = np.random.default_rng(3)
    first, second = noisy("a", wrong=0.2, rng=rng), noisy("b", wrong=0.5, rng=rng)
    (alone,) = differences([first, second])
    among = differences([first, second, *[second] * 9])[0]
    assert among.high - among.low > 1.2 * (alone.high - alone.low)


def test_a_method_is_within_noise_of_itself() -> None:
    one = noisy("a", wrong=0.4, rng=np.random.default_rng(4))
    (same,) = differences([one, one])
    assert (same.difference, same.low, same.high) == (0, 0, 0)
    assert same.within_noise


def test_one_cluster_is_within_noise_of_another_and_not_undefined() -> None:
    good = noisy("a", wrong=0.2, rng=np.random.default_rng(6))
    lump = Assignment("b", good.ids, np.zeros_like(good.clusters), good.labels)
    (one,) = differences([good, lump])
    assert one.low > 0
    assert np.isfinite(one.high)
    (same,) = differences([lump, lump])
    assert same.within_noise


def test_two_genres_are_needed_for_a_difference() -> None:
    one = noisy("a", wrong=0.2, rng=np.random.default_rng(7))
    alike = Assignment("b", one.ids, one.clusters, np.full(150, "g"))
    assert differences([alike, one]) == []
    assert np.isnan(ami_without(alike, []))


def test_ami_without_some_tracks_is_that_of_the_others() -> None:
    one = noisy("a", wrong=0.4, rng=np.random.default_rng(5))
    left = one.ids[:30].tolist()
    expected = np.mean(
        [adjusted_mutual_info_score(one.labels[30:], clusters[30:]) for clusters in one.clusters]
    )
    assert ami_without(one, left) == pytest.approx(expected)
    assert ami_without(one, ["no such track"]) == ami_without(one, [])


def test_a_deterministic_result_is_compared_with_every_seed_of_the_other() -> None:
    rng = np.random.default_rng(5)
    one, other = noisy("a", wrong=0.2, rng=rng), noisy("b", wrong=0.5, rng=rng)
    single = replace(other, clusters=other.clusters[:1])
    copies = replace(other, clusters=np.repeat(other.clusters[:1], 3, axis=0))
    (found,), (expected,) = differences([one, single]), differences([one, copies])
    assert found.seeds == 3
    assert found == expected
