from __future__ import annotations

from dataclasses import replace

import numpy as np

from genre_vae.report.reconstructions import (
    Reconstructed,
    examples,
    held_out_examples,
    reconstructions,
)
from tests.helpers import blobs


def test_reconstructions_show_original_result_and_signed_error() -> None:
    rng = np.random.default_rng(0)
    original = rng.normal(size=(3, 8, 12)).astype(np.float32)
    block = Reconstructed(
        *("VAE", ["x.wav", "y.wav", "z.wav"], original, original + 2, "dB", "mel"),
        explained="38 % explained",
    )
    short = Reconstructed(
        *("AE", ["x.wav"], original[:1, :2], original[:1, :2], "sd", "mfcc", ("mean", "sd"))
    )
    figure = reconstructions([block, short], title="t")
    panels = [axes for part in figure.subfigs for axes in part.axes if axes.images]
    images = [np.asarray(axes.images[0].get_array()) for axes in panels]
    np.testing.assert_array_equal(images[0], original[0])
    np.testing.assert_array_equal(images[3], original[0] + 2)
    np.testing.assert_allclose(images[6], 2, atol=1e-5)
    limits = panels[0].images[0].get_clim()
    assert limits == panels[3].images[0].get_clim() == (original.min(), original.max())
    low, high = panels[6].images[0].get_clim()
    assert low == -high
    assert "RMSE 2.00 dB" in panels[6].get_xlabel()
    assert [part.get_suptitle() for part in figure.subfigs] == [
        "VAE: mel\n38 % explained",
        "AE: mfcc",
    ]


def test_examples_are_held_out_and_each_of_another_genre() -> None:
    features = blobs(40, groups=4)
    held_out = np.arange(40) >= 20
    chosen = held_out_examples(features, held_out, 3)
    assert chosen.labels.tolist() == ["g0", "g1", "g2"]
    assert set(chosen.ids) <= set(features.ids[held_out])
    order = np.random.default_rng(0).permutation(40)
    again = held_out_examples(features.select(features.ids[order]), held_out[order], 3)
    np.testing.assert_array_equal(again.ids, chosen.ids)
    assert len(held_out_examples(features, held_out, 9)) == 4


def test_without_genres_any_held_out_tracks_are_examples() -> None:
    features = replace(blobs(40, groups=4), labels=np.full(40, ""))
    held_out = np.arange(40) >= 20
    chosen = held_out_examples(features, held_out, 6)
    assert chosen.ids.tolist() == sorted(features.ids[held_out].tolist())[:6]


def test_vectors_are_shown_number_by_number() -> None:
    features = replace(blobs(40, groups=4), name="mfcc")
    tracks = held_out_examples(features, np.ones(40, dtype=bool))
    back = tracks.derive("back", tracks.values + 1)
    block = examples("VAE", tracks, back, explained=0.5)
    assert block.names == [name.split("/")[1] for name in tracks.ids]
    assert block.original.shape == (4, 2, 3), "means, then standard deviations"
    assert block.rows == ("mean", "sd")
    np.testing.assert_array_equal(block.original.reshape(4, 6), tracks.values)
    np.testing.assert_allclose(block.reconstruction - block.original, 1, atol=1e-5)
    other = examples("VAE", replace(tracks, name="musicnn"), back, explained=0.5)
    assert (other.original.shape, other.rows) == ((4, 1, 6), ("musicnn",))


def test_of_windows_the_middle_one_is_shown_in_decibel() -> None:
    values = np.random.default_rng(0).normal(size=(40, 5, 1, 8, 12)).astype(np.float32)
    features = replace(blobs(40, groups=4), name="mel", values=values)
    back = features.derive("back", values + 2)
    block = examples("ConvVAE", features, back, explained=0.376)
    np.testing.assert_array_equal(block.original, values[:, 2, 0])
    np.testing.assert_array_equal(block.reconstruction, values[:, 2, 0] + 2)
    assert (block.unit, block.rows) == ("dB", ())
    assert block.explained == "38 % of the variance within held-out clips explained"
