"""How often the audit errs: python benchmarks/audit.py [draws] [processes].

Draws collections with a known truth, audits them and prints the Markdown table of docs/audit.md.
A track has a genre and a sound of its own within it (4 numbers, `sound`). The audio measures both
with noise. A song's words are drawn by its genre's taste in topics and by a theme, of which the
share `tie` is the song's sound. Half of the draws have ten genres of one size, half have six
genres of which the largest has about five times the tracks of the smallest.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace

import joblib
import numpy as np
import numpy.typing as npt
from tabulate import tabulate

from genre_vae.collection import lyrics
from genre_vae.collection.lyrics import Lyrics
from genre_vae.evaluation.audit import audit
from genre_vae.features.text import embed
from genre_vae.records import FeatureSet, IntArray, StrArray

SIZES = (60, 100, 200, 500)
VERDICTS = ("clear", "label", "order", "unknown")
Floats = npt.NDArray[np.float64]
WORDS = 200  # size of the vocabulary
LENGTH = 60  # words of a song


@dataclass(frozen=True, eq=False)
class World:
    """A collection: `genre` (n,) in the order of the files, `sound` (n, 4), and its audio."""

    rng: np.random.Generator
    genre: IntArray
    sound: Floats
    audio: FeatureSet

    @classmethod
    def draw(cls, n: int, seed: int, *, albums: bool = False) -> World:
        """A random collection of `n` tracks.

        With `albums`, half of a sound's variance is that of its album, 3 to 8 files in a row, and
        it drifts along the genre's files.
        """
        rng = np.random.default_rng(seed)
        shares = np.ones(10) if seed % 2 else np.geomspace(1, 5, 6)
        edges = np.round(np.cumsum(shares / shares.sum()) * n).astype(int)
        genre = np.searchsorted(edges, np.arange(n), side="right").astype(np.int64)
        sound = rng.normal(size=(n, 4))
        if albums:
            album = np.repeat(np.arange(n), rng.integers(3, 9, n))[:n]
            place = np.arange(n) / n * len(shares) % 1 - 0.5
            drift = place[:, None] * rng.normal(size=(len(shares), 4))[genre]
            sound = (sound + rng.normal(size=(n, 4))[album] + 2 * drift) / np.sqrt(2.3)
        ids = np.array([f"g{g}/{row:05d}.wav" for row, g in enumerate(genre)])
        labels = np.array([f"g{g}" for g in genre])
        empty = FeatureSet("none", ids, np.zeros((n, 1), np.float32), labels)
        world = cls(rng, genre, sound, empty)
        return replace(world, audio=world.features("audio", world.measured(40)))

    def features(self, name: str, values: npt.NDArray[np.floating]) -> FeatureSet:
        return self.audio.derive(name, values.astype(np.float32))

    def measured(self, d: int) -> Floats:
        """(n, d) genre, sound and noise, a third each."""
        n = len(self.genre)
        centres = self.rng.normal(size=(self.genre.max() + 1, d))[self.genre]
        sound = self.sound @ self.rng.normal(size=(4, d)) / 2
        return np.asarray(centres + sound + self.rng.normal(size=(n, d)))

    def words(self, tie: float) -> Lyrics:
        n = len(self.genre)
        theme = np.sqrt(tie) * self.sound + np.sqrt(1 - tie) * self.rng.normal(size=(n, 4))
        taste = 0.7 * self.rng.normal(size=(self.genre.max() + 1, WORDS))[self.genre]
        weights = np.exp(taste + theme @ self.rng.normal(size=(4, WORDS)) / 2)
        weights /= weights.sum(axis=1, keepdims=True)
        texts = tuple(
            " ".join(f"w{word}" for word in self.rng.choice(WORDS, LENGTH, p=row))
            for row in weights
        )
        return Lyrics("words", self.audio.ids, texts, self.audio.labels)

    def gaps(self, words: Lyrics, share: float) -> Lyrics:
        gone = self.rng.random(len(words.texts)) < share
        texts = tuple("" if g else text for g, text in zip(gone, words.texts, strict=True))
        return replace(words, texts=texts)


def duplicated(world: World) -> tuple[FeatureSet, FeatureSet]:
    """3 % of the tracks are filed twice, as neighbours of one genre."""
    rows = np.arange(len(world.genre))
    for first in world.rng.choice(len(rows) - 1, max(1, len(rows) * 3 // 200), replace=False):
        rows[first + 1] = rows[first]
    other = world.measured(30)
    return world.features("other", other[rows]), world.features("audio", world.audio.values[rows])


def walk_themes(world: World) -> FeatureSet:
    """Words by the theme of the file's place among all files, as in the seed."""
    n = len(world.genre)
    theme = np.arange(n) * 10 // n
    texts = tuple(
        " ".join(f"t{t}w{word}" for word in world.rng.integers(0, 20, LENGTH)) for t in theme
    )
    return embed(Lyrics("walk", world.audio.ids, texts, world.audio.labels))


def drift(world: World) -> FeatureSet:
    place = np.arange(len(world.genre))[:, None] / len(world.genre)
    waves = np.sin(place * np.array([1, 3, 6, 12, 25]) + world.rng.uniform(0, 6, 5))
    mixed = waves @ world.rng.normal(size=(5, 16))
    return world.features("drift", mixed + 0.3 * world.rng.normal(size=mixed.shape))


def one_hot(labels: StrArray) -> Floats:
    return np.asarray(labels[:, None] == np.unique(labels), dtype=np.float64)


def themes(world: World) -> FeatureSet:
    return embed(lyrics.themes(world.audio))


def control(world: World) -> FeatureSet:
    digests = np.array([str(number) for number in world.rng.integers(0, 2**60, len(world.genre))])
    return embed(lyrics.control(world.audio, digests))


def permuted(features: FeatureSet, world: World) -> FeatureSet:
    """The same rows in another order within each genre."""
    rng = np.random.default_rng(int(world.rng.integers(2**31)))
    values = np.array(features.values)
    for genre in np.unique(features.labels):
        rows = np.flatnonzero(features.labels == genre)
        values[rows] = features.values[rng.permutation(rows)]
    return features.derive(f"{features.name}, permuted within genre", values)


Case = Callable[[World], FeatureSet | tuple[FeatureSet, FeatureSet]]
INNOCENT: dict[str, Case] = {
    "another measurement of the audio": lambda w: w.features("other", w.measured(30)),
    "the same, 3 % of tracks filed twice": duplicated,
    "words, tie 1": lambda w: embed(w.words(1.0)),
    "words, tie 0.5": lambda w: embed(w.words(0.5)),
    "words, tie 0.25": lambda w: embed(w.words(0.25)),
    "words, tie 0.1": lambda w: embed(w.words(0.1)),
    "words, tie 0.5, 30 % missing, zeros": lambda w: embed(w.gaps(w.words(0.5), 0.3)),
    "words, tie 0.5, audio in albums": lambda w: embed(w.words(0.5)),
    "control words": control,
}
GUILTY: dict[str, Case] = {
    "one-hot genre": lambda w: w.features("one-hot", one_hot(w.audio.labels)),
    "words made from the genre": themes,
    "words of other songs of the genre": lambda w: permuted(embed(w.words(1.0)), w),
    "words of other songs, audio in albums": lambda w: permuted(embed(w.words(1.0)), w),
    "words, tie 0.5, 25 % filled by genre": lambda w: embed(
        w.gaps(w.words(0.5), 0.25), missing="genre_mean"
    ),
    "themes by place of the file": walk_themes,
    "themes by place of the file, audio in albums": walk_themes,
    "a drift along the files": drift,
    "a drift along the files, audio in albums": drift,
}


def verdict(name: str, n: int, seed: int) -> str:
    world = World.draw(n, seed, albums="albums" in name)
    made = (INNOCENT | GUILTY)[name](world)
    features, audio = made if isinstance(made, tuple) else (made, world.audio)
    return audit(features, audio, seed=seed).verdict


def main() -> None:
    draws, processes = (*map(int, sys.argv[1:]), *(100, 1)[len(sys.argv) - 1 :])
    rows = []
    for truth, cases in (("innocent", INNOCENT), ("guilty", GUILTY)):
        for name in cases:
            row = [truth, name]
            for n in SIZES:
                found = Counter(
                    joblib.Parallel(processes)(
                        joblib.delayed(verdict)(name, n, seed) for seed in range(draws)
                    )
                )
                shares = [f"{one} {found[one] / draws:.0%}" for one in VERDICTS if found[one]]
                row.append(", ".join(shares))
            rows.append(row)
            print(*row, sep=" | ", file=sys.stderr, flush=True)
    sizes = [f"n = {n}" for n in SIZES]
    print(tabulate(rows, ["truth", "modality", *sizes], tablefmt="pipe"))


if __name__ == "__main__":
    main()
