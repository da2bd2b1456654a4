from __future__ import annotations

import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import soxr
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist, squareform

from genre_vae.collection import audio
from genre_vae.collection.catalog import scan
from genre_vae.collection.duplicates import DEPTH_DB, POOL, THRESHOLD, duplicates
from genre_vae.features.spectral import extract, extract_catalog, mel_filters
from genre_vae.records import FeatureSet, FloatArray

COLUMNS = ["track_id", "genre", "group", "same", "of"]
RATE = audio.SAMPLE_RATE


def mel_of(*tracks: tuple[str, npt.NDArray[np.floating]]) -> FeatureSet:
    ids = np.array([track_id for track_id, _ in tracks])
    values = np.stack(
        [extract(waveform.astype(np.float32), mel_filters()).mel for _, waveform in tracks]
    )
    return FeatureSet("mel", ids, values, np.array([str(name)[:1] for name in ids]))


def take(mel: FeatureSet, rows: list[int]) -> FeatureSet:
    return mel.select(mel.ids[rows])


@pytest.fixture(scope="module")
def songs(corpus: Path) -> dict[str, FloatArray]:
    """Five songs of different genres, 30 s each."""
    paths = sorted(corpus.glob("genres/*/*.00000.flac"))[:5]
    return {path.parent.name: audio.load(path).waveform for path in paths}


def test_copies_in_other_formats_at_other_levels_and_rates_are_found(tmp_path: Path) -> None:
    """From files to the table, with the digests of the catalog."""
    rng = np.random.default_rng(0)
    for name in ("one", "other"):
        noise = soxr.resample(rng.normal(size=6 * RATE // 4), RATE / 4, RATE)
        steps = rng.uniform(0, 0.2, 60)[np.arange(len(noise)) * 60 // len(noise)]
        soundfile.write(tmp_path / f"{name}.wav", steps * noise, RATE)
    sound, _ = soundfile.read(tmp_path / "one.wav")
    shutil.copy(tmp_path / "one.wav", tmp_path / "one_bytes.wav")
    soundfile.write(tmp_path / "one_flac.flac", sound, RATE)
    soundfile.write(tmp_path / "one_mp3.mp3", sound, RATE)
    soundfile.write(tmp_path / "one_ogg.ogg", sound, RATE)
    soundfile.write(tmp_path / "one_quiet.wav", sound / 2, RATE)
    soundfile.write(tmp_path / "one_rate.wav", soxr.resample(sound, RATE, 44100), 44100)
    soundfile.write(tmp_path / "one_later.wav", sound[100:], RATE)
    soundfile.write(tmp_path / "one_stereo.wav", np.stack([sound, sound], axis=1), RATE)
    catalog = scan(tmp_path)
    _, mel, _, _, skipped = extract_catalog(catalog, workers=1)
    assert skipped.empty
    found = duplicates(mel, catalog.tracks["digest"].to_numpy(dtype=str))
    kinds = ["bytes", "flac", "later", "mp3", "ogg", "quiet", "rate", "stereo"]
    suffixes = {"flac": "flac", "mp3": "mp3", "ogg": "ogg"}
    assert found["track_id"].tolist() == [f"one_{k}.{suffixes.get(k, 'wav')}" for k in kinds]
    assert found["same"].tolist() == ["bytes"] + 7 * ["sound"]
    assert set(found["of"]) == {"one.wav"}
    assert set(found["group"]) == {0}


def test_real_clips_have_no_duplicates_and_their_copies_are(
    gtzan_mini: Path, tmp_path: Path
) -> None:
    paths = sorted(gtzan_mini.glob("genres/*/*.wav"))[::5]
    clips = [(path.stem, audio.load(path).waveform) for path in paths]
    copies = []
    for name, clip in clips[::5]:
        path = tmp_path / f"{name}.mp3"
        soundfile.write(path, clip / 2, RATE)
        copies.append((f"{name}.copy", audio.load(path).waveform))
    mel = mel_of(*clips)
    assert duplicates(mel, mel.ids).empty
    mel = mel_of(*clips, *copies)
    found = duplicates(mel, mel.ids)
    assert found["track_id"].tolist() == [name for name, _ in copies]
    assert found["of"].tolist() == [name.removesuffix(".copy") for name, _ in copies]
    assert found["group"].tolist() == list(range(len(copies)))


def test_different_songs_are_not_duplicates(corpus: Path) -> None:
    catalog = scan(corpus)
    _, mel, *_ = extract_catalog(catalog, workers=1)
    found = duplicates(mel, catalog.tracks["digest"].to_numpy(dtype=str))
    assert found.empty
    assert found.columns.tolist() == COLUMNS


def test_the_same_song_elsewhere_is_not_found(songs: dict[str, FloatArray]) -> None:
    """A law of what is not promised: excerpts of one song are different tracks."""
    song = songs["blues"]
    mel = mel_of(("a", song[: 10 * RATE]), ("b", song[10 * RATE : 20 * RATE]), ("c", song[RATE:]))
    assert duplicates(mel, mel.ids).empty


def test_padding_does_not_make_short_tracks_alike(songs: dict[str, FloatArray]) -> None:
    tracks = [(name, song[5 * RATE : 7 * RATE]) for name, song in songs.items()]
    mel = mel_of(*tracks, ("a copy", tracks[0][1] / 2))
    found = duplicates(mel, mel.ids)
    assert found["track_id"].tolist() == [tracks[0][0]]
    assert found["of"].tolist() == ["a copy"]


def test_groups_are_counted_by_first_id_and_say_how_each_repeats_it(
    songs: dict[str, FloatArray],
) -> None:
    one, two, three, *_ = songs.values()
    mel = mel_of(("m", two), ("y", one / 2), ("b", one), ("n", two), ("c", one), ("lone", three))
    digests = np.array(["two", "half", "one", "two", "one as flac", "three"])
    found = duplicates(mel, digests)
    assert found.to_numpy().tolist() == [
        ["c", "c", 0, "sound", "b"],
        ["y", "y", 0, "sound", "b"],
        ["n", "n", 1, "bytes", "m"],
    ]
    order = [5, 0, 1, 2, 3, 4]
    assert duplicates(take(mel, order), digests[order]).equals(found)


def test_equal_bytes_are_enough_and_nothing_heard_is_not(songs: dict[str, FloatArray]) -> None:
    """Where the peak lies after the last window, all that is in them is below what counts."""
    late = np.zeros((2, 30 * RATE), np.float32)
    late[:, -2000:] = np.random.default_rng(0).normal(size=(2, 2000))
    mel = mel_of(("a", late[0]), ("b", late[1]), *songs.items())
    digests = mel.ids.copy()
    assert (mel.values[:2] < -DEPTH_DB).all()
    assert duplicates(mel, digests).empty
    digests[1] = digests[0]
    found = duplicates(mel, digests)
    assert found[["track_id", "same"]].to_numpy().tolist() == [["b", "bytes"]]


def test_the_search_misses_nothing() -> None:
    """Against every pair compared in full: the groups are the components of those below."""
    rng = np.random.default_rng(0)
    songs = rng.uniform(-60, 0, size=(40, 2, 1, 64, 128))
    stages = [songs]
    for _ in range(3):  # a copy, a copy of that, and one more, each noisier, louder and crackling
        noise = rng.uniform(0, 9, size=(40, 1, 1, 1, 1)) * rng.normal(size=songs.shape)
        level = rng.uniform(0, 1.5, size=(40, 1, 1, 1, 1))
        crackle = np.repeat(rng.random((40, 2, 1, 64, 16)) < 0.02, 8, axis=-1)
        stages.append(np.where(crackle, 0, stages[-1] + noise + level))
    values = np.concatenate(stages).clip(-80, 0).astype(np.float16)
    mel = FeatureSet(
        "mel", np.array([f"{row:03d}" for row in range(160)]), values, np.full(160, "g")
    )

    above = np.maximum(values.astype(float), -DEPTH_DB) + DEPTH_DB
    cells = above.reshape(160, -1, POOL).mean(axis=2)
    distance = squareform(pdist(cells, "braycurtis"))
    assert np.abs(distance - THRESHOLD).min() > 1e-6  # none is a matter of rounding
    _, group = connected_components(distance < THRESHOLD)
    first = [int(np.flatnonzero(group == own)[0]) for own in group]
    repeats = {f"{row:03d}": f"{of:03d}" for row, of in enumerate(first) if row != of}
    chained = [row for row, of in enumerate(first) if distance[row, of] > THRESHOLD]
    assert 20 < len(repeats) < 100  # some copies are too noisy
    assert chained  # and some are the same as a copy, not as the song

    found = duplicates(mel, mel.ids)
    assert dict(zip(found["track_id"], found["of"], strict=True)) == repeats


def test_memory_does_not_grow_with_the_windows(tmp_path: Path) -> None:
    n = 400
    values = np.lib.format.open_memmap(tmp_path / "mel.npy", "w+", np.float16, (n, 10, 1, 64, 128))
    rng = np.random.default_rng(0)
    for row in range(n):
        values[row] = rng.uniform(-40, 0, size=(10, 1, 64, 1))
    mel = FeatureSet("mel", np.array([str(row) for row in range(n)]), values, np.full(n, "g"))
    duplicates(take(mel, [0, 1]), mel.ids[:2])  # so that imports are not counted
    tracemalloc.start()
    assert duplicates(mel, mel.ids).empty
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < values.nbytes / 4


def test_a_digest_for_every_track(songs: dict[str, FloatArray]) -> None:
    mel = mel_of(*songs.items())
    with pytest.raises(ValueError, match="4 digests for 5 tracks"):
        duplicates(mel, mel.ids[:4])
