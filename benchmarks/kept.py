"""How the increments were measured: python benchmarks/kept.py <folder of audio> [tracks].

Features of some tracks of the folder, of ten more, and of all of them afresh; then whether the
second and the third are equal bit for bit. Wall seconds, two processes.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from genre_vae.collection.catalog import Catalog, scan
from genre_vae.features.kept import Kept
from genre_vae.features.spectral import KEPT, CatalogFeatures, Result, extract_catalog

MORE = 10


def extract(catalog: Catalog, kept: Kept) -> CatalogFeatures:
    computed = 0

    def count(results: Iterable[Result], total: int) -> Iterable[Result]:
        nonlocal computed
        computed = total
        return results

    began = time.perf_counter()
    found = extract_catalog(catalog, workers=2, kept=kept, progress=count)
    seconds = time.perf_counter() - began
    print(f"{len(catalog.tracks)} tracks, {computed} computed: {seconds:.1f} s", flush=True)
    return found


def main(folder: Path, tracks: int) -> None:
    began = time.perf_counter()
    catalog = scan(folder)
    print(f"{len(catalog.tracks)} files scanned: {time.perf_counter() - began:.1f} s")
    first, more = (
        replace(catalog, tracks=catalog.tracks.head(count).reset_index(drop=True))
        for count in (tracks, tracks + MORE)
    )
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        kept = Kept(Path(one) / "kind", KEPT)
        extract(first, kept)
        again = extract(more, kept)
        fresh = extract(more, Kept(Path(other) / "kind", KEPT))
        size = sum(shard.stat().st_size for shard in kept.folder.iterdir())
        print(f"{size / 1e3 / (tracks + MORE):.0f} kB a track")
    for name in ("mfcc", "mel", "descriptor"):
        a, b = (np.asarray(getattr(found, name).values) for found in (again, fresh))
        print(f"{name}: {'equal' if np.array_equal(a, b) else 'NOT equal'}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 1000)
