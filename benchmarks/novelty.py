"""How often is a track called unlike anything: of its own collection, and of other sounds?

``python benchmarks/novelty.py <collection> <folder of other sounds>``
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from genre_vae.collection.catalog import scan
from genre_vae.features.spectral import extract_catalog
from genre_vae.serving.novelty import Novelty


def main(collection: Path, others: Path) -> None:
    """Every track against all the others of its collection, and the other sounds against it."""
    from scipy.stats import binomtest

    own, other = (
        extract_catalog(scan(folder), workers=2).descriptor for folder in (collection, others)
    )
    called = 0
    for track_id in own.ids.tolist():
        rest = own.select(own.ids[own.ids != track_id])
        called += int(Novelty(rest).unlike(own.select([track_id]).values)[0])
    low, high = binomtest(called, len(own)).proportion_ci(0.95, "exact")
    print(f"of its own: {called} of {len(own)}, {called / len(own):.1%} [{low:.1%}, {high:.1%}]")
    unlike = Novelty(own).unlike(other.values)
    for kind in sorted(set(other.labels.tolist())):
        found = unlike[other.labels == kind]
        print(f"of {kind or 'the others'}: {np.sum(found)} of {len(found)}")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
