from __future__ import annotations

import pytest

from genre_vae import methods
from genre_vae.config import Counted, Given
from genre_vae.levels import EASY, HARD, LEVELS, MEDIUM, Level
from genre_vae.methods import BY_KEY, Method


def test_auto_is_each_methods_own_default() -> None:
    given = Given()
    for method in methods.ALL:
        if method.train is not None:
            assert given.train(method, among=methods.ALL) == method.train


def test_a_number_is_for_every_method_that_has_it() -> None:
    given = Given(latent_dim=7, epochs=3, patience=2, batch_size=5, lr=0.5, condition_dim=4)
    for method in methods.ALL:
        if method.train is not None:
            train = given.train(method)
            assert (train.latent_dim, train.epochs, train.patience) == (7, 3, 2)
            assert (train.batch_size, train.lr) == (5, 0.5)
            assert train.condition_dim == (4 if train.model == "cvae" else 8)


@pytest.mark.parametrize(
    ("among", "with_beta"),
    [
        (EASY.own, {"vae"}),
        (MEDIUM.own, {"vae", "conv_vae", "contrastive_vae"}),
        (HARD.own, {"betavae"}),
        ([method for level in LEVELS.values() for method in level.own], {"betavae"}),
    ],
)
def test_beta_is_its_owners_where_there_is_one(among: list[Method], with_beta: set[str]) -> None:
    """A number for the KL term is the BetaVAE's in Hard and in main, and each VAE's elsewhere."""
    given = Given(beta=9.0)
    trained = [method for method in among if method.train is not None]
    assert {one.key for one in trained if given.train(one, among=among).beta == 9} == with_beta


@pytest.mark.parametrize("level", [MEDIUM, HARD])
def test_the_contrastive_vae_is_made_where_it_is_asked_for_alone(level: Level) -> None:
    assert "contrastive_vae" not in {method.key for method in level.chosen(Given())}
    asked = Given(methods=("contrastive_vae",))
    assert [method.key for method in level.chosen(asked)] == level.compared(asked)
    assert level.compared(asked) == ["contrastive_vae"]


def test_contrast_is_its_owners_where_there_is_one() -> None:
    given = Given(contrast=7.0)
    for level in (MEDIUM, HARD):
        weights = {
            method.key: given.train(method, among=level.own).contrast
            for method in level.own
            if method.reads is methods.Reads.MEL and method.train is not None
        }
        assert weights == {"conv_vae": 0.0, "contrastive_vae": 7.0, "contrastive": 1.0}


@pytest.mark.parametrize(
    ("given", "key"),
    [
        (Given(model="pca"), "pca"),
        (Given(model="cvae"), "cvae"),
        (Given(model="cvae", condition="decoder"), "cvae_decoder"),
        (Given(model="cvae", encode_as="unknown"), "cvae_unknown"),
        (Given(model="cvae", condition_on="clusters", condition="decoder"), "cvae_clusters"),
        (Given(model="conv_vae"), "conv_vae"),
        (Given(model="conv_vae", contrast=300.0), "contrastive_vae"),
        (Given(model="contrastive_vae", contrast=0.0), "conv_vae"),
    ],
)
def test_a_single_model_has_the_row_that_its_options_amount_to(given: Given, key: str) -> None:
    method, train = given.single()
    assert method.key == key
    assert (train is None) == (method.train is None)


@pytest.mark.parametrize(
    ("algorithm", "seeds", "count"),
    [
        ("k-means", (), 5),
        ("spectral", (), 5),
        ("agglomerative", (), 1),
        ("DBSCAN", (), 1),
        ("HDBSCAN", (), 1),
        ("agglomerative", (3, 4, 5), 3),
        ("k-means", (3, 4, 5), 3),
        ("k-means", (3,), 1),
    ],
)
def test_only_what_is_random_is_repeated(
    algorithm: str, seeds: tuple[int, ...], count: int
) -> None:
    config = Given(seeds=5, seed=2).cluster(algorithm, Counted(None, "genres"), seeds=seeds)
    assert config.seeds == len(config.numbers) == count
    assert config.seed == (3 if seeds else 2)


def test_a_row_says_what_its_number_of_clusters_was_taken_from() -> None:
    chosen = Counted(4, "no clear number", "No clear number of clusters")
    for counted, algorithm, expected in (
        (Counted(None, "genres"), "k-means", (None, "genres", "")),
        (Counted(7, "given"), "k-means", (7, "given", "")),
        (Counted(7, "given"), "HDBSCAN", (7, "clusterer", "")),
        (chosen, "k-means", (4, chosen.by, chosen.why)),
        (chosen, "DBSCAN", (4, "clusterer", "")),
    ):
        config = Given().cluster(algorithm, counted)
        assert (config.n_clusters, config.n_clusters_by, config.n_clusters_why) == expected


def test_methods_are_chosen_by_key_in_the_order_of_the_table() -> None:
    assert [one.key for one in methods.select(["vae", "pca"], [])] == ["pca", "vae"]
    assert [one.key for one in methods.select(None, ["vae", "pca"])] == ["vae", "pca"]


def test_every_method_has_a_title_and_a_file_of_its_own() -> None:
    assert len({method.title for method in methods.ALL}) == len(methods.ALL)
    assert BY_KEY["conv_vae"].stem == "Z_conv", "the seed's names"
    assert BY_KEY["cvae_clusters"].stem == BY_KEY["cvae"].stem == "Z_cvae"
    assert BY_KEY["raw"].title_for("mel") == "Direct spectral"
    assert BY_KEY["raw"].title_for("musicnn") == "Direct (musicnn)"
    for method in methods.ALL:
        assert not (method.fusion and not method.unservable), "a fusion needs more than audio"
