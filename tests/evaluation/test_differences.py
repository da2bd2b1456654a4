from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import adjusted_mutual_info_score

from genre_vae.evaluation.differences import Resampled, ami_without, differences
from genre_vae.evaluation.intervals import HALVES, LEFT_OUT, halves_of
from genre_vae.evaluation.metrics import adjusted_mutual_info, contingency
from genre_vae.records import Assignment


def kept(one: Assignment) -> Resampled:
    """A method to which halves of the tracks make no difference: it puts each track where it does
    among all."""
    halves = np.where(halves_of(one.ids)[:, None], one.clusters, LEFT_OUT)
    return Resampled(one, halves)


def noisy(name: str, *, wrong: float, rng: np.random.Generator, n: int = 150) -> Assignment:
    """Clusters of six genres with a share of tracks put anywhere, three seeds that mostly agree."""
    truth = np.arange(n) % 6
    bad = rng.random(n) < wrong
    clusters = np.where(bad, rng.integers(0, 6, (3, n)), truth)
    clusters[:, : n // 2] = clusters[0, : n // 2]
    ids = np.array([f"{rng.integers(1 << 40)}/{row:04d}.wav" for row in range(n)])
    return Assignment(name, ids, clusters.astype(np.int64), np.array([f"g{g}" for g in truth]))


def several(count: int, *, wrong: list[float], rng: np.random.Generator, n: int) -> list[Resampled]:
    """Such methods on the same tracks."""
    first = noisy("0", wrong=wrong[0], rng=rng, n=n)
    made = [noisy(str(m), wrong=wrong[m], rng=rng, n=n) for m in range(1, count)]
    return [kept(first), *(kept(replace(one, ids=first.ids)) for one in made)]


def best_first(clusterings: list[Resampled]) -> list[Resampled]:
    return sorted(clusterings, key=lambda one: -ami_without(one.assignment, []))


def test_equally_good_methods_are_rarely_distinguished_and_unequal_ones_are() -> None:
    rng = np.random.default_rng(0)
    pairs = [several(2, wrong=[0.5, 0.5], rng=rng, n=150) for _ in range(60)]
    false = [not differences(pair, planned=True)[0].within_noise for pair in pairs]
    assert sum(false) <= 6  # 3 expected at 95 %
    (one,) = differences(several(2, wrong=[0.1, 0.7], rng=rng, n=150))
    assert not one.within_noise
    assert one.low < one.difference < one.high
    assert one.difference > 0.3


@pytest.mark.slow
def test_of_ten_equal_methods_the_best_is_told_apart_in_five_tables_of_a_hundred_at_most() -> None:
    rng = np.random.default_rng(0)
    tables = (best_first(several(10, wrong=[0.5] * 10, rng=rng, n=90)) for _ in range(400))
    told = [any(not one.within_noise for one in differences(ranked)) for ranked in tables]
    assert sum(told) <= 20, sum(told)


def test_the_interval_is_as_wide_as_differences_scatter() -> None:
    """Against draws of the whole experiment, which only a simulation can repeat."""
    rng = np.random.default_rng(1)
    drawn = [
        differences(several(2, wrong=[0.4, 0.6], rng=rng, n=150), planned=True)[0]
        for _ in range(60)
    ]
    scatter = 1.96 * np.std([one.difference for one in drawn])
    half = np.mean([(one.high - one.low) / 2 for one in drawn])
    assert scatter < half < 1.6 * scatter


def test_a_difference_is_of_common_tracks_with_genres_in_any_order() -> None:
    rng = np.random.default_rng(2)
    one, other = several(2, wrong=[0.2, 0.5], rng=rng, n=150)
    order = rng.permutation(150)

    def at(each: Resampled, rows: np.ndarray) -> Resampled:
        about = each.assignment
        part = Assignment(about.name, about.ids[rows], about.clusters[:, rows], about.labels[rows])
        return Resampled(part, each.halves[:, :, rows])

    assert differences([one, other]) == differences([one, at(other, order)])
    assert differences([one, other]) == differences([at(one, order), other])
    unknown = one.assignment.labels.copy()
    unknown[:20] = ""
    partly = Resampled(replace(one.assignment, labels=unknown), one.halves)
    assert differences([one, at(other, np.arange(20, 150))]) == differences([partly, other])


def test_a_difference_in_halves_is_of_the_tracks_that_are_in_both() -> None:
    rng = np.random.default_rng(8)
    one, other = several(2, wrong=[0.2, 0.5], rng=rng, n=150)
    inside = (one.halves[:, 0] != LEFT_OUT) & (np.arange(150) >= 30)
    fewer = Resampled(other.assignment, np.where(inside[:, None], other.halves, LEFT_OUT))

    def ami(each: Resampled, half: int) -> float:
        labels, rows = one.assignment.labels, inside[half]
        return adjusted_mutual_info(contingency(labels[rows], each.halves[half, 0, rows]))

    expected = [ami(one, half) - ami(other, half) for half in range(HALVES)]
    single, other_single = (
        Resampled(
            replace(each.assignment, clusters=each.assignment.clusters[:1]), each.halves[:, :1]
        )
        for each in (one, fewer)
    )
    (found,) = differences([single, other_single])
    share = inside.mean()
    spread = np.std(expected, ddof=1) * np.sqrt(share / (1 - share))
    half = stats.t.ppf(0.975, HALVES - 1) * spread
    assert (found.high - found.low) / 2 == pytest.approx(half)


def test_methods_with_other_numbers_of_seeds_are_compared_on_those_that_both_have() -> None:
    one, other = several(2, wrong=[0.2, 0.5], rng=np.random.default_rng(9), n=150)
    two = Resampled(
        replace(other.assignment, clusters=other.assignment.clusters[:2]), other.halves[:, :2]
    )
    (found,) = differences([one, two])
    assert found.seeds == 2
    first_two = replace(one.assignment, clusters=one.assignment.clusters[:2])
    assert [found] == differences([Resampled(first_two, one.halves[:, :2]), two])


def test_a_comparison_asked_beforehand_is_narrower_and_more_comparisons_are_wider() -> None:
    rng = np.random.default_rng(3)
    first, second = several(2, wrong=[0.2, 0.5], rng=rng, n=150)
    (alone,) = differences([first, second])
    assert differences([first, second], planned=True)[0].high == pytest.approx(alone.high)
    many = [first, second, *[second] * 9]
    asked, chosen = differences(many, planned=True)[0], differences(many)[0]
    widths = [one.high - one.low for one in (alone, asked, chosen)]
    assert 1.2 * widths[0] < widths[1] < 0.9 * widths[2]


def test_a_method_is_within_noise_of_itself() -> None:
    one = kept(noisy("a", wrong=0.4, rng=np.random.default_rng(4)))
    (same,) = differences([one, one])
    assert (same.difference, same.low, same.high) == (0, 0, 0)
    assert same.within_noise


def test_one_cluster_is_within_noise_of_another_and_not_undefined() -> None:
    good = noisy("a", wrong=0.2, rng=np.random.default_rng(6))
    lump = kept(Assignment("b", good.ids, np.zeros_like(good.clusters), good.labels))
    (one,) = differences([kept(good), lump])
    assert one.low > 0
    assert np.isfinite(one.high)
    (same,) = differences([lump, lump])
    assert same.within_noise


def test_two_genres_and_halves_are_needed_for_a_difference() -> None:
    one = noisy("a", wrong=0.2, rng=np.random.default_rng(7))
    alike = Assignment("b", one.ids, one.clusters, np.full(150, "g"))
    assert differences([kept(alike), kept(one)]) == []
    assert np.isnan(ami_without(alike, []))
    bare = Resampled(one, kept(one).halves[:0])
    assert differences([kept(one), bare]) == differences([bare, kept(one)]) == []


def test_ami_without_some_tracks_is_that_of_the_others() -> None:
    one = noisy("a", wrong=0.4, rng=np.random.default_rng(5))
    left = one.ids[:30].tolist()
    expected = np.mean(
        [adjusted_mutual_info_score(one.labels[30:], clusters[30:]) for clusters in one.clusters]
    )
    assert ami_without(one, left) == pytest.approx(expected)
    assert ami_without(one, ["no such track"]) == ami_without(one, [])


def test_a_deterministic_result_is_compared_with_every_seed_of_the_other() -> None:
    one, other = several(2, wrong=[0.2, 0.5], rng=np.random.default_rng(5), n=150)
    single = replace(other.assignment, clusters=other.assignment.clusters[:1])
    copies = replace(other.assignment, clusters=np.repeat(single.clusters, 3, axis=0))
    halves = other.halves[:, :1]
    (found,) = differences([one, Resampled(single, halves)])
    (expected,) = differences([one, Resampled(copies, np.repeat(halves, 3, axis=1))])
    assert found.seeds == 3
    assert found == expected
