from __future__ import annotations

import base64
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from genre_vae.clustering import cluster
from genre_vae.collection import audio
from genre_vae.collection.catalog import scan
from genre_vae.features.pca import Projection, fit_pca
from genre_vae.features.spectral import extract_catalog
from genre_vae.models import training
from genre_vae.models.training import TrainConfig
from genre_vae.records import FeatureSet
from genre_vae.serving import placement as serving
from genre_vae.serving.placement import Placement, predict
from tests.helpers import tone, two_gigabytes_claimed, uri, wav, zipped

Features = tuple[FeatureSet, FeatureSet]


@pytest.fixture(scope="module")
def measured(corpus: Path) -> Features:
    mfcc, mel, _ = extract_catalog(scan(corpus), workers=2)
    return mfcc, mel


def placement(measured: Features, model: str) -> Placement:
    mfcc, mel = measured
    data, name = (mel, "mel") if model == "conv_vae" else (mfcc, "mfcc")
    encoder: training.Fitted | Projection
    if model == "pca":
        encoder = fit_pca(data, n_components=4)
        codes = encoder.apply(data)
    else:
        config = TrainConfig(
            model=model, latent_dim=4, widths=(4, 4, 4), epochs=2, condition_on="clusters"
        )
        encoder = training.fit(data, replace(config, n_clusters=3))
        codes = training.encode(encoder, data)
    clusters = cluster(codes.values, algorithm="k-means", n_clusters=5, seed=0)
    return Placement(encoder, name, codes, clusters, f"{model} + k-means")


@pytest.fixture(scope="module")
def placed(measured: Features) -> Placement:
    return placement(measured, "pca")


@pytest.mark.parametrize("model", ["pca", "autoencoder", "vae", "conv_vae", "cvae"])
def test_saved_and_loaded_it_finds_the_collection_where_it_was(
    measured: Features, model: str, corpus: Path, tmp_path: Path
) -> None:
    """From the audio again: the tracked clusters and codes of every track of the collection."""
    made = placement(measured, model)
    made.save(tmp_path / "placement")
    again = Placement.load(tmp_path / "placement")
    paths = [str(corpus / track_id) for track_id in made.reference.ids.tolist()]
    records = predict(again, paths)
    assert [record["cluster"] for record in records] == made.clusters.tolist()
    latent = np.array([record["latent"] for record in records])
    np.testing.assert_allclose(latent, made.reference.values, atol=1e-5)
    for record, track_id in zip(records, made.reference.ids.tolist(), strict=True):
        assert record["neighbours"][0]["track_id"] == track_id
        assert record["neighbours"][0]["distance"] < 1e-4


def test_nothing_that_is_saved_needs_to_be_run(placed: Placement, tmp_path: Path) -> None:
    placed.save(tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} <= {".json", ".npy", ".npz", ".pth"}
    about = json.loads((tmp_path / "placement.json").read_text())
    assert [one["cluster"] for one in about["clusters"]] == list(range(5))
    assert sum(one["tracks"] for one in about["clusters"]) == 20
    centroids = np.load(tmp_path / "centroids.npy", allow_pickle=False)
    np.testing.assert_array_equal(centroids, placed.centroids)


def test_clusters_that_are_not_of_the_nearest_means_are_refused(placed: Placement) -> None:
    with pytest.raises(ValueError, match="nearest means"):
        replace(placed, clusters=np.roll(placed.clusters, 1))


def test_a_record_says_how_far_and_whom_it_is_near(placed: Placement) -> None:
    codes = placed.reference.values
    (record,) = placed.place(codes[:1], neighbours=20)
    distances = [near["distance"] for near in record["neighbours"]]
    assert distances == sorted(distances)
    assert len({near["track_id"] for near in record["neighbours"]}) == 20
    expected = np.linalg.norm(codes - codes[0], axis=1)
    np.testing.assert_allclose(distances, np.sort(expected), rtol=1e-5, atol=1e-6)
    own = np.linalg.norm(codes - placed.centroids[placed.clusters], axis=1)
    assert record["distance"] == pytest.approx(own[0], rel=1e-5)
    assert record["percentile"] == pytest.approx(100 * (own < own[0] - 1e-9).mean())
    labels = placed.reference.labels[placed.clusters == record["cluster"]]
    assert record["genre_share"] == pytest.approx((labels == record["genre"]).mean())


def test_a_track_is_as_far_alone_as_in_a_batch(measured: Features, corpus: Path) -> None:
    made = placement(measured, "vae")
    paths = [str(corpus / track_id) for track_id in made.reference.ids.tolist()]
    together = predict(made, paths)
    alone = [predict(made, [path])[0] for path in paths]
    assert len({record["percentile"] for record in together}) > 10
    for one, other in zip(together, alone, strict=True):
        assert one["percentile"] == other["percentile"]
        assert not other["unlike_anything"]


def test_base64_may_have_line_breaks(placed: Placement) -> None:
    content = base64.encodebytes(wav(tone(440))).decode()
    assert "error" not in predict(placed, [f"data:audio/wav;base64,{content}"])[0]


def test_running_out_of_memory_spoils_one_item(
    placed: Placement, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(source: bytes, **limits: float) -> None:
        raise MemoryError

    monkeypatch.setattr(audio, "load", load)
    assert predict(placed, [serving.example()]) == [{"error": "not enough memory for it"}]


def test_something_else_is_unlike_anything_here(placed: Placement) -> None:
    codes = placed.reference.values
    far = placed.place((codes[:1] + 1000).astype(np.float32))[0]
    assert far["percentile"] == 100
    assert far["unlike_anything"]
    assert not placed.place(placed.centroids.astype(np.float32))[0]["unlike_anything"]


def test_without_genres_there_is_none(placed: Placement) -> None:
    nobody = replace(placed, reference=replace(placed.reference, labels=np.full(20, "")))
    (record,) = nobody.place(placed.reference.values[:1])
    assert record["genre"] is None
    assert record["genre_share"] is None
    assert record["neighbours"][0]["genre"] is None


def test_a_batch_is_its_items_one_by_one_and_bad_ones_spoil_nobody(
    placed: Placement, corpus: Path, tmp_path: Path
) -> None:
    good = sorted(str(path) for path in corpus.glob("genres/*/*.flac"))[:3]
    (tmp_path / "empty.wav").write_bytes(b"")
    items = [good[0], str(tmp_path / "empty.wav"), good[1], "/nowhere.wav", good[2]]
    together = predict(placed, items, workers=2)
    assert together[1] == {"error": "empty file"}
    assert together[3] == {"error": "no such file"}
    for place in (0, 2, 4):
        (alone,) = predict(placed, [items[place]])
        assert alone["cluster"] == together[place]["cluster"]
        np.testing.assert_allclose(alone["latent"], together[place]["latent"], atol=1e-5)
    assert predict(placed, []) == []
    assert all("error" in record for record in predict(placed, items[1:2] * 3))


def test_a_path_and_its_content_are_the_same_track(placed: Placement, corpus: Path) -> None:
    path = next(corpus.glob("genres/*/*.flac"))
    by_path, by_content = predict(placed, [str(path), uri(path.read_bytes(), "audio/flac")])
    assert by_path == by_content


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "AU"])
def test_content_in_any_format_and_at_any_rate(placed: Placement, kind: str) -> None:
    content = io.BytesIO()
    soundfile.write(content, np.stack([tone(440), tone(550)], axis=1), 48000, format=kind)
    (record,) = predict(placed, [uri(content.getvalue())], latent=False, neighbours=0)
    assert "error" not in record
    assert "latent" not in record
    assert record["neighbours"] == []


@pytest.mark.parametrize(
    ("item", "said"),
    [
        ("data:audio/wav;base64,####", "base64 is malformed"),
        ("data:audio/wav;base64,AAA", "base64 is malformed"),
        ("data:audio/wav;base64,ä", "base64 is malformed"),
        ("data:audio/wav,abc", "must be data:audio/...;base64"),
        ("data:", "must be data:audio/...;base64"),
        ("data:audio/wav;base64,", "empty file"),
        (uri(two_gigabytes_claimed()), "truncated"),
        (uri(zipped()), "cannot be decoded"),
        (uri(b"RIFF" + b"\0" * 40), "cannot be decoded"),
        (uri(wav(np.zeros(30000, np.float32))), "silent"),
        (uri(wav(tone(440)[:5000])), "too short"),
        (uri(wav(np.ones(9_000_000, np.float32), rate=1000)), "too long"),
        (uri(wav(tone(440)[:9000], rate=20)), "sampled at 20 Hz"),
        (uri(wav(np.ones((40_000 * 10, 64), np.float32), rate=40_000)), "too much: 64 channels"),
        ("", "not a file"),
        ("a\0b", "no path"),
        ("x" * 100_000, "no path"),
        ("/dev/zero", "not a file"),
        ("http://localhost/song.wav", "no such file"),
        ("file:///etc/passwd", "no such file"),
    ],
)
def test_what_is_not_audio_gets_its_reason(placed: Placement, item: str, said: str) -> None:
    (record,) = predict(placed, [item])
    assert list(record) == ["error"]
    assert said in record["error"]
    assert len(record["error"]) < 200


def test_too_many_items_are_answered_without_looking_at_them(placed: Placement) -> None:
    records = predict(placed, ["/nowhere.wav"] * 10_000)
    assert len(records) == 10_000
    assert set(map(str, records)) == {"{'error': '10000 items, at most 1000 at a time'}"}


def test_a_person_may_write_their_home(
    placed: Placement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "song.wav").write_bytes(wav(tone(440)))
    assert "error" not in predict(placed, ["~/song.wav"])[0]
    assert predict(placed, ["~nobody_of_that_name/song.wav"]) == [{"error": "no path"}]


def test_large_files_are_refused_before_they_are_read(
    placed: Placement, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(serving, "MAX_BYTES", 50_000)
    content = wav(tone(440, seconds=3))
    (tmp_path / "large.wav").write_bytes(content)
    for item in (uri(content), str(tmp_path / "large.wav")):
        assert "more than" in predict(placed, [item])[0]["error"]


def test_paths_stay_below_the_root_whatever_they_are_called(
    placed: Placement, corpus: Path, tmp_path: Path
) -> None:
    root, secret = tmp_path / "root", tmp_path / "secret.wav"
    (root / "inner").mkdir(parents=True)
    secret.write_bytes(wav(tone(440)))
    (root / "song.wav").write_bytes(wav(tone(440)))
    (root / "link.wav").symlink_to(secret)
    (root / "out").symlink_to(tmp_path)
    (root / "good.wav").symlink_to(root / "song.wav")
    (root / "loop.wav").symlink_to(root / "loop.wav")
    inside = ["song.wav", "inner/../song.wav", str(root / "song.wav"), "good.wav", "./song.wav"]
    outside = [
        *("../secret.wav", str(secret), "link.wav", "out/secret.wav", "inner/../../secret.wav"),
        *("/etc/passwd", "..", "~/song.wav", "file:///etc/passwd", "loop.wav", "inner", ""),
    ]
    for item in inside:
        assert "error" not in predict(placed, [item], root=root)[0], item
    for item in outside:
        assert list(predict(placed, [item], root=root)[0]) == ["error"], item
    for item in inside + outside:
        (record,) = predict(placed, [item], root="nowhere")
        assert "GENRE_VAE_AUDIO_ROOT" in record["error"], item
    assert "error" not in predict(placed, [uri(wav(tone(440)))], root="nowhere")[0]


def test_the_example_can_be_placed(placed: Placement) -> None:
    assert len(serving.example()) < 100_000
    assert "error" not in predict(placed, [serving.example()])[0]


def test_a_spectrogram_sounds_like_what_it_was_made_of() -> None:
    """A tone goes in as mel bands and comes out at its pitch."""
    from genre_vae.features.spectral import N_MELS, extract, mel_filters

    windows = extract(tone(880, seconds=3), mel_filters()).mel
    wave = serving.sonify(windows[0, 0].astype(np.float32), iterations=8)
    assert wave.dtype == np.float32
    assert np.abs(wave).max() == pytest.approx(0.9)
    spectrum = np.abs(np.fft.rfft(wave))
    peak = spectrum.argmax() * audio.SAMPLE_RATE / len(wave)
    assert windows.shape[2] == N_MELS
    assert abs(peak - 880) < 60  # a mel band of 64 is about this wide there
