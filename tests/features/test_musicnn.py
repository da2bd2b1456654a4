"""The tagger against the network as its authors wrote it, its front end against librosa's, and its
weights: where they come from, and that they recognise the genres of real clips."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import librosa
import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
import safetensors.torch
import soundfile
import torch
from filelock import FileLock
from torch import Tensor
from torch.nn.functional import conv2d, relu
from torch.nn.functional import pad as zero_pad

from genre_vae.collection import audio, catalog
from genre_vae.collection.catalog import Catalog
from genre_vae.collection.digests import content_digests
from genre_vae.features import musicnn, tagging
from genre_vae.features.musicnn import MusiCNN
from genre_vae.features.tags import TAGS, cluster_tags
from genre_vae.records import FeatureSet, FloatArray, Geometry, InputError, Loudness
from tests.features.checkpoints import KERNELS, LICENCE, Arrays, numbered, random_arrays, wheel_of
from tests.helpers import ROOT, tone

RATE = audio.SAMPLE_RATE


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """As in `tagging.extract_tracks`; two for so little would wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Planted(NamedTuple):
    """A wheel of random weights that is taken for the true one, and what is in it."""

    arrays: Arrays
    wheel: Path
    cached: Path
    net: MusiCNN


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    folder = tmp_path_factory.mktemp("musicnn")
    arrays = random_arrays()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(musicnn, "SHA256", wheel_of(arrays, folder / musicnn.WHEEL))
        cached = musicnn.fetch(folder / "a" / "b.safetensors", wheel=folder / musicnn.WHEEL)
    return Planted(arrays, folder / musicnn.WHEEL, cached, musicnn.load(cached))


@pytest.fixture
def known(planted: Planted, monkeypatch: pytest.MonkeyPatch) -> Planted:
    """The same, while it is taken for the true one."""
    digest = hashlib.sha256(planted.wheel.read_bytes()).hexdigest()
    monkeypatch.setattr(musicnn, "SHA256", digest)
    return planted


@pytest.fixture(scope="session")
def net() -> MusiCNN:
    """With its true weights, where the machine has them or a package registry."""
    cached = ROOT / ".cache" / f"musicnn-{musicnn.SHA256[:8]}.safetensors"
    cached.parent.mkdir(exist_ok=True)
    named = os.environ.get("GENRE_VAE_MUSICNN_WHEEL")
    beside = ROOT / ".cache" / musicnn.WHEEL
    wheel = Path(named) if named else beside if beside.exists() else None
    with FileLock(f"{cached}.lock"):
        try:
            musicnn.fetch(cached, wheel=wheel)
        except InputError as error:
            if wheel:
                raise
            pytest.skip(str(error))
    return musicnn.load(cached)


# The network


Flatten = Callable[[Tensor, Tensor], Tensor]


def interleaved(highest: Tensor, mean: Tensor) -> Tensor:
    """As TensorFlow flattens (b, c, 2)."""
    return torch.cat([highest[:, :, None], mean[:, :, None]], dim=2).reshape(len(mean), -1)


def one_after_the_other(highest: Tensor, mean: Tensor) -> Tensor:
    return torch.cat([highest, mean], dim=1)


def reference(arrays: Arrays, patches: Tensor, *flattens: Flatten) -> list[tuple[Tensor, Tensor]]:
    """musicnn's ``build_musicnn``, line by line, in double precision; every filter is computed.

    Its embeddings and tags for each way to flatten. Axes are TensorFlow's: (b, t, mel, c).
    """
    t = {name: torch.from_numpy(array).double() for name, array in arrays.items()}

    def norm(x: Tensor, number: int) -> Tensor:
        """Of the last axis."""
        name = numbered("batch_normalization", number)
        deviation = torch.sqrt(t[f"{name}/moving_variance"] + 0.001)
        return (x - t[f"{name}/moving_mean"]) / deviation * t[f"{name}/gamma"] + t[f"{name}/beta"]

    def conv(x: Tensor, number: int) -> Tensor:
        name = numbered("conv2d", number)
        kernel = t[f"{name}/kernel"].permute(3, 2, 0, 1)
        out = conv2d(x.permute(0, 3, 1, 2), kernel, t[f"{name}/bias"]).permute(0, 2, 3, 1)
        return norm(relu(out), number + 1)

    def pad(x: Tensor, before: int, after: int) -> Tensor:
        return zero_pad(x, (0, 0, 0, 0, before, after))

    def dense(x: Tensor, number: int) -> Tensor:
        name = numbered("dense", number)
        return x @ t[f"{name}/kernel"] + t[f"{name}/bias"]

    x = norm(patches.double()[..., None], 0)
    timbral = [conv(pad(x, 3, 3), number).amax(dim=2) for number in (0, 1)]
    temporal = [  # padding "same": of the frames - 1 that are added, the odd one at the end
        conv(pad(x, frames // 2 - 1, frames // 2), number).amax(dim=2)
        for number, frames in ((2, 128), (3, 64), (4, 32))
    ]
    front = torch.cat([*timbral, *temporal], dim=2)[..., None]  # (b, t, c, 1)
    first = conv(pad(front, 3, 3), 5).transpose(2, 3)
    second = conv(pad(first, 3, 3), 6).transpose(2, 3) + first
    third = conv(pad(second, 3, 3), 7).transpose(2, 3) + second
    every = torch.cat([front, first, second, third], dim=2)[..., 0]
    found = []
    for flatten in flattens:
        pooled = flatten(every.amax(dim=1), every.mean(dim=1))
        embedding = norm(relu(dense(norm(pooled, 9), 0)), 10)
        found.append((embedding, torch.sigmoid(dense(embedding, 1))))
    return found


def some_patches(b: int = 2) -> Tensor:
    """In the range of log-mel values, smooth in part, so that maxima are not all of noise."""
    rng = np.random.default_rng(1)
    noise = rng.gamma(1.0, 1.0, size=(b, musicnn.PATCH, musicnn.N_MELS))
    swell = np.sin(np.linspace(0, 9, musicnn.PATCH))[:, None] * np.linspace(2, 0, musicnn.N_MELS)
    louder = np.arange(1, b + 1)[:, None, None]
    return torch.from_numpy((louder * (noise + swell)).clip(0).astype(np.float32))


def disagreement(found: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor]) -> float:
    """The largest difference in the embedding or the tags, relative to the spread of each."""
    return max(
        float((ours - theirs).abs().max() / theirs.std())
        for ours, theirs in zip(found, expected, strict=True)
    )


@torch.inference_mode()
def test_the_network_is_its_authors(planted: Planted) -> None:
    found = planted.net(some_patches())
    assert [tuple(one.shape) for one in found] == [(2, 200), (2, 50)]
    expected, wrong = reference(planted.arrays, some_patches(), interleaved, one_after_the_other)
    assert disagreement(found, expected) < 1e-4
    assert disagreement(found, wrong) > 0.1
    assert float(expected[1].std()) > 0.1  # tags differ, so that agreeing with them is something


def test_the_reference_has_filters_at_rest_in_every_layer(planted: Planted) -> None:
    """The test above would say nothing of them if it had none, or no others."""
    for number in range(len(KERNELS)):
        kernel = planted.arrays[f"{numbered('conv2d', number)}/kernel"]
        size = np.abs(kernel).sum(axis=(0, 1, 2))
        assert 0.3 < (size < musicnn.AT_REST).mean() < 0.9
        assert ((size < musicnn.AT_REST) | (size > 1)).all()


@torch.inference_mode()
def test_a_batch_is_its_patches_one_by_one(planted: Planted) -> None:
    patches = some_patches()
    together = planted.net(patches)
    alone = [planted.net(patch[None]) for patch in patches]
    joined = torch.cat([one for one, _ in alone]), torch.cat([one for _, one in alone])
    assert disagreement(together, joined) < 1e-5
    assert disagreement(together, (together[0].flip(0), together[1].flip(0))) > 0.1


@torch.inference_mode()
def test_the_network_is_deterministic(planted: Planted) -> None:
    first, second = planted.net(some_patches()), planted.net(some_patches())
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


# The front end


def log_mel(waveform: FloatArray) -> FloatArray:
    """librosa's, (t, 96)."""
    resampled = librosa.resample(waveform, orig_sr=RATE, target_sr=16_000)
    mel = librosa.feature.melspectrogram(
        y=resampled, sr=16_000, n_fft=512, hop_length=256, n_mels=96, pad_mode="constant"
    )
    found: FloatArray = np.log10(10_000 * mel.T + 1)
    return found


def music(seconds: float) -> FloatArray:
    """A chord that swells over faint noise."""
    rng = np.random.default_rng(0)
    chord = sum(tone(hertz, seconds) for hertz in (110.0, 277.2, 1318.5, 4186.0))
    swell = np.linspace(0.01, 1, round(seconds * RATE)) ** 2
    return (swell * chord + 1e-3 * rng.normal(size=len(swell))).astype(np.float32)


FRAME = 256 / 16_000  # seconds


@pytest.mark.parametrize(
    ("seconds", "count"),
    [
        (30.0, 10),
        (1.0, 1),
        (2.0, 1),
        (186 * FRAME - 0.001, 1),  # 186 frames, the last of them the first again
        (186 * FRAME + 0.001, 1),  # just enough
        (373 * FRAME - 0.001, 1),
        (373 * FRAME + 0.001, 2),
    ],
)
def test_patches_agree_with_librosa(seconds: float, count: int) -> None:
    waveform = music(seconds)
    found = musicnn.patches(waveform)
    assert found.dtype == np.float32
    assert found.shape == (count, 187, 96)
    expected = log_mel(waveform)
    assert len(expected) == 1 + int(seconds / FRAME)
    flat = found.reshape(-1, 96)
    np.testing.assert_allclose(
        flat, expected[np.arange(len(flat)) % len(expected)], rtol=1e-5, atol=3e-5
    )


def test_patches_of_real_clips_agree_with_librosa(gtzan_mini: Path) -> None:
    for genre in ("classical", "metal"):
        waveform = audio.load(gtzan_mini / f"genres/{genre}/{genre}.00004.wav").waveform
        found = musicnn.patches(waveform).reshape(-1, 96)
        np.testing.assert_allclose(found, log_mel(waveform)[: len(found)], rtol=1e-5, atol=3e-5)


@pytest.mark.parametrize("band", [20, 45, 80])
def test_a_tone_lands_in_its_mel_band(band: int) -> None:
    centre = librosa.mel_frequencies(98, fmin=0, fmax=8_000)[band + 1]
    patch = musicnn.patches(tone(centre, seconds=4.0))[0]
    assert (patch[5:-5].argmax(axis=1) == band).all()


def test_a_kilohertz_lands_in_its_mel_band() -> None:
    centres = librosa.mel_frequencies(98, fmin=0, fmax=8_000)[1:-1]
    patch = musicnn.patches(tone(1_000, seconds=4.0))[0]
    assert abs(centres[patch.mean(axis=0).argmax()] - 1_000) < 40


# A clip


def test_a_clip_is_the_mean_and_the_deviation_of_its_patches(planted: Planted) -> None:
    waveform = music(10.0)
    found = musicnn.extract(waveform, planted.net)
    with torch.inference_mode():
        embedding, tags = planted.net(torch.from_numpy(musicnn.patches(waveform)))
    assert len(embedding) == 3
    expected = np.concatenate([embedding.mean(dim=0), np.std(embedding.numpy(), axis=0)])
    np.testing.assert_allclose(found.embedding, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found.tags, tags.mean(dim=0), rtol=1e-6)
    assert found.embedding.shape == (400,)
    assert found.tags.shape == (50,)
    assert found.embedding.dtype == found.tags.dtype == np.float32


def test_a_clip_of_a_single_patch_has_no_deviation(planted: Planted) -> None:
    found = musicnn.extract(tone(seconds=2.0), planted.net).embedding
    assert (found[musicnn.EMBEDDING :] == 0).all()
    assert np.isfinite(found).all()


@pytest.mark.parametrize("gain", [1e17, 1e30])
def test_sound_too_loud_for_its_power_is_no_clip(planted: Planted, gain: float) -> None:
    with pytest.raises(audio.BadAudioError, match="too loud: its power overflows"):
        musicnn.extract((gain * tone()).astype(np.float32), planted.net)


# The weights


def one_line(error: pytest.ExceptionInfo[InputError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    assert len(message) < 600
    return message


def without_musicnn() -> bool:
    return not any(name.split(".")[0] == "musicnn" for name in sys.modules)


def test_another_file_is_refused_by_its_hash(tmp_path: Path) -> None:
    (tmp_path / "some.whl").write_bytes(b"something else")
    with pytest.raises(InputError) as error:
        musicnn.fetch(tmp_path / "cached", wheel=tmp_path / "some.whl")
    said = one_line(error)
    assert musicnn.SHA256 in said
    assert hashlib.sha256(b"something else").hexdigest() in said
    assert str(tmp_path / "some.whl") in said
    assert [path.name for path in tmp_path.iterdir()] == ["some.whl"]


def test_a_wheel_that_is_not_there_is_tags_of(tmp_path: Path) -> None:
    for wheel, reason in ((tmp_path / "no.whl", "No such file"), (tmp_path, "Is a directory")):
        with pytest.raises(InputError) as error:
            musicnn.fetch(tmp_path / "cached", wheel=wheel)
        assert str(wheel) in one_line(error)
        assert reason in str(error.value)
    assert not list(tmp_path.iterdir())


def spy(folder: Path) -> str:
    """Code that leaves a trace where it runs."""
    return f"open({str(folder / 'ran')!r}, 'w').close()"


def test_a_planted_wheel_is_refused_and_nothing_of_it_runs(tmp_path: Path) -> None:
    wheel_of(random_arrays(), tmp_path / musicnn.WHEEL, code=spy(tmp_path))
    with pytest.raises(InputError, match=musicnn.SHA256):
        musicnn.fetch(tmp_path / "cached", wheel=tmp_path / musicnn.WHEEL)
    assert [path.name for path in tmp_path.iterdir()] == [musicnn.WHEEL]
    assert without_musicnn()


def test_nothing_of_a_wheel_that_is_taken_runs_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = tmp_path / musicnn.WHEEL
    monkeypatch.setattr(musicnn, "SHA256", wheel_of(random_arrays(), wheel, code=spy(tmp_path)))
    musicnn.load(musicnn.fetch(tmp_path / "cached", wheel=wheel))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cached", musicnn.WHEEL]
    assert without_musicnn()


def test_a_cached_file_is_all_that_is_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(*_: object, **__: object) -> None:
        raise AssertionError("asked pip")

    monkeypatch.setattr(subprocess, "run", run)
    cached = tmp_path / "cached"
    cached.write_bytes(b"as it is")
    assert musicnn.fetch(cached) == cached
    assert musicnn.fetch(cached, wheel=tmp_path / "no.whl") == cached
    assert cached.read_bytes() == b"as it is"


def test_without_a_network_it_says_how_to_get_the_wheel(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.upper().startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name in [name for name in os.environ if name.upper().endswith("_PROXY")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    with pytest.raises(InputError) as error:
        musicnn.fetch(tmp_path / "folder" / "cached")
    said = one_line(error)
    assert "pip download --no-deps musicnn==0.1.0" in said
    assert "musicnn_wheel" in said
    assert musicnn.WHEEL in said
    assert not list(tmp_path.rglob("*cached*"))


@pytest.mark.parametrize(
    "failure", [FileNotFoundError("no python"), subprocess.TimeoutExpired("pip", 600)]
)
def test_a_pip_that_does_not_run_is_tags_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Exception
) -> None:
    def run(*_: object, **__: object) -> None:
        raise failure

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(InputError) as error:
        musicnn.fetch(tmp_path / "cached")
    assert str(failure) in one_line(error)
    assert not list(tmp_path.iterdir())


def test_what_pip_brings_is_used(
    known: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commands = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        commands.append(command)
        (folder,) = (word.removeprefix("--dest=") for word in command if "--dest=" in word)
        (Path(folder) / musicnn.WHEEL).write_bytes(known.wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, stdout="", stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    cached = musicnn.fetch(tmp_path / "folder" / "cached")
    assert cached.read_bytes() == known.cached.read_bytes()
    (command,) = commands
    assert command[-1] == "musicnn==0.1.0"
    # a package's source would be built, and so run; its dependencies are 1 GB
    assert {"--only-binary=:all:", "--no-deps", "download"} <= set(command)


def test_what_pip_brings_is_held_to_the_hash(
    planted: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        (folder,) = (word.removeprefix("--dest=") for word in command if "--dest=" in word)
        (Path(folder) / musicnn.WHEEL).write_bytes(planted.wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, stdout="", stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(InputError, match=musicnn.SHA256):
        musicnn.fetch(tmp_path / "cached")
    assert not list(tmp_path.iterdir())


def test_nothing_half_written_remains(
    known: Planted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save_file(tensors: object, path: Path, metadata: object) -> None:
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(safetensors.torch, "save_file", save_file)
    with pytest.raises(OSError, match="disk full"):
        musicnn.fetch(tmp_path / "cached", wheel=known.wheel)
    with pytest.raises(OSError, match="disk full"):
        musicnn.save(known.net, tmp_path / "saved")
    assert not list(tmp_path.iterdir())


def test_the_licence_goes_where_the_weights_go(planted: Planted) -> None:
    assert planted.net.licence == LICENCE
    with safetensors.safe_open(planted.cached, "pt") as file:
        assert file.metadata()["licence"] == LICENCE


@torch.inference_mode()
def test_saved_and_loaded_it_is_the_same(planted: Planted, tmp_path: Path) -> None:
    musicnn.save(planted.net, tmp_path / "net")
    assert [path.name for path in tmp_path.iterdir()] == ["net"]
    again = musicnn.load(tmp_path / "net")
    assert again.licence == planted.net.licence
    assert not again.training
    for one, other in zip(planted.net(some_patches(1)), again(some_patches(1)), strict=True):
        assert torch.equal(one, other)


def broken(kind: str, content: bytes) -> bytes:
    tensors = safetensors.torch.load(content)
    if kind == "truncated":
        return content[: len(content) // 2]
    if kind == "header cut":
        return content[:100]
    if kind == "wrong shape":
        tensors["dense.weight"] = tensors["dense.weight"].T.contiguous()
    elif kind == "missing":
        del tensors["tags.bias"]
    elif kind == "one too many":
        tensors["dense_2.weight"] = torch.zeros(3)
    elif kind == "another model's":
        tensors = {"weight": torch.zeros(3)}
    elif kind == "none of it":
        tensors = {}
    else:
        return {"empty": b"", "garbage": b"\x89PNG" + bytes(range(256)) * 9}[kind]
    return safetensors.torch.save(tensors)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("empty", "header too small"),
        ("garbage", "header too large"),
        ("truncated", ""),
        ("header cut", ""),
        ("wrong shape", "dense.weight"),
        ("missing", "tags.bias"),
        ("one too many", "dense_2.weight"),
        ("another model's", "weight"),
        ("none of it", "Missing key"),
    ],
)
def test_a_broken_file_is_tags_of(planted: Planted, tmp_path: Path, kind: str, said: str) -> None:
    path = tmp_path / "net.safetensors"
    path.write_bytes(broken(kind, planted.cached.read_bytes()))
    with pytest.raises(InputError) as error:
        musicnn.load(path)
    assert f"{path}: not musicnn's weights: " in one_line(error)
    assert one_line(error).endswith("; delete it")
    reason = one_line(error).removeprefix(f"{path}: not musicnn's weights: ")
    assert said in reason
    assert ":;" not in reason


# Tracks


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> FeatureSet:
    """Five short files; their ids are their paths."""
    folder = tmp_path_factory.mktemp("songs")
    paths = [folder / f"{name}.wav" for name in "abcde"]
    for number, path in enumerate(paths):
        soundfile.write(path, (0.1 + 0.1 * number) * music(1.5 + number), RATE)
    labels = np.array(["jazz", "rock", "", "jazz", "rock"])
    values = np.zeros((5, 2), dtype=np.float32)
    return FeatureSet("mfcc", np.array([str(path) for path in paths]), values, labels)


def outputs_of(
    tracks: FeatureSet, net: MusiCNN, *, workers: int = 1, root: Path | None = None
) -> tuple[FeatureSet, FeatureSet]:
    return tagging.extract_tracks(tracks, catalog_of(tracks, root), net, workers=workers)


def catalog_of(tracks: FeatureSet, root: Path | None = None) -> Catalog:
    """The files of tracks whose ids are their paths, below a root if there is one."""
    paths = [Path(root / name if root else name) for name in tracks.ids.tolist()]
    columns = {"track_id": tracks.ids, "path": list(map(str, paths))}
    files = pd.DataFrame({**columns, "digest": content_digests(paths)})
    return Catalog(root or Path(), files, loudness=Loudness.AS_IS)


def test_tracks_keep_their_ids_and_genres(planted: Planted, songs: FeatureSet) -> None:
    embeddings, tags = outputs_of(songs, planted.net)
    assert (embeddings.name, tags.name) == ("musicnn", "musicnn tags")
    assert embeddings.values.shape == (5, 400)
    assert [tuple(block)[:3] for block in embeddings.blocks] == [
        ("musicnn mean", 200, Geometry.COSINE),
        ("musicnn deviation", 200, Geometry.COSINE),
    ]
    assert tags.values.shape == (5, 50)
    for found in (embeddings, tags):
        np.testing.assert_array_equal(found.ids, songs.ids)
        np.testing.assert_array_equal(found.labels, songs.labels)
        assert found.label_use == songs.label_use
    for row, path in enumerate(songs.ids.tolist()):
        alone = musicnn.extract(audio.load(path).waveform, planted.net)
        np.testing.assert_allclose(embeddings.values[row], alone.embedding, rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(tags.values[row], alone.tags, rtol=1e-5)


def test_its_output_is_pretrained(planted: Planted, songs: FeatureSet) -> None:
    assert not songs.pretrained
    for found in outputs_of(songs, planted.net):
        assert found.pretrained is True
        assert found.derive("pca", found.values[:, :2]).pretrained is True
        assert found.select(found.ids[:2]).pretrained is True


def test_neither_workers_nor_order_matter(planted: Planted, songs: FeatureSet) -> None:
    backwards = songs.select(songs.ids[::-1])
    expected = outputs_of(songs, planted.net)
    for tracks, workers in ((songs, 2), (backwards, 1), (backwards, 3)):
        for found, first in zip(
            outputs_of(tracks, planted.net, workers=workers), expected, strict=True
        ):
            np.testing.assert_array_equal(found.select(songs.ids).values, first.values)


def test_progress_sees_every_track(planted: Planted, songs: FeatureSet) -> None:
    seen = []

    def progress(results: Iterable[tagging.Result], total: int) -> Iterator[tagging.Result]:
        assert total == len(songs)
        for result in results:
            seen.append(result)
            yield result

    embeddings, _ = tagging.extract_tracks(
        songs, catalog_of(songs), planted.net, workers=2, progress=progress
    )
    np.testing.assert_array_equal([one.embedding for _, one in seen], embeddings.values)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_file_that_vanished_is_tags_of(
    planted: Planted, songs: FeatureSet, tmp_path: Path, workers: int
) -> None:
    gone = str(tmp_path / "gone.wav")
    tracks = replace(songs, ids=np.array([*songs.ids[:4].tolist(), gone]))
    with pytest.raises(InputError) as error:
        outputs_of(tracks, planted.net, workers=workers)
    said = one_line(error)
    assert gone in said
    assert "no such file" in said.lower()


# The tags of clusters


def tags_of(tags: npt.NDArray[np.floating], *clusters: int) -> list[list[str]]:
    return cluster_tags(tags, np.array(clusters, dtype=np.int64))


def probabilities(rows: int, **high: tuple[list[int], float]) -> npt.NDArray[np.float64]:
    """.3 everywhere but where said: a tag's value in some rows."""
    tags = np.full((rows, len(TAGS)), 0.3)
    for tag, (where, value) in high.items():
        tags[where, TAGS.index(tag)] = value
    return tags


def test_a_tag_that_is_high_in_one_cluster_only_is_its_first() -> None:
    rng = np.random.default_rng(0)
    tags = rng.uniform(0, 0.3, size=(60, len(TAGS)))
    tags[:, TAGS.index("rock")] = 0.9  # of every track, so of no cluster
    clusters = np.arange(60) % 3
    for cluster, tag in enumerate(("jazz", "Hip-Hop", "happy")):
        tags[clusters == cluster, TAGS.index(tag)] += 0.4
    found = cluster_tags(tags, clusters)
    assert [first for first, *_ in found] == ["jazz", "Hip-Hop", "happy"]
    assert "rock" not in {tag for cluster in found for tag in cluster}


def test_each_cluster_has_one_to_three_tags() -> None:
    everywhere_alike = np.full((4, len(TAGS)), 0.5)
    assert [len(one) for one in tags_of(everywhere_alike, 0, 0, 1, 1)] == [1, 1]
    assert [len(one) for one in tags_of(everywhere_alike, 0, 0, 0, 0)] == [1]
    many = probabilities(
        2, jazz=([0], 0.9), soul=([0], 0.8), funk=([0], 0.7), blues=([0], 0.6), metal=([1], 0.9)
    )
    assert tags_of(many, 0, 1) == [["jazz", "soul", "funk"], ["metal"]]


@pytest.mark.parametrize(("gain", "said"), [(0.049, ["jazz"]), (0.051, ["jazz", "soul"])])
def test_a_second_tag_needs_to_gain(gain: float, said: list[str]) -> None:
    """The mean of two clusters is half of what one has above the other."""
    tags = probabilities(2, jazz=([0], 0.9), soul=([0], 0.3 + 2 * gain))
    assert tags_of(tags, 0, 1)[0] == said


def test_the_order_of_tracks_changes_no_tag() -> None:
    rng = np.random.default_rng(0)
    tags = rng.uniform(size=(40, len(TAGS))).astype(np.float32)
    clusters = rng.integers(0, 4, size=40)
    expected = cluster_tags(tags, clusters)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(40)
        assert cluster_tags(tags[order], clusters[order]) == expected


# The true weights and real clips

KNOWN = {"jazz": "jazz", "metal": "metal", "Hip-Hop": "hiphop", "blues": "blues"}


def loudest_genres(tags: FeatureSet) -> dict[str, str]:
    """For each of some tags the genre in which its mean probability is the highest."""
    genres = sorted(set(tags.labels.tolist()))
    found = {}
    for tag in KNOWN:
        probability = tags.values[:, TAGS.index(tag)]
        found[tag] = max(genres, key=lambda genre: probability[tags.labels == genre].mean())
    return found


@pytest.fixture(scope="session")
def clips(gtzan_mini: Path) -> FeatureSet:
    """The hundred real clips, whose values are nothing."""
    tracks = catalog.scan(gtzan_mini).tracks
    ids, labels = (tracks[column].to_numpy(dtype=str) for column in ("track_id", "genre"))
    return FeatureSet("none", ids, np.zeros((len(ids), 1), dtype=np.float32), labels)


@pytest.fixture(scope="session")
def outputs(net: MusiCNN, clips: FeatureSet, gtzan_mini: Path) -> tuple[FeatureSet, FeatureSet]:
    return outputs_of(clips, net, workers=2, root=gtzan_mini)


class Misread(MusiCNN):
    """Takes the highest and the mean values one after the other."""

    def __init__(self) -> None:
        super().__init__()

        def misread(_: object, given: tuple[Tensor]) -> Tensor:
            return given[0].reshape(len(given[0]), -1, 2).transpose(1, 2).flatten(1)

        self.pooled_norm.register_forward_pre_hook(misread)


def test_the_true_licence_goes_with_the_true_weights(net: MusiCNN) -> None:
    assert "Permission to use" in net.licence


@torch.inference_mode()
def test_true_filters_at_rest_change_nothing(net: MusiCNN, monkeypatch: pytest.MonkeyPatch) -> None:
    patches = torch.from_numpy(musicnn.patches(music(7.0)))
    pruned = net(patches)
    monkeypatch.setattr(musicnn, "AT_REST", -1.0)
    monkeypatch.delitem(net.__dict__, "_ready")  # what was made ready of the filters
    assert disagreement(pruned, net(patches)) < 1e-4


def test_the_tagger_knows_the_genres_it_has_a_tag_for(
    outputs: tuple[FeatureSet, FeatureSet], clips: FeatureSet
) -> None:
    embeddings, tags = outputs
    np.testing.assert_array_equal(embeddings.ids, clips.ids)
    np.testing.assert_array_equal(tags.labels, clips.labels)
    assert len(set(tags.labels.tolist())) == 10
    assert ((tags.values > 0) & (tags.values < 1)).all()
    assert loudest_genres(tags) == KNOWN


def test_with_the_wrong_flattening_it_does_not_know_them(
    net: MusiCNN, clips: FeatureSet, gtzan_mini: Path
) -> None:
    wrong = Misread().eval()
    wrong.load_state_dict(net.state_dict())
    few = clips.select([one for row, one in enumerate(clips.ids.tolist()) if row % 10 < 2])
    assert len(set(few.labels.tolist())) == 10
    _, tags = outputs_of(few, wrong, root=gtzan_mini)
    assert loudest_genres(tags) != KNOWN


def test_real_clips_give_the_same_with_one_worker_and_in_any_order(
    outputs: tuple[FeatureSet, FeatureSet], net: MusiCNN, clips: FeatureSet, gtzan_mini: Path
) -> None:
    few = clips.select(clips.ids[[77, 3, 42]])
    for found, every in zip(outputs_of(few, net, root=gtzan_mini), outputs, strict=True):
        np.testing.assert_array_equal(found.values, every.select(few.ids).values)
