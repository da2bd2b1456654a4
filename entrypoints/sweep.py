"""The BetaVAE with several weights of the KL term, in one command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.cli import entry_point
from genre_vae.config import Given
from genre_vae.options import group

if TYPE_CHECKING:
    from genre_vae.tracking.run import Run

TRAINING = (name for name in group("training") if name != "beta")


@entry_point(
    "sweep",
    *(*group("data", "input", "sweep"), "n_clusters", *TRAINING, *group("seeds", "workers")),
)
def main(run: Run, given: Given) -> None:
    """BetaVAE with several betas: what the weight of the KL term does to clusters and loss.

    Choosing a beta by its AMI would be choosing by the labels; the table is there to look at.
    """
    from genre_vae.stages.sweep import sweep

    print("\n" + (sweep(run, given).folder / "beta_sweep.md").read_text("utf-8"))


if __name__ == "__main__":
    main()
