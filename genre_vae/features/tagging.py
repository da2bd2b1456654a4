"""What `genre_vae.features.musicnn` makes of a catalog's tracks.

Axes: ``n`` tracks.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from genre_vae.collection import audio
from genre_vae.collection.catalog import Catalog
from genre_vae.collection.digests import digest_since
from genre_vae.features import musicnn
from genre_vae.features.kept import Column, Kept, Row
from genre_vae.features.loudness import adjusted
from genre_vae.features.musicnn import MusiCNN, TaggerOutput
from genre_vae.features.tags import TAGS
from genre_vae.records import Block, FeatureSet, Geometry, InputError, Loudness

KEPT = (Column("embedding", "<f4", (2 * musicnn.EMBEDDING,)), Column("tags", "<f4", (len(TAGS),)))
Result = tuple[str, TaggerOutput]  # the digest of a file, and what the tagger makes of it


def hear(path: str, net: MusiCNN, loudness: Loudness) -> TaggerOutput:
    """The tagger's output for a file.

    Raises
    ------
    InputError
        If it can no longer be read: that it could be is known.
    """
    try:
        return musicnn.extract(adjusted(audio.load(path).waveform, loudness), net)
    except audio.BadAudioError as error:
        raise InputError(f"{path} has changed since its features were read: {error}") from error


def extract_tracks(
    tracks: FeatureSet,
    catalog: Catalog,
    net: MusiCNN,
    *,
    workers: int,
    kept: Kept | None = None,
    progress: Callable[[Iterable[Result], int], Iterable[Result]] = lambda results, _: results,
) -> tuple[FeatureSet, FeatureSet]:
    """The tagger's output for every track.

    Parameters
    ----------
    tracks
        The tracks; their ids and genres are used, their values are not.
    catalog
        Their files, and how loud a clip is when the tagger hears it.
    net
        The tagger.
    workers
        Number of threads. Each runs torch on a single thread of its own.
    kept
        What was computed before; with None, nothing was.
    progress
        Wraps the stream of results, of which it gets the number, for a progress bar.

    Returns
    -------
    embeddings : FeatureSet named ``musicnn``, values (n, 400)
        Two blocks that are compared by cosine: the mean and the deviation.
    tags : FeatureSet named ``musicnn tags``, values (n, 50)

    Raises
    ------
    InputError
        If a file can no longer be read, or has changed.
    """
    files = catalog.tracks.set_index("track_id").loc[tracks.ids.tolist()]
    paths, keys = files["path"].tolist(), files["digest"].tolist()

    def output(place: int) -> Result:
        found = hear(paths[place], net, catalog.loudness)
        key = digest_since(Path(paths[place]), keys[place], since=catalog.scanned)
        if key != keys[place]:
            raise InputError(f"{paths[place]} has changed since its features were read")
        return key, found

    def compute(places: list[int]) -> Iterator[tuple[str, Row]]:
        torch.set_num_threads(1)
        with ThreadPoolExecutor(workers) as pool:
            for key, found in progress(pool.map(output, places), len(places)):
                yield key, found._asdict()

    with tempfile.TemporaryDirectory() as own:
        kept = kept or Kept(Path(own), KEPT)
        rows = dict(kept.read(kept.complete(keys, compute), [column.name for column in KEPT]))
    embedding, tags = (np.stack([rows[key][column.name] for key in keys]) for column in KEPT)
    embeddings = replace(
        tracks.derive("musicnn", embedding),
        pretrained=True,
        blocks=tuple(
            Block(f"musicnn {what}", musicnn.EMBEDDING, Geometry.COSINE)
            for what in ("mean", "deviation")
        ),
    )
    return embeddings, embeddings.derive("musicnn tags", tags)
