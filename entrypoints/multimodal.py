"""Audio and lyrics fused three ways, and with the genre itself as an oracle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.cli import entry_point
from genre_vae.config import Given
from genre_vae.options import group

if TYPE_CHECKING:
    from genre_vae.tracking.run import Run


@entry_point(
    "multimodal",
    *(*group("data", "input"), "n_clusters", *group("lyrics", "fusion"), "seeds", "seed"),
    "workers",
)
def main(run: Run, given: Given) -> None:
    """Cluster audio and lyrics together: side by side, weighted, by consensus, and with the genre.

    What is not there yet, features, lyrics and their audit, is made first.
    """
    from genre_vae import levels

    print(f"\n{levels.multimodal(run, given).value.text}")


if __name__ == "__main__":
    main()
