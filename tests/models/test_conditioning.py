from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from genre_vae.models import checkpoint, encoding, members, networks
from genre_vae.models.conditioning import UNKNOWN, Conditioner, label_use
from genre_vae.models.config import TrainConfig
from genre_vae.models.encoding import encode
from genre_vae.models.networks import CVAE
from genre_vae.models.training import fit
from genre_vae.records import FeatureSet, InputError, LabelUse
from tests.helpers import blobs

CONFIG = TrainConfig(model="cvae", latent_dim=3, epochs=30, patience=100, lr=5e-3, condition_dim=4)
FEATURES = blobs(60, groups=3, spread=1.0)


def with_labels(features: FeatureSet, labels: list[str]) -> FeatureSet:
    return replace(features, labels=np.array(labels, dtype=str))


def shuffled(features: FeatureSet) -> FeatureSet:
    labels = np.random.default_rng(0).permutation(features.labels)
    return replace(features, labels=labels)


def test_genres_have_numbers_and_the_rest_is_unknown() -> None:
    conditioner = Conditioner.of_genres(np.array(["rock", "", "jazz", "rock"]))
    values = np.zeros((4, 2))
    given = conditioner.numbers(np.array(["jazz", "rock", "", "polka"]), values)
    assert given.tolist() == [1, 2, UNKNOWN, UNKNOWN]
    assert conditioner.n_conditions == 3


@pytest.mark.parametrize("labels", [["", ""], ["rock", ""], ["rock", "rock"]])
def test_fewer_than_two_genres_are_no_condition(labels: list[str]) -> None:
    with pytest.raises(InputError, match="condition_on=clusters"):
        Conditioner.of_genres(np.array(labels))


def test_a_track_has_the_number_of_the_nearest_cluster_whatever_its_genre() -> None:
    features = blobs(60, groups=3)
    conditioner = Conditioner.of_clusters(features.values, n_clusters=3, seed=0)
    given = conditioner.numbers(features.labels, features.values)
    again = conditioner.numbers(shuffled(features).labels, features.values)
    np.testing.assert_array_equal(given, again)
    assert conditioner.n_conditions == 4
    for genre in np.unique(features.labels):  # distant blobs: a cluster each
        assert len(np.unique(given[features.labels == genre])) == 1
    assert UNKNOWN not in given


@pytest.mark.parametrize(
    ("given", "use"),
    [
        ({}, LabelUse.ENCODE),
        ({"encode_as": "unknown"}, LabelUse.TRAIN),
        ({"condition": "decoder"}, LabelUse.TRAIN),
        ({"condition": "decoder", "encode_as": "unknown"}, LabelUse.TRAIN),
        ({"condition_on": "clusters"}, LabelUse.NONE),
        ({"condition_on": "clusters", "condition": "decoder"}, LabelUse.NONE),
    ],
)
def test_what_reaches_the_codes_is_what_they_declare(given: dict[str, str], use: LabelUse) -> None:
    """The declaration against two experiments: other labels when coding, others in training."""
    every = {"condition": "encoder+decoder", "condition_on": "genre", "encode_as": "genre"}
    assert label_use(**(every | given)) is use
    config = replace(CONFIG, n_clusters=3, **given)  # type: ignore[arg-type]
    trained = fit(FEATURES, config)
    codes = encode(trained, FEATURES)
    assert codes.label_use is use
    needed_to_code = not np.array_equal(codes.values, encode(trained, shuffled(FEATURES)).values)
    assert needed_to_code == (use is LabelUse.ENCODE)
    elsewhere = encode(fit(shuffled(FEATURES), config), FEATURES)
    looked_at = not np.array_equal(codes.values, elsewhere.values)
    assert looked_at == (use is not LabelUse.NONE)


def test_the_codes_can_be_made_without_any_genre_where_they_say_so() -> None:
    nobody = with_labels(FEATURES, [""] * len(FEATURES))
    for given in ({"encode_as": "unknown"}, {"condition": "decoder"}):
        trained = fit(FEATURES, replace(CONFIG, **given))  # type: ignore[arg-type]
        np.testing.assert_array_equal(
            encode(trained, nobody).values, encode(trained, FEATURES).values
        )


def test_an_unknown_genre_is_part_of_training() -> None:
    """Its embedding moves from where it began only if some example had it."""
    for encode_as, moves in (("genre", False), ("unknown", True)):
        config = replace(CONFIG, encode_as=encode_as)
        model = fit(FEATURES, config).model
        before = networks.build(config, (6,), 4)
        assert isinstance(model, CVAE)
        assert isinstance(before, CVAE)
        moved = not torch.equal(model.embedding.weight[UNKNOWN], before.embedding.weight[UNKNOWN])
        assert moved == moves
        assert not torch.equal(model.embedding.weight[1], before.embedding.weight[1])


def test_a_conditioned_decoder_frees_the_code_of_the_condition() -> None:
    """Where genre is all there is, a conditioned decoder needs no code: the KL falls to nothing."""
    features = blobs(90, groups=3, spread=0.01)
    config = replace(CONFIG, epochs=150, latent_dim=2)
    alone = fit(features, replace(config, model="vae"))
    given = fit(features, config)
    assert given.best.val_kl < 0.2 < 1 < alone.best.val_kl
    assert given.best.val_reconstruction < 1.5 * alone.best.val_reconstruction + 0.2


@pytest.mark.parametrize(
    "given", [{}, {"condition": "decoder"}, {"encode_as": "unknown"}, {"condition_on": "clusters"}]
)
def test_saved_and_loaded_it_makes_the_same_codes(
    tmp_path_factory: pytest.TempPathFactory, given: dict[str, str]
) -> None:
    path = tmp_path_factory.mktemp("cvae") / "cvae_best.pth"
    trained = fit(FEATURES, replace(CONFIG, n_clusters=3, epochs=3, **given))  # type: ignore[arg-type]
    checkpoint.save(trained, path)
    again = checkpoint.load(path)
    np.testing.assert_array_equal(encode(again, FEATURES).values, encode(trained, FEATURES).values)
    rebuilt = encoding.reconstruct(again, FEATURES).values
    np.testing.assert_array_equal(rebuilt, encoding.reconstruct(trained, FEATURES).values)


def test_clusters_are_of_the_training_tracks_alone() -> None:
    features = blobs(60, groups=3)
    config = replace(CONFIG, condition_on="clusters", n_clusters=3, epochs=1)
    held_out = ~members.split(features.ids, val_fraction=config.val_fraction, seed=config.seed)
    values = features.values.copy()
    values[held_out] += 50
    clean, planted = (
        fit(one, config).conditioner for one in (features, features.derive("x", values))
    )
    assert clean is not None
    assert planted is not None
    assert clean.centroids is not None
    assert planted.centroids is not None
    np.testing.assert_array_equal(clean.centroids, planted.centroids)
