"""The Medium level: representations of audio alone and with lyrics, five clusterers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.cli import entry_point
from genre_vae.config import Given
from genre_vae.options import group

if TYPE_CHECKING:
    from genre_vae.tracking.run import Run


@entry_point(
    "medium",
    *(*group("data", "input", "methods"), "n_clusters", "eps", *group("lyrics", "fusion")),
    *(*group("training"), "condition_dim", *group("convolutions", "seeds", "workers")),
)
def main(run: Run, given: Given) -> None:
    """Medium level: PCA, VAE, ConvVAE and a contrastive encoder, the middle two with lyrics as
    well, each with five clusterers."""
    from genre_vae import levels

    levels.summarise(run, [levels.do(run, given, "medium")])


if __name__ == "__main__":
    main()
