from __future__ import annotations

import shutil
import tracemalloc
from collections import Counter
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import soundfile
import soxr
from scipy.sparse.csgraph import connected_components
from scipy.spatial.distance import pdist, squareform

from genre_vae.collection import audio, faults
from genre_vae.collection.catalog import Catalog, scan
from genre_vae.features.spectral import extract, extract_catalog, mel_filters
from genre_vae.records import FeatureSet, FloatArray, InputError
from tests.helpers import ROOT

LISTS = ROOT.parent / "shared" / "data" / "gtzan_faults"
COLUMNS = ["track_id", "genre", "group", "same", "of"]
RATE = audio.SAMPLE_RATE


def plant(folder: Path, *names: str) -> Catalog:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return scan(folder)


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
    return {path.parent.name: audio.load(path) for path in paths}


# GTZAN's list


def test_the_list_has_70_clips_of_eight_genres() -> None:
    names = faults.gtzan_names()
    genres = Counter(name.split("/")[0] for name in names)
    assert len(names) == 70
    assert genres == {
        "classical": 1,
        "country": 2,
        "disco": 7,
        "hiphop": 8,
        "jazz": 13,
        "metal": 9,
        "pop": 16,
        "reggae": 14,
    }
    lines = faults.GTZAN_FAULTS.read_text("utf-8").splitlines()
    assert [line for line in lines if not line.startswith("#")] == sorted(names)


def test_the_list_is_what_the_filtered_lists_leave_of_gtzan() -> None:
    if not LISTS.is_dir():
        pytest.skip(f"the fault-filtered lists are not at {LISTS}")
    kept = {
        line.strip().removesuffix(".wav")
        for part in ("train", "valid", "test")
        for line in (LISTS / f"{part}_filtered.txt").read_text("utf-8").split()
    }
    every = {f"{g}/{g}.{number:05d}" for g in faults.GTZAN_GENRES for number in range(100)}
    assert len(every) == 1000
    assert faults.gtzan_names() == every - kept


@pytest.mark.parametrize("base", ["", "genres/", "genres_original/"])
@pytest.mark.parametrize("suffix", ["wav", "au", "WAV"])
def test_a_part_of_gtzan_is_gtzan_in_every_layout(tmp_path: Path, base: str, suffix: str) -> None:
    names = ["blues/blues.00000", "country/country.00008", "pop/pop.00099"]
    catalog = plant(tmp_path, *[f"{base}{name}.{suffix}" for name in names])
    assert faults.is_gtzan(catalog)
    assert faults.listed(catalog).tolist() == [False, True, False]


@pytest.mark.parametrize(
    "other",
    [
        "rock/song.wav",  # another name
        "rock/rock.00001.mp3",  # another format
        "rock/rock.00100.wav",  # GTZAN ends at 99
        "rock/pop.00001.wav",  # in another genre's folder
        "rock/pop/pop.00001.wav",
        "rock/Rock.00001.wav",
        "polka/polka.00001.wav",  # another genre
        "rock.00001.wav",  # no genre
    ],
)
def test_one_other_track_and_it_is_not_gtzan(tmp_path: Path, other: str) -> None:
    catalog = plant(tmp_path, "country/country.00008.wav", "jazz/jazz.00033.wav", other)
    assert not faults.is_gtzan(catalog)
    assert not faults.listed(catalog).any()
    with pytest.raises(InputError, match=f"^{tmp_path}: not GTZAN.*: {other} is not") as raised:
        faults.without_listed(catalog)
    assert "\n" not in str(raised.value)


def test_the_demo_corpus_is_not_gtzan_although_it_is_named_so(corpus: Path) -> None:
    assert not faults.is_gtzan(scan(corpus))
    assert not faults.is_gtzan(scan(corpus / "genres"))


def test_without_listed_drops_those_and_keeps_the_rest_as_it_was(tmp_path: Path) -> None:
    listed = ["classical/classical.00042.wav", "hiphop/hiphop.00001.wav", "reggae/reggae.00091.wav"]
    others = ["classical/classical.00041.wav", "pop/pop.00000.wav", "rock/rock.00042.wav"]
    catalog = plant(tmp_path, *listed, *others)
    less = faults.without_listed(catalog)
    assert less.tracks["track_id"].tolist() == others
    assert less.tracks.index.tolist() == [0, 1, 2]
    assert less.folder == catalog.folder
    for name in listed:
        (tmp_path / name).unlink()
    assert less.tracks.equals(scan(tmp_path).tracks)
    assert less.fingerprint == scan(tmp_path).fingerprint
    assert len(catalog.tracks) == 6


def test_the_real_clips_are_gtzan_and_seven_are_listed(gtzan_mini: Path) -> None:
    catalog = scan(gtzan_mini)
    assert faults.is_gtzan(catalog)
    assert faults.listed(catalog).sum() == 7
    assert len(faults.without_listed(catalog).tracks) == 93


# Duplicates


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
    _, mel, skipped = extract_catalog(catalog, workers=1)
    assert skipped.empty
    found = faults.duplicates(mel, catalog.tracks["digest"].to_numpy(dtype=str))
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
    clips = [(path.stem, audio.load(path)) for path in paths]
    copies = []
    for name, clip in clips[::5]:
        path = tmp_path / f"{name}.mp3"
        soundfile.write(path, clip / 2, RATE)
        copies.append((f"{name}.copy", audio.load(path)))
    mel = mel_of(*clips)
    assert faults.duplicates(mel, mel.ids).empty
    mel = mel_of(*clips, *copies)
    found = faults.duplicates(mel, mel.ids)
    assert found["track_id"].tolist() == [name for name, _ in copies]
    assert found["of"].tolist() == [name.removesuffix(".copy") for name, _ in copies]
    assert found["group"].tolist() == list(range(len(copies)))


def test_different_songs_are_not_duplicates(corpus: Path) -> None:
    catalog = scan(corpus)
    _, mel, _ = extract_catalog(catalog, workers=1)
    found = faults.duplicates(mel, catalog.tracks["digest"].to_numpy(dtype=str))
    assert found.empty
    assert found.columns.tolist() == COLUMNS


def test_the_same_song_elsewhere_is_not_found(songs: dict[str, FloatArray]) -> None:
    """A law of what is not promised: excerpts of one song are different tracks."""
    song = songs["blues"]
    mel = mel_of(("a", song[: 10 * RATE]), ("b", song[10 * RATE : 20 * RATE]), ("c", song[RATE:]))
    assert faults.duplicates(mel, mel.ids).empty


def test_padding_does_not_make_short_tracks_alike(songs: dict[str, FloatArray]) -> None:
    tracks = [(name, song[5 * RATE : 7 * RATE]) for name, song in songs.items()]
    mel = mel_of(*tracks, ("a copy", tracks[0][1] / 2))
    found = faults.duplicates(mel, mel.ids)
    assert found["track_id"].tolist() == [tracks[0][0]]
    assert found["of"].tolist() == ["a copy"]


def test_groups_are_counted_by_first_id_and_say_how_each_repeats_it(
    songs: dict[str, FloatArray],
) -> None:
    one, two, three, *_ = songs.values()
    mel = mel_of(("m", two), ("y", one / 2), ("b", one), ("n", two), ("c", one), ("lone", three))
    digests = np.array(["two", "half", "one", "two", "one as flac", "three"])
    found = faults.duplicates(mel, digests)
    assert found.to_numpy().tolist() == [
        ["c", "c", 0, "sound", "b"],
        ["y", "y", 0, "sound", "b"],
        ["n", "n", 1, "bytes", "m"],
    ]
    order = [5, 0, 1, 2, 3, 4]
    assert faults.duplicates(take(mel, order), digests[order]).equals(found)


def test_equal_bytes_are_enough_and_nothing_heard_is_not(songs: dict[str, FloatArray]) -> None:
    """Where the peak lies after the last window, all that is in them is below what counts."""
    late = np.zeros((2, 30 * RATE), np.float32)
    late[:, -2000:] = np.random.default_rng(0).normal(size=(2, 2000))
    mel = mel_of(("a", late[0]), ("b", late[1]), *songs.items())
    digests = mel.ids.copy()
    assert (mel.values[:2] < -faults.DEPTH_DB).all()
    assert faults.duplicates(mel, digests).empty
    digests[1] = digests[0]
    found = faults.duplicates(mel, digests)
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

    above = np.maximum(values.astype(float), -faults.DEPTH_DB) + faults.DEPTH_DB
    cells = above.reshape(160, -1, faults.POOL).mean(axis=2)
    distance = squareform(pdist(cells, "braycurtis"))
    assert np.abs(distance - faults.THRESHOLD).min() > 1e-6  # none is a matter of rounding
    _, group = connected_components(distance < faults.THRESHOLD)
    first = [int(np.flatnonzero(group == own)[0]) for own in group]
    repeats = {f"{row:03d}": f"{of:03d}" for row, of in enumerate(first) if row != of}
    chained = [row for row, of in enumerate(first) if distance[row, of] > faults.THRESHOLD]
    assert 20 < len(repeats) < 100  # some copies are too noisy
    assert chained  # and some are the same as a copy, not as the song

    found = faults.duplicates(mel, mel.ids)
    assert dict(zip(found["track_id"], found["of"], strict=True)) == repeats


def test_memory_does_not_grow_with_the_windows(tmp_path: Path) -> None:
    n = 400
    values = np.lib.format.open_memmap(tmp_path / "mel.npy", "w+", np.float16, (n, 10, 1, 64, 128))
    rng = np.random.default_rng(0)
    for row in range(n):
        values[row] = rng.uniform(-40, 0, size=(10, 1, 64, 1))
    mel = FeatureSet("mel", np.array([str(row) for row in range(n)]), values, np.full(n, "g"))
    faults.duplicates(take(mel, [0, 1]), mel.ids[:2])  # so that imports are not counted
    tracemalloc.start()
    assert faults.duplicates(mel, mel.ids).empty
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < values.nbytes / 4


def test_a_digest_for_every_track(songs: dict[str, FloatArray]) -> None:
    mel = mel_of(*songs.items())
    with pytest.raises(ValueError, match="4 digests for 5 tracks"):
        faults.duplicates(mel, mel.ids[:4])
