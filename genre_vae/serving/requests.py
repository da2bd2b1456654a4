"""Requests to a registered model: paths and ``data:`` URIs in, places among the clusters out."""

from __future__ import annotations

import base64
import binascii
import io
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile

from genre_vae.collection import audio
from genre_vae.serving.index import NEIGHBOURS, ClusterIndex, Extracted

MAX_ITEMS = 1_000  # of a request
MAX_BYTES = 200_000_000  # of a file or of an item's data: half an hour of uncompressed stereo
MAX_SECONDS = 2 * 3600.0  # finding the middle of a compressed file takes as long as the file is
_LINE_BREAKS = str.maketrans("", "", "\r\n")  # base64 writes them by default
_DATA_URI = re.compile(r"data:[^,;]*(;[^,;]*)*;base64,", re.IGNORECASE)


class RefusedError(ValueError):
    """An item that may not be read or is malformed; the message is the reason."""


def predict(
    index: ClusterIndex,
    items: Sequence[str],
    *,
    neighbours: int = NEIGHBOURS,
    latent: bool = True,
    root: Path | Literal["anywhere", "nowhere"] = "anywhere",
    workers: int = 1,
) -> list[dict[str, Any]]:
    """Assign tracks, given as paths or ``data:`` URIs, to clusters.

    Parameters
    ----------
    index
        The clusters of a collection.
    items
        Each a path, or ``data:audio/...;base64,...`` with a file's content. More than `MAX_ITEMS`
        are refused.
    neighbours, latent
        Passed to `ClusterIndex.place`.
    root
        The folder below which paths must lie after their links are resolved; ``anywhere``; or
        ``nowhere``, which refuses paths.
    workers
        Number of threads that decode and transform.

    Returns
    -------
    list of dict
        A record for each item, in their order: that of `ClusterIndex.place`, or
        ``{"error": reason}``. A bad item does not affect the others.
    """
    if len(items) > MAX_ITEMS:
        return [{"error": f"{len(items)} items, at most {MAX_ITEMS} at a time"}] * len(items)

    def extract(item: str) -> Extracted | str:
        try:
            return index.extract(_source(item, root), max_seconds=MAX_SECONDS)
        except RefusedError as error:
            return str(error)
        except MemoryError:
            return "not enough memory for it"

    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(extract, items))
    good = [one for one in found if not isinstance(one, str)]
    records: list[dict[str, Any]] = []
    if good:
        records = index.place(good, neighbours=neighbours, latent=latent)
    assigned = iter(records)
    return [{"error": one} if isinstance(one, str) else next(assigned) for one in found]


def _source(item: str, root: Path | Literal["anywhere", "nowhere"]) -> Path | bytes:
    """The path or the content that an item names.

    Raises
    ------
    RefusedError
        If it is malformed, too large, not a file, or may not be read.
    """
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
