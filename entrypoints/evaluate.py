"""Finished clustering runs -> every metric of each, in one table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.cli import entry_point
from genre_vae.config import Given
from genre_vae.options import group

if TYPE_CHECKING:
    from genre_vae.tracking.run import Run


@entry_point("evaluate", *group("data", "run", "workers"))
def main(run: Run, given: Given) -> None:
    """Print and log every metric of a collection's finished clustering runs, or of one of them."""
    from genre_vae.stages.collect import collect
    from genre_vae.stages.compare import clusterings_of, evaluate

    audio = collect(run, given)
    rows, found = clusterings_of(run, audio.dataset, given.run)
    print(f"\n{evaluate(run, audio, rows, found).value.text}")


if __name__ == "__main__":
    main()
