from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from genre_vae.clustering import centroids, cluster
from genre_vae.evaluation.metrics import adjusted_mutual_info, contingency
from genre_vae.models.checkpoint import TrainedModel
from genre_vae.models.deep_clustering import refine, soft_assignment, target_distribution
from genre_vae.models.encoding import encode, reconstruct
from genre_vae.models.members import split
from genre_vae.models.training import fit
from genre_vae.records import FeatureSet, InputError
from tests.helpers import blobs
from tests.models.inputs import CONFIG, assert_same_weights

IDEC = replace(CONFIG, model="idec", n_clusters=4, epochs=60, patience=20)


@pytest.fixture(scope="module")
def features() -> FeatureSet:
    return blobs(60, groups=4, spread=0.8)


@pytest.fixture(scope="module")
def pretrained(features: FeatureSet) -> TrainedModel:
    return fit(features, IDEC)


@pytest.fixture(scope="module")
def refined(pretrained: TrainedModel, features: FeatureSet) -> TrainedModel:
    return refine(pretrained, features)


def spread(trained: TrainedModel, features: FeatureSet) -> float:
    """Variance within the groups, as a share of all."""
    codes = encode(trained, features).values
    group = np.unique(features.labels, return_inverse=True)[1]
    within = codes - centroids(codes, group)[group]
    return float(within.var(axis=0).sum() / codes.var(axis=0).sum())


def error(trained: TrainedModel, features: FeatureSet) -> float:
    restored = reconstruct(trained, features).values
    return float(np.square(restored - features.values).mean() / features.values.var())


def test_an_assignment_is_students_t_of_the_distance() -> None:
    codes, centres = torch.tensor([[0.0, 0.0], [3.0, 0.0]]), torch.tensor([[0.0, 1.0], [3.0, 0.0]])
    expected = torch.tensor([[1 / 2, 1 / 10], [1 / 11, 1.0]])
    expected /= expected.sum(dim=1, keepdim=True)
    torch.testing.assert_close(soft_assignment(codes, centres), expected)


def test_the_target_is_a_distribution_that_is_sharper() -> None:
    generator = torch.Generator().manual_seed(0)
    codes, centres = (torch.randn(n, 3, generator=generator) for n in (50, 4))
    assignment = soft_assignment(codes, centres)
    target = target_distribution(assignment)
    assert (target > 0).all()
    torch.testing.assert_close(target.sum(dim=1), torch.ones(50))
    entropy, before = (-(one * one.log()).sum(dim=1).mean() for one in (target, assignment))
    assert entropy < before
    # the odds of two clusters are squared, and in proportion to how small a cluster is
    odds, size = assignment[:, 0] / assignment[:, 1], assignment.sum(dim=0)
    torch.testing.assert_close(target[:, 0] / target[:, 1], odds.square() * size[1] / size[0])


def test_a_certain_assignment_is_its_own_target() -> None:
    certain = torch.eye(3).repeat(2, 1)
    torch.testing.assert_close(target_distribution(certain), certain)


def test_codes_gather_and_still_stand_for_their_input(
    features: FeatureSet, pretrained: TrainedModel, refined: TrainedModel
) -> None:
    assert spread(refined, features) < 0.9 * spread(pretrained, features)
    assert error(refined, features) < error(pretrained, features)


def test_separated_groups_are_found(features: FeatureSet, refined: TrainedModel) -> None:
    codes = encode(refined, features).values
    found = cluster(codes, algorithm="k-means", n_clusters=4, seed=0)
    assert adjusted_mutual_info(contingency(features.labels, found)) == 1


def test_equal_seeds_give_equal_weights_and_others_do_not(
    features: FeatureSet, pretrained: TrainedModel, refined: TrainedModel
) -> None:
    assert_same_weights(refine(pretrained, features), refined)
    other = replace(pretrained, config=replace(IDEC, seed=1))
    with pytest.raises(AssertionError):
        assert_same_weights(refine(other, features), refined)


def test_it_leaves_the_autoencoder_as_it_was(
    features: FeatureSet, pretrained: TrainedModel, refined: TrainedModel
) -> None:
    assert_same_weights(pretrained, fit(features, IDEC))
    assert refined.history == pretrained.history


def test_it_ends_when_no_track_changes_its_cluster(
    features: FeatureSet, pretrained: TrainedModel, refined: TrainedModel
) -> None:
    longer = replace(pretrained, config=replace(IDEC, epochs=1_000_000))
    assert_same_weights(refine(longer, features), refined)
    shorter = replace(pretrained, config=replace(IDEC, patience=5))
    with pytest.raises(AssertionError):
        assert_same_weights(refine(shorter, features), refined)


def test_after_a_kill_it_starts_again_from_the_finished_pretraining(
    tmp_path: Path, features: FeatureSet, refined: TrainedModel
) -> None:
    fit(features, IDEC, checkpoint=tmp_path / "idec_last.pth")
    again = fit(features, IDEC, checkpoint=tmp_path / "idec_last.pth")
    assert_same_weights(refine(again, features), refined)


def test_held_out_tracks_have_no_part(pretrained: TrainedModel, refined: TrainedModel) -> None:
    features = blobs(60, groups=4, spread=0.8)
    held_out = ~split(features.ids, val_fraction=IDEC.val_fraction, seed=IDEC.seed)
    features.values[held_out] += 5
    assert_same_weights(refine(pretrained, features), refined)


def test_a_few_tracks_have_fewer_centres_than_were_counted() -> None:
    features, config = blobs(5, groups=4), replace(IDEC, epochs=2)
    assert len(encode(refine(fit(features, config), features), features)) == 5
    with pytest.raises(InputError, match="n_clusters=1"):
        refine(fit(blobs(3, groups=2), config), blobs(3, groups=2))
