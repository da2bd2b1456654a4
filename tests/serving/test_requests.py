from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
import pytest
import soundfile

from genre_vae.collection import audio
from genre_vae.serving import requests
from genre_vae.serving.index import ClusterIndex
from genre_vae.serving.requests import predict
from tests.helpers import tone, two_gigabytes_claimed, uri, wav, zipped


def test_base64_may_have_line_breaks(index: ClusterIndex) -> None:
    content = base64.encodebytes(wav(tone(440))).decode()
    assert "error" not in predict(index, [f"data:audio/wav;base64,{content}"])[0]


def test_running_out_of_memory_spoils_one_item(
    index: ClusterIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(source: bytes, **limits: float) -> None:
        raise MemoryError

    monkeypatch.setattr(audio, "load", load)
    assert predict(index, [requests.example()]) == [{"error": "not enough memory for it"}]


def test_a_batch_is_its_items_one_by_one_and_bad_ones_affect_no_other(
    index: ClusterIndex, corpus: Path, tmp_path: Path
) -> None:
    good = sorted(str(path) for path in corpus.glob("genres/*/*.flac"))[:3]
    (tmp_path / "empty.wav").write_bytes(b"")
    items = [good[0], str(tmp_path / "empty.wav"), good[1], "/nowhere.wav", good[2]]
    together = predict(index, items, workers=2)
    assert together[1] == {"error": "empty file"}
    assert together[3] == {"error": "no such file"}
    for place in (0, 2, 4):
        (alone,) = predict(index, [items[place]])
        assert alone["cluster"] == together[place]["cluster"]
        np.testing.assert_allclose(alone["latent"], together[place]["latent"], atol=1e-5)
    assert predict(index, []) == []
    assert all("error" in record for record in predict(index, items[1:2] * 3))


def test_a_path_and_its_content_are_the_same_track(index: ClusterIndex, corpus: Path) -> None:
    path = next(corpus.glob("genres/*/*.flac"))
    by_path, by_content = predict(index, [str(path), uri(path.read_bytes(), "audio/flac")])
    assert by_path == by_content


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "MP3", "AIFF", "AU"])
def test_content_in_any_format_and_at_any_rate(index: ClusterIndex, kind: str) -> None:
    content = io.BytesIO()
    soundfile.write(content, np.stack([tone(440), tone(550)], axis=1), 48000, format=kind)
    (record,) = predict(index, [uri(content.getvalue())], latent=False, neighbours=0)
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
        (uri(zipped()), "a zip archive, not audio"),
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
def test_what_is_not_audio_gets_its_reason(index: ClusterIndex, item: str, said: str) -> None:
    (record,) = predict(index, [item])
    assert list(record) == ["error"]
    assert said in record["error"]
    assert len(record["error"]) < 200


def test_too_many_items_are_answered_without_looking_at_them(index: ClusterIndex) -> None:
    records = predict(index, ["/nowhere.wav"] * 10_000)
    assert len(records) == 10_000
    assert set(map(str, records)) == {"{'error': '10000 items, at most 1000 at a time'}"}


def test_a_person_may_write_their_home(
    index: ClusterIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "song.wav").write_bytes(wav(tone(440)))
    assert "error" not in predict(index, ["~/song.wav"])[0]
    assert predict(index, ["~nobody_of_that_name/song.wav"]) == [{"error": "no path"}]


def test_large_files_are_refused_before_they_are_read(
    index: ClusterIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "MAX_BYTES", 50_000)
    content = wav(tone(440, seconds=3))
    (tmp_path / "large.wav").write_bytes(content)
    for item in (uri(content), str(tmp_path / "large.wav")):
        assert "more than" in predict(index, [item])[0]["error"]


def test_paths_stay_below_the_root_whatever_they_are_called(
    index: ClusterIndex, corpus: Path, tmp_path: Path
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
        assert "error" not in predict(index, [item], root=root)[0], item
    for item in outside:
        assert list(predict(index, [item], root=root)[0]) == ["error"], item
    for item in inside + outside:
        (record,) = predict(index, [item], root="nowhere")
        assert "GENRE_VAE_AUDIO_ROOT" in record["error"], item
    assert "error" not in predict(index, [uri(wav(tone(440)))], root="nowhere")[0]


def test_the_example_can_be_placed(index: ClusterIndex) -> None:
    assert len(requests.example()) < 100_000
    assert "error" not in predict(index, [requests.example()])[0]
