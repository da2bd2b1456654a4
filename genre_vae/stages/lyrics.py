"""Lyrics -> an embedding of every track's words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from genre_vae.collection.lyrics import GENERATED, Lyrics
from genre_vae.collection.lyrics_files import SongFile
from genre_vae.config import Given, LyricsConfig
from genre_vae.files import write_json
from genre_vae.records import FeatureSet, InputError
from genre_vae.stages.collect import Collection
from genre_vae.tracking.run import Run
from genre_vae.tracking.stage import Artifact, Recorder, stage

TAGS = "tags"  # the words in the audio files' own tags


@dataclass(frozen=True, eq=False)
class Words:
    """The lyrics' embedding, values (n, d), and the words of each track that has some."""

    embedding: FeatureSet
    mapping: dict[str, str | None] | None = None

    def save(self, folder: Path) -> None:
        """Write ``lyrics_embeddings.npy`` and ``lyrics_mapping.json``."""
        self.embedding.save(folder, "lyrics_embeddings")
        write_json(folder / "lyrics_mapping.json", self.mapping)

    @classmethod
    def load(cls, folder: Path) -> Words:
        """Read the embedding that `save` wrote."""
        return cls(FeatureSet.load(folder, "lyrics_embeddings"))


@stage("lyrics")
def embed_lyrics(
    record: Recorder, audio: Collection, songs: SongFile | None, *, config: LyricsConfig
) -> Words:
    """Lyrics matched to tracks, or generated for them, and embedded."""
    from genre_vae.collection.lyrics import missing_nmi
    from genre_vae.features.text import embed

    found = _lyrics(audio, songs, config)
    said: list[str] = []
    embedding = embed(
        found,
        model=config.model,
        dim=config.dim,
        missing=config.missing,
        seed=config.seed,
        say=said.append,
    )
    gaps = missing_nmi(found)
    record.metrics(
        {
            "tracks": len(found.ids),
            "with_words": int((~found.missing).sum()),
            "missing": float(found.missing.mean()),
            "missing_nmi": gaps,
            "dimensions": embedding.values.shape[1],
        }
    )
    record.tags({"label_use": embedding.label_use})
    record.note = "\n".join(
        [
            *(songs.notes if songs is not None else ()),
            *found.report,
            *said,
            f"{found.missing.mean():.0%} of the tracks have no words ({config.missing})"
            + ("" if np.isnan(gaps) else f"; NMI between that and genre {gaps:.2f}"),
            *([f"label use: {embedding.label_use}"] if embedding.label_use else []),
        ]
    )
    return Words(embedding, found.mapping())


def _lyrics(audio: Collection, songs: SongFile | None, config: LyricsConfig) -> Lyrics:
    from genre_vae.collection import lyrics

    tracks = audio.mfcc
    if config.kind == "themes":
        return lyrics.themes(tracks)
    if config.kind == "control":
        return lyrics.control(tracks, np.array(audio.digests, dtype=str))
    assert songs is not None, "a file's lyrics come with its songs"
    return lyrics.match(songs.songs, tracks.ids, tracks.labels, by=config.match, name=songs.name)


def lyrics(run: Run, given: Given, audio: Artifact[Collection]) -> Artifact[Words] | None:
    """The embedding of the lyrics that ``lyrics`` names; None for ``none``."""
    kind, why = _resolved(given, audio.dataset.folder)
    if why:
        print(f"{'lyrics':<10} {why}", flush=True)
    if kind == "none":
        return None
    songs = None if kind in GENERATED else _songs(given, kind, audio)
    config = LyricsConfig(
        kind=kind if songs is None else "file",
        id_column=given.lyrics_id,
        text_column=given.lyrics_text,
        match="filename" if kind == TAGS else given.lyrics_match,
        model=_model(given),
        dim=given.lyrics_dim,
        missing=given.lyrics_missing,
        seed=given.seed,
    )
    title = f"{config.model} of {Path(kind).name}"
    return run.do(embed_lyrics, audio, songs, config=config, title=title)


def check_lyrics(given: Given) -> None:
    """Read a file of lyrics that was named, before any audio is.

    Raises
    ------
    InputError
        What is wrong with it.
    """
    if given.lyrics is not None and given.lyrics not in (*GENERATED, TAGS, "none"):
        _loaded(given, _resolved(given, given.typed_in)[0])


def _loaded(given: Given, path: str) -> SongFile:
    """The songs of a file, or of a folder of them."""
    from genre_vae.collection import lyrics_files

    key = None if given.lyrics_match == "index" else given.lyrics_id
    return lyrics_files.load(Path(path), id_column=key, text_column=given.lyrics_text)


def _songs(given: Given, kind: str, audio: Artifact[Collection]) -> SongFile:
    """The songs of a file, of a folder of them, or in the tracks' tags."""
    from genre_vae.collection import lyrics_files, tags
    from genre_vae.collection.lyrics import named_by_tags

    folder = audio.dataset.folder
    if kind == TAGS:
        return lyrics_files.in_tags(folder, audio.value.mfcc.ids)
    songs = _loaded(given, kind)
    if given.lyrics_match != "filename" or not any(song.title for song in songs.songs):
        return songs
    return named_by_tags(songs, {i: tags.read(folder / i) for i in audio.value.mfcc.ids.tolist()})


def _resolved(given: Given, folder: Path) -> tuple[str, str]:
    """What ``lyrics`` means here: a kind or a file's path, and a line that says so."""
    if given.lyrics in (*GENERATED, TAGS, "none"):
        return given.lyrics, ""
    if given.lyrics is None:
        beside = (folder / "lyrics.csv", folder / "lyrics.json")
        there = next((path for path in beside if path.exists()), None)
        if there:
            return str(there), f"auto: {there}"
        return "control", (
            "auto: no lyrics.csv or lyrics.json in the data folder, so meaningless words stand in "
            "for them (the control): rows with lyrics show what fusion with nothing does"
        )
    if not given.lyrics:
        raise InputError(
            "lyrics is empty: name a file or folder, 'tags', 'control', 'themes', 'none' or 'auto'"
        )
    return str(given.path(given.lyrics)), ""


def _model(given: Given) -> str:
    """``tfidf``, a folder from where the person typed the command, or a name on the hub."""
    folder = given.path(given.lyrics_model)
    return str(folder) if folder.is_dir() else given.lyrics_model
