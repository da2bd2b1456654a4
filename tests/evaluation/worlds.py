"""Made collections whose truth is known, for the audit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from genre_vae.collection import lyrics
from genre_vae.collection.lyrics import Lyrics
from genre_vae.features.text import embed
from genre_vae.records import FeatureSet, LabelUse

Values = npt.NDArray[np.floating]


class World:
    """Ten genres of 20 tracks, in the order of the files: each track has a sound of its own, which
    the audio measures with noise and which its words follow."""

    def __init__(self, *, sound: Values | None = None, seed: int = 0, per_genre: int = 20) -> None:
        self.rng = np.random.default_rng(seed)
        self.n = 10 * per_genre
        self.genre = np.repeat(np.arange(10), per_genre)
        self.place = np.tile(np.linspace(-1.7, 1.7, per_genre), 10)  # within the genre
        self.sound = self.rng.normal(size=(self.n, 4)) if sound is None else sound
        ids = np.array([f"g{g}/{row:05d}.wav" for row, g in enumerate(self.genre)])
        labels = np.array([f"g{g}" for g in self.genre])
        self.empty = FeatureSet("none", ids, np.zeros((self.n, 1), np.float32), labels)
        self.audio = self.features(self.measured(40))

    def features(self, values: Values) -> FeatureSet:
        return self.empty.derive("made", values.astype(np.float32))

    def normal(self, *shape: int) -> Values:
        return np.asarray(self.rng.normal(size=shape))

    def measured(self, d: int) -> Values:
        centres = self.normal(10, d)[self.genre]
        mixed = self.sound @ self.normal(self.sound.shape[1], d)
        return np.asarray(centres + mixed / 2 + self.normal(self.n, d))

    def words(self) -> Lyrics:
        """Half of what a song's words are of is its sound."""
        theme = self.sound[:, :4] + self.normal(self.n, self.sound[:, :4].shape[1])
        weights = 0.7 * self.normal(10, 200)[self.genre] + theme @ self.normal(theme.shape[1], 200)
        weights = np.exp(weights - weights.max(axis=1, keepdims=True))
        texts = [
            " ".join(f"w{word}" for word in self.rng.choice(200, 60, p=row / row.sum()))
            for row in weights
        ]
        return Lyrics("words.csv", self.empty.ids, tuple(texts), self.empty.labels)

    def gaps(self, share: float) -> Lyrics:
        words, gone = self.words(), self.rng.random(self.n) < share
        texts = ("" if g else text for g, text in zip(gone, words.texts, strict=True))
        return replace(words, texts=tuple(texts))


def themed(features: FeatureSet) -> FeatureSet:
    """Words made from the genre that arrive as an innocent file."""
    return embed(replace(lyrics.themes(features), name="words.csv", label_use=LabelUse.NONE))


def by_place(world: World, themes: int) -> FeatureSet:
    """Words by the theme of the file's place among all, whatever the song."""
    theme = np.arange(world.n) * themes // world.n
    texts = (" ".join(f"t{t}w{w}" for w in world.rng.integers(0, 20, 60)) for t in theme)
    return embed(Lyrics("words.csv", world.empty.ids, tuple(texts), world.empty.labels))


def drift(world: World) -> FeatureSet:
    waves = np.sin(np.arange(world.n)[:, None] / world.n * np.array([1, 3, 6, 12]))
    return world.features(waves @ world.normal(4, 16) + 0.1 * world.normal(world.n, 16))


def one_hot(world: World) -> FeatureSet:
    return world.features(np.eye(10)[world.genre])


def control(features: FeatureSet) -> FeatureSet:
    return embed(lyrics.control(features, np.array([f"digest of {i}" for i in features.ids])))
