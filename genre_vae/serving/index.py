"""The clusters of a collection, to which new tracks are assigned: what a registered model holds.

All of it is plain data in one folder: an encoder, the clusters' centroids and genres, and the
collection's own codes. MLflow is known to `genre_vae.serving.pyfunc` alone.

Axes: ``n`` new tracks, ``r`` tracks of the collection, ``k`` latent dimensions, ``c`` clusters.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from genre_vae import clustering
from genre_vae.collection import audio
from genre_vae.features import musicnn, spectral
from genre_vae.features.musicnn import MusiCNN
from genre_vae.features.pca import Projection
from genre_vae.files import write_array, write_json
from genre_vae.models import checkpoint, encoding
from genre_vae.models.checkpoint import TrainedModel
from genre_vae.records import Assignment, FeatureSet, FloatArray, IntArray, known_genres
from genre_vae.scaling import parsed
from genre_vae.serving.novelty import Novelty

NEIGHBOURS = 5
ROUNDING = 1e-6  # error of a code in float32, as a share of the largest
TAGGER = "musicnn.safetensors"


class Extracted(NamedTuple):
    """What a track's audio gives: what the encoder reads, and the descriptor (d,)."""

    values: npt.NDArray[np.floating]
    descriptor: FloatArray


@dataclass(frozen=True, eq=False)
class ClusterIndex:
    """The clusters of a collection, and what assigns another track to one of them.

    Parameters
    ----------
    encoder
        The model that turns features into codes.
    inputs
        The features it takes: ``mel``, ``mel, first window``, or among ``mfcc``, ``descriptor`` and
        ``musicnn`` one or several with ``+`` between; after a comma the geometry, where it is not
        their own, which the encoder knows.
    reference : values (r, k)
        The collection's codes, with its ids and genres.
    clusters : (r,)
        The cluster of each track of the collection, from 0 without gaps: the one with the nearest
        mean.
    sounds : values (r, d)
        The descriptor of the collection's tracks.
    method
        The method that made codes and clusters, e.g. ``VAE + k-means``.
    tagger
        The network that makes the vectors of the input ``musicnn``; None without it.
    tags
        The tags that describe each cluster, where a tagger has been used.

    Raises
    ------
    ValueError
        If a track's cluster is not the one with the nearest mean, or the tagger is missing.
    """

    encoder: TrainedModel | Projection
    inputs: str
    reference: FeatureSet
    clusters: IntArray
    sounds: FeatureSet
    method: str
    tagger: MusiCNN | None = None
    tags: Sequence[Sequence[str]] = ()

    def __post_init__(self) -> None:
        if (self.tagger is not None) != ("musicnn" in self._parts):
            raise ValueError(f"{self.method}: a tagger goes with the input musicnn and no other")
        found, _ = clustering.nearest(self.reference.values, self.centroids)
        if not np.array_equal(found, self.clusters):
            raise ValueError(f"{self.method}: clusters are not those of the nearest means")

    @cached_property
    def centroids(self) -> npt.NDArray[np.float64]:
        """(c, k) the means of the clusters."""
        return clustering.centroids(self.reference.values, self.clusters)

    @cached_property
    def _parts(self) -> list[str]:
        """The names of the inputs, without a geometry."""
        return parsed(self.inputs)[0].split("+")

    @cached_property
    def _novelty(self) -> Novelty:
        return Novelty(self.sounds)

    @cached_property
    def _distances(self) -> npt.NDArray[np.float64]:
        """(r,) distances of the collection's tracks to the means of their clusters, sorted."""
        return np.sort(clustering.nearest(self.reference.values, self.centroids)[1])

    @cached_property
    def _shares(self) -> list[dict[str, float]]:
        """For each cluster, the share of its tracks that each genre has, the largest first."""
        found = []
        for cluster in range(len(self.centroids)):
            labels = self.reference.labels[self.clusters == cluster]
            genres = {genre: float((labels == genre).mean()) for genre in known_genres(labels)}
            found.append(dict(sorted(genres.items(), key=lambda item: -item[1])))
        return found

    def extract(
        self, source: str | Path | bytes, *, max_seconds: float = math.inf
    ) -> Extracted | str:
        """What a file or its content gives, or the reason why there is nothing."""
        try:
            waveform = audio.load(source, max_seconds=max_seconds).waveform
            found = spectral.extract_checked(waveform, spectral.mel_filters())
            tagged = None if self.tagger is None else musicnn.extract(waveform, self.tagger)
        except audio.BadAudioError as error:
            return str(error)
        windows = {"mel": found.mel, "mel, first window": found.mel[:1]}
        if self.inputs in windows:
            return Extracted(windows[self.inputs], found.descriptor)
        vectors = {"mfcc": found.mfcc, "descriptor": found.descriptor}
        if tagged is not None:
            vectors["musicnn"] = tagged.embedding
        values = np.concatenate([vectors[name] for name in self._parts])
        return Extracted(values, found.descriptor)

    def encode(self, extracted: Sequence[npt.NDArray[np.floating]]) -> FloatArray:
        """The codes (n, k) of n tracks, made of what the encoder reads of each as the collection's
        own codes were made."""
        ids = np.array([str(number) for number in range(len(extracted))])
        given = FeatureSet(self.inputs, ids, np.stack(extracted), np.full(len(ids), ""))
        if isinstance(self.encoder, Projection):
            codes = self.encoder.apply(given)
        else:
            codes = encoding.encode(self.encoder, given)
        return np.asarray(codes.values, dtype=np.float32)

    def place(
        self, extracted: Sequence[Extracted], *, neighbours: int = NEIGHBOURS, latent: bool = True
    ) -> list[dict[str, Any]]:
        """`assign` what was extracted of n tracks, one or more, and say of each whether it is
        ``unlike_anything`` in the collection (`genre_vae.serving.novelty`) and its ``novelty``: the
        percentage of the collection's tracks that are nearer to the others than it is to them."""
        codes = self.encode([one.values for one in extracted])
        sounds = np.stack([one.descriptor for one in extracted])
        p_values = self._novelty.p_values(sounds)
        return [
            {**record, "unlike_anything": bool(one), "novelty": 100 * (1 - float(p))}
            for record, one, p in zip(
                self.assign(codes, neighbours=neighbours, latent=latent),
                self._novelty.is_unlike(p_values),
                p_values,
                strict=True,
            )
        ]

    def assign(
        self, codes: FloatArray, *, neighbours: int = NEIGHBOURS, latent: bool = True
    ) -> list[dict[str, Any]]:
        """Assign codes to their nearest clusters.

        Parameters
        ----------
        codes : (n, k)
            From `encode`.
        neighbours
            How many of the collection's nearest tracks to name.
        latent
            Whether the records hold the code itself.

        Returns
        -------
        list of n dict
            ``cluster``; ``genre``, the one that most of the cluster's tracks have, and
            ``genre_share``, their share (both None where no genres are known); ``distance`` to the
            cluster's mean; ``percentile``, the percentage of the collection's tracks that are
            nearer to the mean of theirs; ``neighbours``, the nearest first, each with ``track_id``,
            ``genre``, ``cluster`` and ``distance``; ``words``, the tags that describe the cluster,
            where there are any; and ``latent``.
        """
        found, distances = clustering.nearest(codes, self.centroids)
        reference = self.reference.values.astype(np.float64)
        rounding = ROUNDING * float(np.abs(reference).max())
        records = []
        for code, cluster, distance in zip(codes, found.tolist(), distances.tolist(), strict=True):
            genre, share = next(iter(self._shares[cluster].items()), (None, None))
            # a track's code differs from batch to batch by rounding
            nearer = np.searchsorted(self._distances, distance - rounding)
            percentile = 100 * float(nearer) / len(self._distances)
            away = np.linalg.norm(reference - code, axis=1)
            nearest = np.argsort(away, kind="stable")[:neighbours]
            record: dict[str, Any] = {
                "cluster": cluster,
                "genre": genre,
                "genre_share": share,
                "distance": distance,
                "percentile": percentile,
                "neighbours": [
                    {
                        "track_id": str(self.reference.ids[row]),
                        "genre": str(self.reference.labels[row]) or None,
                        "cluster": int(self.clusters[row]),
                        "distance": float(away[row]),
                    }
                    for row in nearest
                ],
            }
            if self.tags:
                record["words"] = list(self.tags[cluster])
            records.append(record | ({"latent": code.tolist()} if latent else {}))
        return records

    def save(self, folder: Path) -> None:
        """Write plain tensors, arrays and JSON into a folder; nothing in it is unpickled or run."""
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(self.encoder, Projection):
            self.encoder.save(folder / "pca.npz")
        else:
            checkpoint.save(self.encoder, folder / f"{self.encoder.config.model}_best.pth")
        self.reference.save(folder, "reference")
        self.sounds.save(folder, "sounds")
        clusters = Assignment(
            self.method, self.reference.ids, self.clusters[None], self.reference.labels
        )
        clusters.save(folder)
        write_array(
            folder / "centroids.npy", self.centroids
        )  # for other readers: `load` does not need it
        shares = [
            {"cluster": c, "tracks": int((self.clusters == c).sum()), "genres": genres}
            for c, genres in enumerate(self._shares)
        ]
        about = {"method": self.method, "inputs": self.inputs, "clusters": shares}
        write_json(folder / "placement.json", about | {"words": self.tags})
        if self.tagger is not None:
            musicnn.save(self.tagger, folder / TAGGER)

    @classmethod
    def load(cls, folder: Path) -> ClusterIndex:
        """Read what `save` wrote."""
        about = json.loads((folder / "placement.json").read_text("utf-8"))
        encoder = load_encoder(folder)
        reference, sounds = (FeatureSet.load(folder, name) for name in ("reference", "sounds"))
        (clusters,) = Assignment.load(folder).clusters
        tagger = musicnn.load(folder / TAGGER) if (folder / TAGGER).exists() else None
        return cls(
            encoder,
            about["inputs"],
            reference,
            clusters,
            sounds,
            about["method"],
            tagger,
            about["words"],
        )


def load_encoder(folder: Path) -> TrainedModel | Projection:
    """The encoder in a folder that a training stage or `ClusterIndex.save` wrote; of a stage with
    several seeds, that of the first."""
    if (folder / "pca.npz").exists():
        return Projection.load(folder / "pca.npz")
    return checkpoint.load(next(folder.glob("*_best.pth")))
