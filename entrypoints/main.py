"""Every level under one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.cli import entry_point
from genre_vae.config import Given
from genre_vae.options import group

if TYPE_CHECKING:
    from genre_vae.tracking.run import Run


@entry_point(
    "main",
    *(*group("data", "input", "methods"), "n_clusters", "eps", *group("lyrics", "fusion")),
    *(*group("training"), "condition_dim", *group("convolutions", "figures", "register")),
    *group("seeds", "workers"),
)
def main(run: Run, given: Given) -> None:
    """Every level in turn, under one run with the best scores on it."""
    from genre_vae import levels

    levels.do_all(run, given)


if __name__ == "__main__":
    main()
