"""The figures of a level, or of one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.cli import entry_point
from genre_vae.config import Given
from genre_vae.options import group

if TYPE_CHECKING:
    from genre_vae.tracking.run import Run


@entry_point(
    "visualize",
    *(*group("data", "input", "level", "methods", "run", "figures"), "n_clusters"),
    *(*group("lyrics", "fusion", "training"), "condition_dim"),
    *group("convolutions", "seeds", "workers"),
)
def main(run: Run, given: Given) -> None:
    """Draw the figures of a level, or the Hard level's of one run that made an embedding.

    What is not there yet, models and clusters, is made first.
    """
    from genre_vae import levels

    if given.run is None:
        levels.draw_level(run, given, levels.LEVELS[given.level])
    else:
        levels.draw_run(run, given, given.run)


if __name__ == "__main__":
    main()
