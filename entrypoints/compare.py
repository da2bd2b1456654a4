"""Finished clustering runs in the tracking store -> one table per level."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.cli import entry_point
from genre_vae.config import Given
from genre_vae.options import group

if TYPE_CHECKING:
    from genre_vae.tracking.run import Run


@entry_point("compare", *group("data", "level", "methods", "against", "workers"))
def main(run: Run, given: Given) -> None:
    """Print and log a level's table from the newest finished runs of its methods, and how each
    compares with one that was named beforehand."""
    from genre_vae import levels
    from genre_vae.stages.collect import catalog_of
    from genre_vae.stages.compare import compare, rows_of

    dataset = catalog_of(run, given)
    rows = levels.in_table(levels.LEVELS[given.level], given, rows_of(run, dataset))
    compare(run, given.level, dataset, rows, against=given.against)


if __name__ == "__main__":
    main()
