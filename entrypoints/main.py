"""Every level under one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.easy import easy
from entrypoints.options import Options, entry_point

if TYPE_CHECKING:
    from genre_vae.tracking import Tracker


@entry_point(
    *("data", "n_clusters", "latent_dim", "beta", "epochs", "patience", "batch_size", "lr"),
    *("seeds", "seed", "device", "workers"),
)
def main(tracker: Tracker, options: Options) -> None:
    """Every level in turn, under one run with the best scores on it."""
    with tracker.group("easy") as level:
        easy(level, options)


if __name__ == "__main__":
    main()
