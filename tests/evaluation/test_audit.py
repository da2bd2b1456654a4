"""Planted faults must be caught and innocent modalities cleared; real computations throughout."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import RidgeClassifier
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from genre_vae.collection import demo, lyrics, lyrics_files
from genre_vae.collection.catalog import scan
from genre_vae.evaluation.audit import Audit, audit
from genre_vae.features.spectral import extract_catalog
from genre_vae.features.text import embed
from genre_vae.records import FeatureSet, LabelUse
from tests.evaluation.worlds import World, by_place, control, drift, one_hot, themed
from tests.helpers import blobs, permute_within_genre


@pytest.fixture(scope="module")
def world() -> World:
    return World()


@pytest.fixture(scope="module")
def words(world: World) -> FeatureSet:
    return embed(world.words())


GUILTY: dict[str, Callable[[World], FeatureSet]] = {
    "words made from the genre": lambda w: themed(w.audio),
    "one-hot": one_hot,
    "one-hot and noise": lambda w: w.features(one_hot(w).values + 0.1 * w.normal(w.n, 10)),
    "themes by place, one a genre": lambda w: by_place(w, 10),
    "themes by place, not one a genre": lambda w: by_place(w, 7),
    "a drift along the files": drift,
    "real words permuted within genre": lambda w: permute_within_genre(embed(w.words()), seed=1),
    "the same, a quarter missing": lambda w: permute_within_genre(embed(w.gaps(0.25)), seed=1),
    "filled by genre, 20 %": lambda w: embed(w.gaps(0.2), missing="genre_mean"),
    "filled by genre, 35 %": lambda w: embed(w.gaps(0.35), missing="genre_mean"),
}
INNOCENT: dict[str, Callable[[World], FeatureSet]] = {
    "another measurement": lambda w: w.features(w.measured(30)),
    "real words": lambda w: embed(w.words()),
    "a third missing, zeros": lambda w: embed(w.gaps(0.33)),
    "a third missing, mean": lambda w: embed(w.gaps(0.33), missing="mean"),
    "a third missing, dropped": lambda w: embed(w.gaps(0.33), missing="drop"),
    "control": lambda w: control(w.audio),
    "noise": lambda w: w.features(w.normal(w.n, 20)),
}


@pytest.mark.parametrize("fault", GUILTY)
def test_a_planted_fault_is_caught(fault: str) -> None:
    world = World()
    modality = replace(GUILTY[fault](world), label_use=LabelUse.NONE)
    found = audit(modality, world.audio, seed=0)
    assert found.verdict == "label", found
    assert found.leaks
    assert found.probe_p <= 0.01


@pytest.mark.parametrize("modality", INNOCENT)
def test_an_innocent_modality_is_cleared(modality: str) -> None:
    world = World()
    found = audit(INNOCENT[modality](world), world.audio, seed=0)
    assert found.verdict == "clear", found
    assert not found.leaks


def measured(folder: Path) -> tuple[FeatureSet, FeatureSet]:
    mfcc, mel, _, _ = extract_catalog(scan(folder), workers=2)
    return mfcc, mel.derive("mel", mel.values.mean(axis=(1, 2, 4), dtype=np.float32))


@pytest.mark.slow
def test_the_demo(tmp_path: Path) -> None:
    folder = demo.ensure(tmp_path / "demo", workers=2)
    mfcc, mel = measured(folder)
    assert audit(mfcc, mel, seed=0).verdict == "clear"
    read = lyrics_files.load(folder / "lyrics.csv").songs
    real = lyrics.match(read, mfcc.ids, mfcc.labels, by="filename", name="lyrics.csv")
    found = audit(embed(real), mfcc, seed=0)
    assert found.verdict == "clear", found
    assert found.probe_p <= 0.01, "topics differ between genres, and the audit knows it"
    assert audit(control(mfcc), mfcc, seed=0).verdict == "clear"
    permuted = permute_within_genre(embed(real, missing="drop"), seed=0)
    assert audit(permuted, mfcc, seed=0).verdict == "label"
    assert audit(embed(real, missing="genre_mean"), mfcc, seed=0).verdict == "label"
    assert audit(themed(mfcc), mfcc, seed=0).verdict == "label"


def test_real_clips(gtzan_mini: Path) -> None:
    mfcc, mel = measured(gtzan_mini)
    found = audit(mfcc, mel, seed=0)
    assert (found.verdict, found.n_samples) == ("clear", 100)
    assert audit(themed(mfcc), mfcc, seed=0).verdict == "label"
    assert audit(control(mfcc), mfcc, seed=0).verdict == "clear"


def drifting(seed: int) -> tuple[World, FeatureSet]:
    """Audio that drifts along each genre's files, and a modality that knows the place alone."""
    world = World(seed=seed)
    slopes = world.rng.normal(size=(10, 4))[world.genre]
    world.sound = 0.5 * world.sound + world.place[:, None] * slopes
    world.audio = world.features(world.measured(40))
    other = world.rng.normal(size=(10, 4))[world.genre]
    known = np.column_stack([world.place[:, None] * other, np.eye(10)[world.genre] * 2])
    noise = world.normal(world.n, known.shape[1])
    return world, world.features(known + 0.5 * noise)


@pytest.mark.parametrize("seed", range(4))
def test_a_tie_that_is_only_the_order_is_not_a_tie(seed: int) -> None:
    world, modality = drifting(seed)
    found = audit(modality, world.audio, seed=0)
    assert found.alignment_p <= 0.01, "both drift, and so seem tied"
    assert found.order_p > 0.01
    assert found.verdict in ("order", "unknown")
    real = audit(embed(world.words()), world.audio, seed=0)
    assert real.verdict == "clear", "words that follow a drifting sound follow its steps too"


def test_the_same_recording_filed_twice_is_no_fill() -> None:
    world = World()
    rows = np.arange(world.n)
    rows[1:29:2] = rows[0:28:2]  # 14 pairs of neighbours, 10 of them of the first genre
    twice = [one.derive("x", one.values[rows]) for one in (world.features(world.measured(30)),)]
    audio = world.features(world.audio.values[rows])
    found = audit(twice[0], audio, seed=0)
    assert (found.verdict, found.repeated) == ("clear", 0)


def test_versions_of_a_few_songs_are_no_fill() -> None:
    """Equal words, other audio: 14 pairs of one genre, and then 30 in all genres."""
    world = World()
    words = embed(world.words())
    for firsts in (range(14), range(0, 200, 7)):
        rows = np.arange(world.n)
        rows[[first + 1 for first in firsts][::2]] = list(firsts)[::2]
        found = audit(words.derive("x", words.values[rows]), world.audio, seed=0)
        assert found.verdict == "clear", found
        assert found.repeated > 0


def test_categories_that_lean_to_genres_are_no_fill() -> None:
    """A key or a decade: every row repeats, and the genre shows, but does not follow."""
    world = World()
    key = np.where(world.rng.random(world.n) < 0.5, world.genre, (3 * world.sound[:, 0]) // 1 % 12)
    found = audit(world.features(np.eye(12)[key.astype(int)]), world.audio, seed=0)
    assert found.repeated > 0.9
    assert 0.05 < found.fill_nmi < 0.9
    assert found.fill_p <= 0.01
    assert "very values" not in found.reason


def test_gaps_that_tell_the_genre_are_reported_and_do_not_condemn() -> None:
    world = World()
    words = world.words()
    gone = (world.genre < 3) & (world.rng.random(world.n) < 0.8)
    texts = tuple("" if g else text for g, text in zip(gone, words.texts, strict=True))
    found = audit(embed(replace(words, texts=texts)), world.audio, seed=0)
    assert found.repeated == pytest.approx(gone.mean())
    assert found.repeated_nmi > 3 * found.repeated_nmi_chance
    assert found.repeated_p <= 0.01
    assert found.verdict == "clear"


def test_a_fill_cannot_lend_made_words_its_tie() -> None:
    """Which songs are sung follows the sound; the words of those that are come from the genre."""
    world = World()
    made = lyrics.themes(world.audio)
    sung = world.sound[:, 0] > -0.5
    texts = tuple(text if s else "" for s, text in zip(sung, made.texts, strict=True))
    assert audit(embed(replace(made, texts=texts)), world.audio, seed=0).verdict == "label"


def numbers(found: Audit) -> list[float]:
    return [value for value in astuple(found) if isinstance(value, float)]


def test_the_order_of_the_rows_does_not_matter(world: World, words: FeatureSet) -> None:
    order = np.random.default_rng(1).permutation(world.n)
    shuffled = words.select(words.ids[order])
    one, other = (audit(rows, world.audio, seed=3) for rows in (words, shuffled))
    np.testing.assert_equal(astuple(one), astuple(other))


@pytest.mark.parametrize("unit", [2.0**-30, 2.0**20])
def test_the_unit_does_not_matter(world: World, words: FeatureSet, unit: float) -> None:
    scaled = words.derive(words.name, words.values * np.float32(unit))
    audio = world.audio.derive("audio", world.audio.values / np.float32(unit))
    before, after = audit(words, world.audio, seed=3), audit(scaled, audio, seed=3)
    assert after.verdict == before.verdict
    np.testing.assert_allclose(numbers(after), numbers(before), rtol=1e-4)


def test_values_near_the_end_of_float32_do_not_overflow(world: World, words: FeatureSet) -> None:
    loud = words.values / np.abs(words.values).max() * np.finfo(np.float32).max
    assert audit(words.derive("x", loud), world.audio, seed=0).verdict == "clear"


def test_what_a_modality_declares_is_reported_and_not_believed(world: World) -> None:
    honest = audit(embed(lyrics.themes(world.audio)), world.audio, seed=0)
    innocent = audit(themed(world.audio), world.audio, seed=0)
    assert (honest.label_use, innocent.label_use) == ("feature", "none")
    np.testing.assert_equal(numbers(honest), numbers(innocent))


def test_only_tracks_that_both_have_and_whose_genre_is_known_count(
    world: World, words: FeatureSet
) -> None:
    labels = words.labels.copy()
    labels[::5] = ""
    some = replace(words, labels=labels).select(words.ids[10:])
    reference = world.audio.select(world.audio.ids[:-10])
    found = audit(some, reference, seed=0)
    known = words.ids[10:-10][labels[10:-10] != ""]
    assert found.n_samples == len(known)
    assert numbers(found) == pytest.approx(
        numbers(audit(words.select(known), world.audio, seed=0)), nan_ok=True
    )


def test_the_inputs_stay_as_they_were(world: World, words: FeatureSet) -> None:
    before = words.values.copy(), world.audio.values.copy()
    words.values.flags.writeable = False
    world.audio.values.flags.writeable = False
    audit(words, world.audio, seed=0)
    np.testing.assert_array_equal(words.values, before[0])
    np.testing.assert_array_equal(world.audio.values, before[1])


def test_more_axes_are_flattened_and_wide_values_are_judged(world: World) -> None:
    values = world.measured(600).astype(np.float16).reshape(world.n, 5, 1, 4, 30)
    mel = replace(world.audio, name="mel", values=values)
    assert audit(mel, world.audio, seed=0).verdict == "clear"
    hot = one_hot(world).values[:, None, :, None] + np.zeros((1, 8, 1, 8))
    wide = replace(mel, values=(hot + 0.1 * world.normal(*hot.shape)).astype(np.float32))
    assert audit(wide, world.audio, seed=0).verdict == "label"


@pytest.mark.parametrize(
    ("modality", "said"),
    [
        (blobs(8, groups=4), "fewer than two genres"),
        (blobs(40, groups=1), "fewer than two genres"),
        (replace(blobs(40, groups=2), labels=np.full(40, "")), "fewer than two genres"),
        (replace(blobs(40, groups=2), ids=np.array([f"{n}" for n in range(40)])), "fewer than two"),
        (blobs(40, groups=4), "40 tracks in 4 genres are too few to tell"),
    ],
)
def test_too_little_to_tell_is_unknown(modality: FeatureSet, said: str) -> None:
    reference = replace(blobs(40, groups=4, seed=1), labels=np.full(40, ""))
    names = sorted(modality.ids.tolist())[: len(modality)]
    if modality.ids[0].startswith("g"):
        reference = replace(reference.select(reference.ids[: len(names)]), ids=np.array(names))
    found = audit(modality, reference, seed=0)
    assert found.verdict == "unknown"
    assert said in found.reason


def test_one_value_for_two_genres_is_made_from_the_genre(world: World) -> None:
    pairs = world.features(np.eye(5)[world.genre // 2])
    found = audit(pairs, world.audio, seed=0)
    assert (found.verdict, np.isnan(found.alignment)) == ("label", True)
    assert found.fill_nmi < 0.95


def test_a_reference_that_knows_nothing_condemns_nobody(world: World, words: FeatureSet) -> None:
    found = audit(words, one_hot(world), seed=0)
    assert found.verdict == "unknown"
    assert "reference" in found.reason


def test_a_genre_of_a_few_tracks_is_left_out(world: World, words: FeatureSet) -> None:
    labels = words.labels.copy()
    labels[:3] = "tiny"
    found = audit(replace(words, labels=labels), world.audio, seed=0)
    assert found.verdict == "clear"
    rest = audit(words.select(words.ids[3:]), world.audio, seed=0)
    assert (found.n_samples, found.probe) == (world.n, rest.probe)


def test_the_probe_is_a_cross_validated_ridge_classifier(world: World) -> None:
    units = np.geomspace(1e-4, 1, 40)
    x, labels = (world.audio.values * units).astype(np.float32), world.audio.labels
    found = audit(replace(world.audio, values=x), world.audio, seed=5)
    folds = StratifiedKFold(5, shuffle=True, random_state=5)
    model = make_pipeline(StandardScaler(), RidgeClassifier())
    expected = cross_val_score(model, x.astype(np.float64), labels, cv=folds).mean()
    assert found.probe == pytest.approx(expected, abs=0.006)
    assert found.probe_chance == pytest.approx(0.1, abs=0.02)


def test_the_null_of_the_tie_is_the_permuted_modality(world: World, words: FeatureSet) -> None:
    found = audit(words, world.audio, seed=0)
    permuted = (permute_within_genre(words, seed=seed) for seed in range(6))
    null = [audit(one, world.audio, seed=0).alignment for one in permuted]
    assert found.alignment_chance == pytest.approx(np.mean(null), rel=0.1)
    assert found.alignment > max(null)


def test_the_tie_is_blind_to_what_genres_share(world: World, words: FeatureSet) -> None:
    offsets = world.normal(10, words.values.shape[1])[world.genre].astype(np.float32)
    moved = audit(words.derive("x", words.values + offsets), world.audio, seed=0)
    before = audit(words, world.audio, seed=0)
    assert moved.alignment == pytest.approx(before.alignment, rel=1e-4)
    assert (moved.alignment_p, moved.order_p) == (before.alignment_p, before.order_p)
    assert moved.probe > before.probe


def test_alignment_is_one_with_itself_and_blind_to_what_genres_share(world: World) -> None:
    measured = world.audio
    assert audit(measured, measured, seed=0).alignment == pytest.approx(1)
    offsets = 9 * np.arange(10)[world.genre, None].astype(np.float32)
    moved = measured.derive("x", measured.values + offsets)
    assert audit(moved, measured, seed=0).alignment == pytest.approx(1, abs=1e-4)
    assert np.isnan(audit(one_hot(world), measured, seed=0).alignment)


def test_p_values_of_nothing_are_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    """Noise, in which neither genre nor sound nor order is: a p-value up to t has chance t."""
    monkeypatch.setattr("genre_vae.evaluation.permutation.N_PERMUTATIONS", 49)
    found = []
    for seed in range(80):
        world = World(seed=seed, per_genre=10)
        modality = world.features(world.normal(world.n, 8))
        one = audit(modality, world.audio, seed=seed)
        found.append((one.probe_p, one.alignment_p, one.order_p))
    p = np.array(found)
    for threshold in (0.1, 0.5, 0.9):  # four standard errors of a share of 80
        error = 4 * np.sqrt(threshold * (1 - threshold) / len(p))
        assert np.abs((p <= threshold).mean(axis=0) - threshold).max() < error


def test_it_is_repeatable_and_the_seed_counts(world: World, words: FeatureSet) -> None:
    one, again, other = (audit(words, world.audio, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_equal(astuple(one), astuple(again))
    assert one.alignment == other.alignment
    assert one.alignment_chance != other.alignment_chance
