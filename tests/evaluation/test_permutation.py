from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import normalized_mutual_info_score

from genre_vae.evaluation.permutation import (
    PermutationTest,
    Permute,
    centred,
    linear_probe,
    nmi_test,
    permuted_rows,
    shifted_rows,
    sqrt_whitened,
    within_genre_cka,
)

LABELS = np.repeat(np.array(["a", "b", "c"]), 20)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_a_p_value_is_the_share_that_reaches_the_statistic_which_counts_as_one() -> None:
    null = np.array([1.0, 2.0, 3.0, 4.0])
    assert PermutationTest.of(3.0, null) == PermutationTest(3.0, 2.5, 3 / 5)
    assert PermutationTest.of(9.0, null).p == 1 / 5, "never zero"
    assert PermutationTest.of(0.0, null).p == 1


def test_equal_but_for_rounding_is_reached() -> None:
    assert PermutationTest.of(0.3, np.full(9, 0.1 + 0.2 - 1e-16)).p == 1


@pytest.mark.parametrize("permute", [permuted_rows, shifted_rows])
def test_rows_stay_the_same_rows(permute: Permute, rng: np.random.Generator) -> None:
    rows = np.array([3, 5, 8, 13])
    drawn = {tuple(permute(rows, rng)) for _ in range(500)}
    assert {tuple(sorted(one)) for one in drawn} == {(3, 5, 8, 13)}
    assert len(drawn) == (24 if permute is permuted_rows else 4)


def test_the_probe_reads_planted_genres_and_not_noise(rng: np.random.Generator) -> None:
    noise = rng.normal(size=(60, 4))
    planted = noise[:, :3] + 4 * (LABELS[:, None] == np.unique(LABELS))
    found = linear_probe(planted, LABELS, seed=0, rng=rng)
    assert found.value > 0.9
    assert found.p == 1 / 500
    assert linear_probe(noise, LABELS, seed=0, rng=rng).p > 0.05


def test_values_agree_with_themselves_in_any_rotation_and_unit(rng: np.random.Generator) -> None:
    x = rng.normal(size=(60, 4))
    turned = 7 * x @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    found = within_genre_cka(x, turned, LABELS, permuted_rows, rng)
    assert found.value == pytest.approx(1)
    assert found.p == 1 / 500
    assert found.chance < 0.3


def test_what_genres_share_is_no_agreement(rng: np.random.Generator) -> None:
    genre = np.unique(LABELS, return_inverse=True)[1][:, None]
    x, y = (rng.normal(size=(60, 4)) + 9 * genre for _ in range(2))
    assert within_genre_cka(x, y, LABELS, permuted_rows, rng).p > 0.05
    alone = within_genre_cka(x, np.eye(3)[genre[:, 0]], LABELS, permuted_rows, rng)
    assert np.isnan([alone.value, alone.chance, alone.p]).all()


def test_a_component_of_length_s_has_the_length_root_s(rng: np.random.Generator) -> None:
    x = rng.normal(size=(30, 5))
    whitened = sqrt_whitened(x)
    np.testing.assert_allclose(
        np.linalg.svd(whitened, compute_uv=False), np.sqrt(np.linalg.svd(x, compute_uv=False))
    )
    assert sqrt_whitened(np.zeros((30, 5))).size == 0


def test_centred_values_have_no_mean_in_any_genre_and_the_input_stays(
    rng: np.random.Generator,
) -> None:
    values = rng.normal(size=(60, 4))
    before = values.copy()
    rest = centred(values, LABELS)
    for genre in "abc":
        np.testing.assert_allclose(rest[genre == LABELS].mean(axis=0), 0, atol=1e-12)
    np.testing.assert_array_equal(values, before)


def test_the_nmi_is_scikit_learns(rng: np.random.Generator) -> None:
    clusters = np.where(rng.random(60) < 0.5, np.arange(60) // 20, rng.integers(0, 3, 60))
    found = nmi_test(LABELS, clusters, rng)
    assert found.value == pytest.approx(normalized_mutual_info_score(LABELS, clusters))
    assert found.p == 1 / 500


@pytest.mark.parametrize(("genres", "clusters"), [(1, 3), (3, 1), (0, 0)])
def test_one_genre_or_one_cluster_carries_no_information(
    genres: int, clusters: int, rng: np.random.Generator
) -> None:
    n = 30 if genres else 0
    labels = np.array([f"g{row % max(genres, 1)}" for row in range(n)], dtype=str)
    found = nmi_test(labels, np.arange(n, dtype=np.int64) % max(clusters, 1), rng)
    assert np.isnan(found.p)
