from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from genre_vae.evaluation.artists import audit_artists, follow
from genre_vae.evaluation.metrics import adjusted_mutual_info, contingency
from genre_vae.records import FeatureSet, Geometry

GENRES, ARTISTS, TRACKS, D = 5, 4, 6, 20  # artists of a genre, tracks of an artist


def world(seed: int, *, genre: float, artist: float, per_genre: int = ARTISTS) -> FeatureSet:
    """Tracks at the centre of their genre, plus that of their artist, plus noise."""
    rng = np.random.default_rng(seed)
    owner = np.repeat(np.arange(GENRES * per_genre), TRACKS)
    of = owner // per_genre
    values = genre * rng.normal(size=(GENRES, D))[of]
    values += artist * rng.normal(size=(GENRES * per_genre, D))[owner]
    values += rng.normal(size=(len(owner), D))
    order = rng.permutation(len(owner))
    return FeatureSet(
        "planted",
        np.array([f"{number}" for number in order]),
        values[order].astype(np.float32),
        np.array([f"genre {number}" for number in of[order]]),
        groups={"artist": np.array([f"artist {number}" for number in owner[order]])},
    ).compared_by(Geometry.STANDARDISED)


def test_clusters_that_follow_artists_alone_are_caught() -> None:
    caught = [bool(audit_artists(world(n, genre=0, artist=2), seed=0).reason) for n in range(8)]
    assert sum(caught) >= 7  # of genres that mean nothing 5 % pass by chance


def test_a_collection_whose_genres_are_real_is_not() -> None:
    for number in range(8):
        found = audit_artists(world(number, genre=1.5, artist=0.5), seed=0)
        assert found.reason == ""
        assert found.clusters_genre_p <= 0.01


def test_genres_are_seen_through_artists_that_sound_alike() -> None:
    """Artists matter as much as genres do: the clusters follow both, which is no confound."""
    found = [audit_artists(world(n, genre=1.5, artist=1.5), seed=0).reason for n in range(8)]
    assert sum(map(bool, found)) <= 1


def test_an_artist_filter_takes_away_what_artists_alone_gave() -> None:
    confound = audit_artists(world(0, genre=0, artist=2), seed=0)
    assert confound.knn > 0.9
    assert confound.knn_filtered < confound.knn_filtered_chance + 0.15
    real = audit_artists(world(0, genre=2, artist=0.5), seed=0)
    assert real.knn_filtered > real.knn - 0.05 > 0.9


def test_the_nearest_neighbours_agree_with_scikit_learn() -> None:
    from sklearn.model_selection import LeaveOneOut, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier

    from genre_vae.scaling import in_geometry

    features = world(1, genre=0.7, artist=0)
    two = np.where(np.isin(features.labels, ["genre 0", "genre 1"]), "some", "others")
    features = replace(features, labels=two)  # of five votes for two genres there is no tie
    theirs = cross_val_score(
        KNeighborsClassifier(5), in_geometry(features), features.labels, cv=LeaveOneOut()
    ).mean()
    assert audit_artists(features, seed=0).knn == pytest.approx(theirs)


def test_the_order_of_tracks_changes_nothing_that_is_not_drawn() -> None:
    features = world(2, genre=1, artist=1)
    mixed = features.select(features.ids[::-1])
    one, other = (audit_artists(each, seed=0) for each in (features, mixed))
    assert one.knn == other.knn
    assert one.knn_filtered == other.knn_filtered


def test_where_every_genre_has_one_artist_nothing_can_be_said_of_clusters() -> None:
    found = audit_artists(world(0, genre=0, artist=2, per_genre=1), seed=0)
    assert np.isnan(found.clusters_genre_p)
    assert found.reason == ""
    assert found.knn_filtered == 0, "no track of its genre is by another artist"


def test_without_artists_or_genres_it_is_undefined() -> None:
    features = world(0, genre=1, artist=1)
    plain = FeatureSet("planted", features.ids, features.values, features.labels)
    found = audit_artists(plain, seed=0)
    assert found.knn > found.knn_chance
    assert np.isnan([found.knn_filtered, found.clusters_artist, found.clusters_genre]).all()
    unlabelled = FeatureSet("planted", features.ids, features.values, np.full(len(features), ""))
    assert np.isnan(audit_artists(unlabelled, seed=0).knn)


def test_the_statistics_are_what_they_say() -> None:
    features = world(3, genre=1, artist=1)
    artists = features.groups["artist"]
    clusters = np.random.default_rng(0).integers(0, 5, len(features))
    by_artist, by_genre = follow(clusters, features.labels, artists, np.random.default_rng(0))
    assert by_artist.value == adjusted_mutual_info(contingency(artists, clusters))
    assert by_genre.value == adjusted_mutual_info(contingency(features.labels, clusters))
    assert by_artist.p > 0.01
    assert abs(by_genre.chance) < 0.05
