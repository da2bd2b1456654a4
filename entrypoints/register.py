"""The best row that no label touched -> a registered model that takes audio."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.cli import entry_point
from genre_vae.config import Given
from genre_vae.options import group

if TYPE_CHECKING:
    from genre_vae.tracking.run import Run


@entry_point("register", *group("data", "run"), "metric", "musicnn_wheel", "workers")
def main(run: Run, given: Given) -> None:
    """Register the best label-free row of the Hard level, or the clustering run that is given.

    A row that labels touched is refused: a new track's genre is what nobody knows.
    """
    from genre_vae import levels

    levels.register_best(run, given)


if __name__ == "__main__":
    main()
