"""The Hard level: conditional and beta VAEs, fused modalities, and what can be said of them all."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.cli import entry_point
from genre_vae.config import Given
from genre_vae.options import group

if TYPE_CHECKING:
    from genre_vae.tracking.run import Run


@entry_point(
    "hard",
    *(*group("data", "input", "methods"), "n_clusters", *group("lyrics", "fusion", "training")),
    *("condition_dim", *group("convolutions", "figures", "register", "seeds", "workers")),
)
def main(run: Run, given: Given) -> None:
    """Hard level: twelve methods, among them baselines, VAEs, CVAEs, a contrastive encoder, fusions
    with lyrics and an oracle; an audit of what carries the label; which differences are noise."""
    from genre_vae import levels

    levels.summarise(run, [levels.do(run, given, "hard")])


if __name__ == "__main__":
    main()
