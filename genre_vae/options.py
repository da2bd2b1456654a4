"""Every option once: its name, default, kind, group and help.

``auto`` is None from the door on. The command line's own types are made of `genre_vae.kinds` in
`entrypoints.cli`; nothing here knows it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from genre_vae import clustering
from genre_vae.evaluation import metrics
from genre_vae.kinds import Choice, Number, Several, Text, Whole, option
from genre_vae.methods import BY_KEY, MODELS, RENAMED
from genre_vae.records import Geometry, LabelUse, Loudness

CHOOSE = "choose"  # a number that is found in the data, whatever else is known
LEVELS = ("easy", "medium", "hard")
_ABOVE_ZERO = Number(0, above=True)
_FROM_ZERO = Number(0)
_YES_NO = Choice(("yes", "no"))


@dataclass(frozen=True)
class Options:
    """The options; their fields' metadata say the rest."""

    dataset: str = option(
        "gtzan_mini",
        Choice(("gtzan", "gtzan_mini", "fma_small")),
        "dataset",
        "The public collection to fetch into data/<its name>: GTZAN (1.2 GB), its subset of 100 "
        "clips (0.1 GB), or the small FMA with its genres (8 GB).",
        declared=True,
    )
    data: str = option(
        "auto",
        Text(),
        "data",
        "Folder of audio, in any layout. 'demo' is the built-in corpus; 'auto' takes data/gtzan "
        "where it is there, else the demo.",
        declared=True,
    )
    faults: str = option(
        "keep",
        Choice(("keep", "drop")),
        "data",
        "GTZAN's 70 faulty clips by name (Kereliuk et al., 2015): kept, or left out. Repeated "
        "tracks are listed and kept.",
    )
    genres: str = option(
        "auto",
        Text(),
        "data",
        "Where genres come from: 'folders', 'tags', 'none', or a table (.csv, .tsv, .parquet) with "
        "a track and a genre in each row; 'auto' takes folders that look like genres, else tags "
        "that at least half of the tracks have, else none.",
        declared=True,
    )
    genre_parents: str = option(
        "",
        Text(),
        "data",
        "A table of genres and the parents that they count for, one of each in a row; '' for none.",
    )
    loudness: str = option(
        "normalised",
        Choice(tuple(Loudness)),
        "data",
        "'normalised': features are of every clip at the same mean level, -16 dBFS; 'as-is': at "
        "its own, as the first versions had it.",
    )
    verify: str = option(
        "no",
        _YES_NO,
        "data",
        "Whether to read every audio file again to see if it has changed; 'no' reads those whose "
        "size or modification time has.",
    )
    input: str = option(
        "audio",
        Text(),
        "input",
        "What dense models and baselines read: 'audio' (MFCC statistics; in hard and main the "
        "descriptor beside them), 'mfcc', 'descriptor' (timbre, harmony, dynamics and rhythm), "
        "'musicnn' (a tagger trained on other music), a file of vectors (.npy, .npz, .csv, "
        ".parquet), or several of these, as in musicnn+descriptor.",
        declared=True,
    )
    input_about: str = option(
        "", Text(), "input", "Where a file's vectors come from, in your words: tables repeat it."
    )
    input_label_use: str = option(
        "unstated",
        Choice(("unstated", *(str(use) for use in LabelUse))),
        "input",
        "How far this collection's genres reached into a file's vectors, as far as you know.",
    )
    geometry: str | None = option(
        None,
        Choice(tuple(Geometry)),
        "input",
        "How vectors are compared: every dimension standardised, by cosine (unit length), or as "
        "they are; 'auto': measurements standardised, a tagger's and a file's vectors by cosine.",
    )
    musicnn_wheel: str | None = option(
        None,
        Text(),
        "input",
        "Where musicnn-0.1.0-py3-none-any.whl lies, which holds the weights; 'auto' downloads it.",
    )
    methods: tuple[str, ...] | None = option(
        None,
        Several(Choice(tuple(BY_KEY), tuple(RENAMED.items()))),
        "methods",
        "Methods to run, between commas, such as pca,vae,contrastive; 'auto': the level's own.",
        declared=True,
    )
    model: str = option(
        "vae",
        Choice(MODELS, tuple(RENAMED.items())),
        "model",
        "The method that makes the embedding.",
        declared=True,
    )
    level: str = option(
        "easy", Choice(LEVELS), "level", "The level whose table or figures are made.", declared=True
    )
    against: str = option(
        "",
        Text(),
        "against",
        "A row to compare every ranked row with, decided before the scores were seen: a method's "
        "key, such as pca, or its name in the table; '' for none.",
        declared=True,
    )
    algorithm: str = option(
        "k-means", Choice(clustering.ALGORITHMS), "cluster", "The clusterer.", declared=True
    )
    n_clusters: int | str | None = option(
        None,
        Whole(2, words=(CHOOSE,)),
        "cluster",
        "Number of clusters; 'choose': the one whose clusters are found again in the other half of "
        "the tracks; 'auto': as many as there are genres, and without genres 'choose'.",
        declared=True,
    )
    eps: float | None = option(
        None, _ABOVE_ZERO, "cluster", "Radius of DBSCAN; 'auto': the knee of the k-distance curve."
    )
    lyrics: str | None = option(
        None,
        Text(),
        "lyrics",
        "A table (.csv, .tsv, .txt, .json, .jsonl), a folder of .lrc or .txt files called as the "
        "tracks, 'tags' (the words in the files' own tags), 'control' (meaningless words, the "
        "honest null), 'themes' (words from the genre, an oracle) or 'none'; 'auto': "
        "<data>/lyrics.csv or lyrics.json where it is there, else the control.",
        declared=True,
    )
    lyrics_id: str = option(
        "filename",
        Text(),
        "lyrics",
        "Column of the file with a song's name; where 'filename' is not there, a usual one.",
    )
    lyrics_text: str = option(
        "lyrics",
        Text(),
        "lyrics",
        "Column of the file with its words; where 'lyrics' is not there, a usual one.",
    )
    lyrics_match: str = option(
        "filename",
        Choice(("filename", "basename", "index")),
        "lyrics",
        "How songs are matched to tracks: by file name, by the number in it, or by their place "
        "within the genre.",
    )
    lyrics_model: str = option(
        "tfidf",
        Text(),
        "lyrics",
        "'tfidf', or a sentence-transformers model: a name on the hub, or a folder.",
    )
    lyrics_dim: int = option(32, Whole(1, 4096), "lyrics", "Dimensions of the lyrics' embedding.")
    lyrics_missing: str = option(
        "zero",
        Choice(("zero", "mean", "drop", "genre_mean")),
        "lyrics",
        "What a track without words gets; genre_mean uses the genre.",
    )
    lyrics_weight: float = option(
        1.0,
        _FROM_ZERO,
        "fusion",
        "Weight of the lyrics in the squared distances of a fusion; the audio's is 1.",
    )
    run: str | None = option(
        None,
        Text(),
        "run",
        "A run's id in the tracking store, or its beginning; 'auto': what the level has.",
        declared=True,
    )
    metric: str | None = option(
        None,
        Choice((*metrics.INTERNAL, *metrics.LABEL)),
        "register",
        "The metric that chooses the champion; 'auto': AMI, or silhouette where no genres are "
        "known.",
        declared=True,
    )
    register: str = option(
        "yes",
        _YES_NO,
        "register",
        "Whether to register the best label-free row as a model that takes audio.",
        declared=True,
    )
    keep_gb: float = option(
        0.0,
        _FROM_ZERO,
        "kept",
        "How much of the features that are kept for all collections to leave, in GB.",
        declared=True,
    )
    file: str = option("", Text(), "predict", "An audio file, or a folder of them.", declared=True)
    output: str = option(
        "",
        Text(),
        "predict",
        "Where to write the answer: a file ending in .csv or .json; '' for none.",
        declared=True,
    )
    model_uri: str = option(
        "models:/genre-vae@champion",
        Text(),
        "predict",
        "A registered or logged model.",
        declared=True,
    )
    neighbours: int = option(
        5,
        Whole(0, 1000),
        "predict",
        "How many of the collection's nearest tracks to name.",
        declared=True,
    )
    projection: str = option(
        "tsne", Choice(("tsne", "umap")), "figures", "Projection of the maps; umap is an extra."
    )
    condition: str = option(
        "encoder+decoder",
        Choice(("encoder+decoder", "decoder")),
        "condition",
        "Whether a CVAE's encoder is conditioned as well as its decoder.",
    )
    condition_on: str = option(
        "genre",
        Choice(("genre", "clusters")),
        "condition",
        "What a CVAE is conditioned on: the genre, or the k-means cluster of its input, which "
        "needs no label.",
    )
    encode_as: str = option(
        "genre",
        Choice(("genre", "unknown")),
        "condition",
        "Whether a CVAE encodes with the genre, or as if it were unknown.",
    )
    condition_dim: int = option(
        8, Whole(1, 1024), "condition", "Dimensions of the embedding of a CVAE's condition."
    )
    betas: tuple[float, ...] = option(
        (0.1, 0.5, 1.0, 2.0, 4.0, 8.0),
        Several(_FROM_ZERO, least=2, distinct=True),
        "sweep",
        "Weights of the KL term to try.",
        declared=True,
    )
    mel_view: str = option(
        "windows",
        Choice(("windows", "first")),
        "convolutions",
        "Mel input: all ten windows of a clip, or the first alone.",
    )
    widths: tuple[int, ...] | None = option(
        None,
        Several(Whole(1, 1024), least=2, most=3),
        "convolutions",
        "Channels of the two or three convolutions; 'auto': conv_vae 32,16, contrastive_vae "
        "16,32,64, contrastive 32,64.",
    )
    contrast: float | None = option(
        None,
        _FROM_ZERO,
        "convolutions",
        "Weight of the contrastive term in the ConvVAE's objective, which is in nats, 0 for none; "
        "'auto': conv_vae 0, contrastive_vae 10000. In medium, hard and main a number is for "
        "contrastive_vae alone, which methods= asks for.",
    )
    temperature: float = option(
        0.2, Number(0, 100, above=True), "convolutions", "Temperature of the contrastive term."
    )
    latent_dim: int | None = option(
        None,
        Whole(1),
        "training",
        "Dimensions of the embedding; 'auto': 16, conv_vae 128, with a contrastive term 32.",
    )
    beta: float | None = option(
        None,
        _FROM_ZERO,
        "training",
        "Weight of the KL term in the objective: beside the squared error, or in conv_vae and "
        "contrastive_vae beside the log likelihood, where 1 is the bound itself; 'auto': 1, "
        "BetaVAE 4. In hard and main a number is for the BetaVAE alone.",
    )
    epochs: int | None = option(
        None,
        Whole(1),
        "training",
        "Epochs, at most: passes over the tracks, or parts of a pass where there are more than "
        "about 100; 'auto': 500, conv_vae 30, with a contrastive term 60.",
    )
    patience: int | None = option(
        None,
        Whole(1),
        "training",
        "Epochs without a lower validation loss before training stops; 'auto': 50, ConvVAE 20, "
        "contrastive 30.",
    )
    batch_size: int | None = option(
        None,
        Whole(1),
        "training",
        "Tracks in a training step; 'auto': 32, conv_vae 8, with a contrastive term 16.",
    )
    lr: float | None = option(
        None,
        _ABOVE_ZERO,
        "training",
        "Learning rate of Adam; 'auto': 0.001, conv_vae 0.003 at its highest, contrastive_vae "
        "0.002.",
    )
    seeds: int = option(
        5,
        Whole(1, 1000),
        "seeds",
        "Number of seeds: members trained and clustered, over which intervals are.",
        declared=True,
    )
    seed: int = option(
        0,
        Whole(0, 1_000_000_000),
        "seeds",
        "The first member's seed; the next have the numbers after it.",
    )
    device: str | None = option(
        None,
        Choice(("cpu", "cuda", "mps")),
        "seeds",
        "Where models train; 'auto': the fastest that torch finds.",
    )
    workers: int | None = option(
        None,
        Whole(1, 256),
        "workers",
        "Processes that read audio, and threads that train; 'auto': one for each core.",
    )


def options() -> Mapping[str, dataclasses.Field[Any]]:
    """The fields of `Options`, by name, in their order."""
    return {field.name: field for field in dataclasses.fields(Options)}


def group(*names: str) -> tuple[str, ...]:
    """The options of some groups, in the order of the groups."""
    every = options()
    return tuple(o for name in names for o in every if every[o].metadata["group"] == name)
