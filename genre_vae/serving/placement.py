"""Placing new tracks among the clusters of a collection: what a registered model does.

Everything that it needs is plain data in one folder: an encoder, the clusters' centroids and
genres, and the collection's own codes. It knows nothing of MLflow: `genre_vae.pyfunc` does.

Axes: ``n`` tracks to place, ``r`` of the collection, ``k`` latent dimensions, ``c`` clusters.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import soundfile

from genre_vae import clustering
from genre_vae.collection import audio
from genre_vae.features import musicnn
from genre_vae.features import pca as baselines
from genre_vae.features import spectral as features
from genre_vae.features.musicnn import MusiCNN
from genre_vae.features.pca import Projection
from genre_vae.files import write_array, write_json
from genre_vae.models import training
from genre_vae.models.training import Fitted
from genre_vae.records import Assignment, FeatureSet, FloatArray, InputError, IntArray, known_genres

NEIGHBOURS = 5
MAX_ITEMS = 1_000  # of a request
MAX_BYTES = (
    200_000_000  # of a file or an item's data: half an hour of uncompressed stereo, and more
)
MAX_SECONDS = 2 * 3600.0  # finding the middle of a compressed file takes as long as it is
ROUNDING = 1e-6  # of a code in float32, as a share of the largest
TAGGER = "musicnn.safetensors"
FAR = 99.0  # percentile of the collection's own distances above which a track is unlike all of it
_LINE_BREAKS = str.maketrans("", "", "\r\n")  # base64 writes them by default
_DATA_URI = re.compile(r"data:[^,;]*(;[^,;]*)*;base64,", re.IGNORECASE)


class RefusedError(ValueError):
    """An item that is not looked at; the message is the reason."""


@dataclass(frozen=True, eq=False)
class Placement:
    """A collection's clusters, and how to find the place of another track among them.

    Parameters
    ----------
    encoder
        Makes codes of features.
    inputs
        Of what: ``mfcc``, ``mel``, ``mel, first window`` or ``musicnn``.
    reference : values (r, k)
        The collection's codes, with its ids and genres.
    clusters : (r,)
        Of the collection's tracks, from 0 without gaps; a track's is the one with the nearest mean.
    method
        What made codes and clusters, e.g. ``VAE + k-means``.
    tagger
        For ``musicnn``: what makes its vectors.
    words
        Each cluster in words, if a tagger has described them.

    Raises
    ------
    ValueError
        If a track's cluster is not the one with the nearest mean, or the tagger is missing.
    """

    encoder: Fitted | Projection
    inputs: str
    reference: FeatureSet
    clusters: IntArray
    method: str
    tagger: MusiCNN | None = None
    words: Sequence[Sequence[str]] = ()

    def __post_init__(self) -> None:
        if (self.tagger is not None) != (self.inputs == "musicnn"):
            raise ValueError(f"{self.method}: a tagger goes with the input musicnn and no other")
        found, _ = clustering.nearest(self.reference.values, self.centroids)
        if not np.array_equal(found, self.clusters):
            raise ValueError(f"{self.method}: clusters are not those of the nearest means")

    @cached_property
    def centroids(self) -> npt.NDArray[np.float64]:
        """The clusters' means: (c, k)."""
        return clustering.centroids(self.reference.values, self.clusters)

    @cached_property
    def _distances(self) -> npt.NDArray[np.float64]:
        """(r,) of the collection's tracks to the means of their clusters, sorted."""
        return np.sort(clustering.nearest(self.reference.values, self.centroids)[1])

    @cached_property
    def _shares(self) -> list[dict[str, float]]:
        """Of each cluster's tracks the share that has a genre, the largest first."""
        found = []
        for cluster in range(len(self.centroids)):
            labels = self.reference.labels[self.clusters == cluster]
            genres = {genre: float((labels == genre).mean()) for genre in known_genres(labels)}
            found.append(dict(sorted(genres.items(), key=lambda item: -item[1])))
        return found

    def extract(
        self, source: str | Path | bytes, *, max_seconds: float = MAX_SECONDS
    ) -> npt.NDArray[np.floating] | str:
        """What the encoder sees of a file or its content, or the reason why there is nothing."""
        if self.tagger is not None:
            try:
                heard = musicnn.extract(audio.load(source, max_seconds=max_seconds), self.tagger)
            except audio.BadAudioError as error:
                return str(error)
            return heard.embedding
        found = features.extract_source(source, features.mel_filters(), max_seconds=max_seconds)
        if isinstance(found, str):
            return found
        if self.inputs == "mfcc":
            return found.mfcc
        return found.mel if self.inputs == "mel" else found.mel[:1]

    def encode(self, seen: Sequence[npt.NDArray[np.floating]]) -> FloatArray:
        """Codes of what `extract` gives for each of n tracks, made as those of the collection were:
        (n, k)."""
        ids = np.array([str(number) for number in range(len(seen))])
        given = FeatureSet(self.inputs, ids, np.stack(seen), np.full(len(ids), ""))
        if isinstance(self.encoder, Projection):
            codes = self.encoder.apply(given)
        else:
            codes = training.encode(self.encoder, given)
        return np.asarray(codes.values, dtype=np.float32)

    def place(
        self, codes: FloatArray, *, neighbours: int = NEIGHBOURS, latent: bool = True
    ) -> list[dict[str, Any]]:
        """Where codes (n, k) belong, a record each.

        Parameters
        ----------
        codes
            From `encode`.
        neighbours
            How many of the collection's nearest tracks to name.
        latent
            Whether to give the code itself as well.

        Returns
        -------
        list of dict
            ``cluster``; ``genre``, the one that most of the cluster's tracks have, and
            ``genre_share``, how many (None where no genres are known); ``distance`` to the
            cluster's mean; ``percentile``, the share of the collection's tracks that are nearer to
            theirs, in percent; ``unlike_anything``, whether that is above 99; ``neighbours``,
            nearest first, each with ``track_id``, ``genre``, ``cluster``, ``distance``; ``words``
            that describe the cluster, where there are any; ``latent``.
        """
        found, distances = clustering.nearest(codes, self.centroids)
        reference = self.reference.values.astype(np.float64)
        rounding = ROUNDING * float(np.abs(reference).max())
        records = []
        for code, cluster, distance in zip(codes, found.tolist(), distances.tolist(), strict=True):
            genre, share = next(iter(self._shares[cluster].items()), (None, None))
            # the same track in another batch is the same but for rounding
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
                "unlike_anything": percentile > FAR,
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
            if self.words:
                record["words"] = list(self.words[cluster])
            records.append(record | ({"latent": code.tolist()} if latent else {}))
        return records

    def save(self, folder: Path) -> None:
        """Write plain tensors, arrays and JSON into a folder; `load` runs nothing of it."""
        folder.mkdir(parents=True, exist_ok=True)
        if isinstance(self.encoder, Projection):
            self.encoder.save(folder / "pca.npz")
        else:
            training.save(self.encoder, folder / f"{self.encoder.config.model}_best.pth")
        self.reference.save(folder, "reference")
        clusters = Assignment(
            self.method, self.reference.ids, self.clusters[None], self.reference.labels
        )
        clusters.save(folder)
        write_array(folder / "centroids.npy", self.centroids)  # for other readers: it follows
        shares = [
            {"cluster": c, "tracks": int((self.clusters == c).sum()), "genres": genres}
            for c, genres in enumerate(self._shares)
        ]
        about = {"method": self.method, "inputs": self.inputs, "clusters": shares}
        write_json(folder / "placement.json", about | {"words": self.words})
        if self.tagger is not None:
            musicnn.save(self.tagger, folder / TAGGER)

    @classmethod
    def load(cls, folder: Path) -> Placement:
        """Read what `save` wrote."""
        about = json.loads((folder / "placement.json").read_text("utf-8"))
        encoder = load_encoder(folder)
        reference = FeatureSet.load(folder, "reference")
        (clusters,) = Assignment.load(folder).clusters
        tagger = musicnn.load(folder / TAGGER) if (folder / TAGGER).exists() else None
        return cls(
            encoder, about["inputs"], reference, clusters, about["method"], tagger, about["words"]
        )


def load_encoder(folder: Path) -> Fitted | Projection:
    """What makes codes, from the folder in which a stage of `train` left it (the first seed's)."""
    if (folder / "pca.npz").exists():
        return baselines.Projection.load(folder / "pca.npz")
    return training.load(next(folder.glob("*_best.pth")))


def predict(
    placement: Placement,
    items: Sequence[str],
    *,
    neighbours: int = NEIGHBOURS,
    latent: bool = True,
    root: Path | Literal["anywhere", "nowhere"] = "anywhere",
    workers: int = 1,
) -> list[dict[str, Any]]:
    """Place tracks given as paths or ``data:`` URIs.

    Parameters
    ----------
    placement
        Among what.
    items
        Each a path, or ``data:audio/...;base64,...`` with a file's content.
    neighbours, latent
        As in `Placement.place`.
    root
        The folder below which paths may lead, wherever links lead them; or ``anywhere``, or
        ``nowhere``.
    workers
        Threads that decode and transform.

    Returns
    -------
    list of dict
        A record each, in the order of items: that of `Placement.place`, or ``{"error": reason}``.
        One bad item does not spoil the rest.
    """
    if len(items) > MAX_ITEMS:
        return [{"error": f"{len(items)} items, at most {MAX_ITEMS} at a time"}] * len(items)

    def extract(item: str) -> npt.NDArray[np.floating] | str:
        try:
            return placement.extract(_source(item, root))
        except RefusedError as error:
            return str(error)
        except MemoryError:
            return "not enough memory for it"

    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(extract, items))
    good = [one for one in found if not isinstance(one, str)]
    codes = placement.encode(good) if good else np.empty((0, 0), dtype=np.float32)
    placed = iter(placement.place(codes, neighbours=neighbours, latent=latent) if good else [])
    return [{"error": one} if isinstance(one, str) else next(placed) for one in found]


def _source(item: str, root: Path | Literal["anywhere", "nowhere"]) -> Path | bytes:
    """The path or the content that an item names, if it may be read."""
    if item[:5].lower() == "data:":
        beginning = _DATA_URI.match(item[:200])
        if not beginning:
            raise RefusedError("a data URI must be data:audio/...;base64,...")
        if (len(item) - beginning.end()) * 3 // 4 > MAX_BYTES:
            raise RefusedError(f"more than {MAX_BYTES // 10**6} MB of data")
        try:
            content = item[beginning.end() :].translate(_LINE_BREAKS)
            return base64.b64decode(content, validate=True)
        except (binascii.Error, ValueError) as error:  # ValueError: not ASCII
            raise RefusedError("its base64 is malformed") from error
    if root == "nowhere":
        raise RefusedError("paths are not read here: send a data URI, or set GENRE_VAE_AUDIO_ROOT")
    try:
        path = (Path(item).expanduser() if root == "anywhere" else root / item).resolve()
        if root != "anywhere" and not path.is_relative_to(root.resolve()):
            raise RefusedError("outside the folder that may be read")
        if not path.is_file():
            raise RefusedError("no such file" if not path.exists() else "not a file")
        if path.stat().st_size > MAX_BYTES:
            raise RefusedError(f"more than {MAX_BYTES // 10**6} MB")
    except (OSError, RuntimeError, ValueError) as error:
        if isinstance(error, RefusedError):
            raise
        raise RefusedError("no path") from error  # too long, a loop of links, a null character
    return path


def example() -> str:
    """A chord of two seconds as a data URI: something to try a model with."""
    time = np.arange(2 * audio.SAMPLE_RATE) / audio.SAMPLE_RATE
    chord = sum(np.sin(2 * np.pi * frequency * time) for frequency in (220.0, 277.2, 329.6)) / 8
    content = io.BytesIO()
    soundfile.write(content, np.asarray(chord), audio.SAMPLE_RATE, format="FLAC")
    return "data:audio/flac;base64," + base64.b64encode(content.getvalue()).decode("ascii")


def sonify(mel: FloatArray, *, iterations: int = 64) -> FloatArray:
    """Sound of a log-mel spectrogram, by Griffin & Lim's algorithm (1984): phase is made up.

    Parameters
    ----------
    mel : (mel, t)
        In dB below the peak.
    iterations
        Of the algorithm.

    Returns
    -------
    (samples,) float32
        At 22,050 Hz, peak 0.9.
    """
    import librosa

    if mel.ndim != 2:
        raise InputError(f"a spectrogram has two axes, not {mel.ndim}")
    power = librosa.db_to_power(np.asarray(mel, dtype=np.float32))
    wave = librosa.feature.inverse.mel_to_audio(
        power,
        sr=audio.SAMPLE_RATE,
        n_fft=features.N_FFT,
        hop_length=features.HOP_LENGTH,
        n_iter=iterations,
    )
    peak = np.abs(wave).max()
    return np.asarray(0.9 * wave / peak if peak > 0 else wave, dtype=np.float32)
