"""The Easy level: do a VAE's codes of MFCC statistics show genres better than PCA does?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.cli import entry_point
from genre_vae.config import Given
from genre_vae.options import group

if TYPE_CHECKING:
    from genre_vae.tracking.run import Run


@entry_point(
    "easy",
    *(*group("data", "input", "methods"), "n_clusters", *group("training"), "condition_dim"),
    *group("convolutions", "seeds", "workers"),
)
def main(run: Run, given: Given) -> None:
    """Easy level: PCA, an autoencoder and a VAE on MFCC statistics, each with k-means."""
    from genre_vae import levels

    levels.summarise(run, [levels.do(run, given, "easy")])


if __name__ == "__main__":
    main()
