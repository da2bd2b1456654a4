from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from genre_vae.serving.index import ClusterIndex
from genre_vae.serving.requests import predict
from tests.helpers import uri, wav
from tests.serving.indices import Features, index_of


@pytest.mark.parametrize(
    ("model", "inputs"),
    [
        *((model, "") for model in ("raw", "pca", "autoencoder", "vae", "conv_vae", "cvae")),
        *(("pca", name) for name in ("descriptor", "mfcc+descriptor", "mel, first window")),
        *((model, "mfcc+descriptor") for model in ("raw", "vae")),
        *((model, "mfcc, cosine") for model in ("raw", "autoencoder")),
    ],
)
def test_saved_and_loaded_it_finds_the_collection_where_it_was(
    measured: Features, model: str, inputs: str, corpus: Path, tmp_path: Path
) -> None:
    """From the audio again: the tracked clusters and codes of every track of the collection."""
    made = index_of(measured, model, inputs)
    made.save(tmp_path / "placement")
    again = ClusterIndex.load(tmp_path / "placement")
    paths = [str(corpus / track_id) for track_id in made.reference.ids.tolist()]
    records = predict(again, paths)
    assert [record["cluster"] for record in records] == made.clusters.tolist()
    latent = np.array([record["latent"] for record in records])
    np.testing.assert_allclose(latent, made.reference.values, atol=1e-5)
    for record, track_id in zip(records, made.reference.ids.tolist(), strict=True):
        assert record["neighbours"][0]["track_id"] == track_id
        assert record["neighbours"][0]["distance"] < 1e-4


def test_nothing_that_is_saved_needs_to_be_run(index: ClusterIndex, tmp_path: Path) -> None:
    index.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".npy", ".npz", ".pth"}
    about = json.loads((tmp_path / "placement.json").read_text())
    assert [one["cluster"] for one in about["clusters"]] == list(range(5))
    assert sum(one["tracks"] for one in about["clusters"]) == 20
    centroids = np.load(tmp_path / "centroids.npy", allow_pickle=False)
    np.testing.assert_array_equal(centroids, index.centroids)


def test_clusters_that_are_not_of_the_nearest_means_are_refused(index: ClusterIndex) -> None:
    with pytest.raises(ValueError, match="nearest means"):
        replace(index, clusters=np.roll(index.clusters, 1))


def test_a_record_has_the_distance_and_the_nearest_tracks(index: ClusterIndex) -> None:
    codes = index.reference.values
    (record,) = index.assign(codes[:1], neighbours=20)
    distances = [near["distance"] for near in record["neighbours"]]
    assert distances == sorted(distances)
    assert len({near["track_id"] for near in record["neighbours"]}) == 20
    expected = np.linalg.norm(codes - codes[0], axis=1)
    np.testing.assert_allclose(distances, np.sort(expected), rtol=1e-5, atol=1e-6)
    own = np.linalg.norm(codes - index.centroids[index.clusters], axis=1)
    assert record["distance"] == pytest.approx(own[0], rel=1e-5)
    assert record["percentile"] == pytest.approx(100 * (own < own[0] - 1e-9).mean())
    labels = index.reference.labels[index.clusters == record["cluster"]]
    assert record["genre_share"] == pytest.approx((labels == record["genre"]).mean())


def test_a_track_is_as_far_alone_as_in_a_batch(measured: Features, corpus: Path) -> None:
    made = index_of(measured, "vae")
    paths = [str(corpus / track_id) for track_id in made.reference.ids.tolist()]
    together = predict(made, paths)
    alone = [predict(made, [path])[0] for path in paths]
    assert len({record["percentile"] for record in together}) > 10
    for one, other in zip(together, alone, strict=True):
        assert one["percentile"] == other["percentile"]
        assert not other["unlike_anything"]


def test_noise_is_unlike_anything_here_and_the_collections_own_tracks_are_not(
    index: ClusterIndex, corpus: Path
) -> None:
    noise = 0.1 * np.random.default_rng(0).normal(size=3 * 22050)
    own = str(corpus / str(index.reference.ids[0]))
    far, near = predict(index, [uri(wav(noise.astype(np.float32))), own])
    assert far["unlike_anything"]
    assert far["novelty"] == pytest.approx(100 * 20 / 21)
    assert not near["unlike_anything"]
    assert near["novelty"] == 0


def test_without_genres_there_is_none(index: ClusterIndex) -> None:
    unlabelled = replace(index, reference=replace(index.reference, labels=np.full(20, "")))
    (record,) = unlabelled.assign(index.reference.values[:1])
    assert record["genre"] is None
    assert record["genre_share"] is None
    assert record["neighbours"][0]["genre"] is None
