from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
from scipy.spatial.distance import pdist
from sklearn.metrics import adjusted_mutual_info_score

from genre_vae.clustering import cluster
from genre_vae.features.fusion import RUNS, combine, concatenate, late, one_hot, weighted
from genre_vae.records import FeatureSet, Geometry, InputError, LabelUse
from tests.helpers import blobs

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
    values = weighted([AUDIO, TEXT], [1, 1]).values
    assert values[:, :8].var(axis=0).sum() == pytest.approx(0.5, rel=1e-4)
    assert values[:, 8:].var(axis=0).sum() == pytest.approx(0.5, rel=1e-4)
    louder = AUDIO.derive(AUDIO.name, AUDIO.values * 1000)
    np.testing.assert_allclose(weighted([louder, TEXT], [1, 1]).values, values, atol=1e-4)


def test_side_by_side_a_modality_weighs_as_much_as_it_has_dimensions() -> None:
    values = concatenate([AUDIO, TEXT]).values
    assert values[:, :8].var(axis=0).sum() == pytest.approx(8, rel=1e-4)
    assert values[:, 8:].var(axis=0).sum() == pytest.approx(2, rel=1e-4)


def test_dead_dimensions_of_a_code_are_not_blown_up() -> None:
    """A code of live and dead dimensions is found as well as a plain one, alone and with noise
    words beside it."""
    rng = np.random.default_rng(0)
    plain = blobs(200, groups=10, d=6, spread=1.0)
    dead = rng.normal(scale=0.01, size=(200, 10)).astype(np.float32)
    code = plain.derive("code", np.concatenate([plain.values, dead], axis=1))
    words = plain.derive("words", rng.normal(size=(200, 32)).astype(np.float32))

    def ami(features: FeatureSet) -> float:
        amis = [
            adjusted_mutual_info_score(
                features.labels,
                cluster(features.values, algorithm="k-means", n_clusters=10, seed=seed),
            )
            for seed in range(3)
        ]
        return float(np.mean(amis))

    alone = ami(code)
    assert ami(weighted([code], [1])) == pytest.approx(alone, abs=0.03)
    with_words = ami(weighted([code, words], [1, 1]))
    plain_with_words = ami(weighted([plain, words], [1, 1]))
    assert alone - with_words <= ami(plain) - plain_with_words + 0.03
    blown_up = code.compared_by(Geometry.STANDARDISED)
    assert ami(weighted([blown_up, words], [1, 1])) < with_words - 0.1


def test_inputs_combined_keep_their_values_and_their_geometry() -> None:
    angles = AUDIO.compared_by(Geometry.COSINE)
    measured = TEXT.compared_by(Geometry.STANDARDISED)
    both = combine([angles, measured.select(measured.ids[::-1])], name="audio+text")
    np.testing.assert_array_equal(both.values, np.hstack([AUDIO.values, TEXT.values]))
    assert both.name == "audio+text"
    assert [tuple(block)[:3] for block in both.blocks] == [
        ("blobs", 8, Geometry.COSINE),
        ("text", 2, Geometry.STANDARDISED),
    ]


@pytest.mark.parametrize("how", ["weighted", "late"])
def test_a_weight_is_that_of_the_squared_distances(how: str) -> None:
    """In every fusion alike: twice the weight of a modality, twice its part of each squared
    distance, up to the scale of all together."""

    def squared(weights: list[float]) -> npt.NDArray[np.float64]:
        fused = (
            weighted([AUDIO, TEXT], weights)
            if how == "weighted"
            else late([AUDIO, TEXT], weights, n_clusters=3, seed=0)
        )
        distances: npt.NDArray[np.float64] = pdist(fused.values, "sqeuclidean")
        return sum(weights) * distances  # a weight is a share of all weights

    audio, text = squared([1, 0]), squared([0, 1])
    for one, other in ((1.0, 1.0), (1.0, 3.0), (0.5, 0.25)):
        np.testing.assert_allclose(
            squared([one, other]), one * audio + other * text, rtol=1e-3, atol=1e-4
        )


@pytest.mark.parametrize("weights", [[1], [1, 2, 3], [-1, 1], [0, 0]])
def test_weights_that_do_not_fit_are_refused(weights: list[float]) -> None:
    with pytest.raises(InputError, match="weights"):
        weighted([AUDIO, TEXT], weights)
    with pytest.raises(InputError, match="weights"):
        late([AUDIO, TEXT], weights, n_clusters=3, seed=0)


@pytest.mark.parametrize("use", LabelUse)
def test_label_use_is_the_highest(use: LabelUse) -> None:
    touched = TEXT.derive("text", TEXT.values, use)
    assert concatenate([AUDIO, touched]).label_use is use
    assert concatenate([touched, AUDIO]).label_use is use


def test_a_constant_modality_adds_nothing() -> None:
    constant = FeatureSet("c", AUDIO.ids, np.ones((30, 3), np.float32), AUDIO.labels)
    fused = concatenate([AUDIO, constant])
    assert (fused.values[:, 8:] == 0).all()


def test_late_distances_count_the_clusterings_that_part_two_tracks() -> None:
    fused = late([AUDIO, TEXT], [1, 1], n_clusters=3, seed=0)
    indicators = fused.values.reshape(30, 2 * RUNS, 3) > 0
    assert (indicators.sum(axis=2) == 1).all(), "each clustering puts a track in one cluster"
    parted = (indicators.argmax(axis=2)[:, None] != indicators.argmax(axis=2)).mean(axis=2)
    squared = ((fused.values[:, None] - fused.values) ** 2).sum(axis=2)
    np.testing.assert_allclose(squared, 2 * parted, atol=1e-5)


def test_a_consensus_follows_the_informative_modality_and_not_one_of_weight_zero() -> None:
    rng = np.random.default_rng(0)
    known = blobs(60, groups=3, d=4)
    noise = replace(known, name="noise", values=rng.normal(size=(60, 4)).astype(np.float32))

    def ami(weights: list[float]) -> float:
        values = late([known, noise], weights, n_clusters=3, seed=0).values
        found = cluster(values, algorithm="k-means", n_clusters=3, seed=0)
        return float(adjusted_mutual_info_score(known.labels, found))

    assert ami([1, 0]) == pytest.approx(1)
    assert ami([0, 1]) < 0.2
    assert ami([2, 1]) == pytest.approx(1)


def test_late_depends_on_its_seed_alone() -> None:
    one, two = (late([AUDIO, TEXT], [1, 1], n_clusters=4, seed=3) for _ in range(2))
    np.testing.assert_array_equal(one.values, two.values)
    other = late([AUDIO, TEXT], [1, 1], n_clusters=4, seed=4)
    assert (one.values != other.values).any()


def test_one_hot_is_the_genre_and_says_so() -> None:
    labels = AUDIO.labels.copy()
    labels[0] = ""
    genre = one_hot(replace(AUDIO, labels=labels))
    assert genre.label_use is LabelUse.FEATURE
    assert genre.values[0].tolist() == [0, 0, 0]
    assert (genre.values[1:].sum(axis=1) == 1).all()
    assert weighted([AUDIO, genre], [1, 1]).label_use is LabelUse.FEATURE


@pytest.mark.parametrize("pretrained", [(False, False), (True, False), (False, True)])
def test_one_pretrained_modality_makes_the_fusion_so(pretrained: tuple[bool, bool]) -> None:
    sets = [replace(one, pretrained=p) for one, p in zip((AUDIO, TEXT), pretrained, strict=True)]
    for fused in (
        concatenate(sets),
        weighted(sets, [1, 1]),
        late(sets, [1, 1], n_clusters=3, seed=0),
    ):
        assert fused.pretrained == any(pretrained)
