"""Audio files -> MFCC statistics and mel windows, once for every later stage."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.cli import entry_point
from genre_vae.config import Given
from genre_vae.options import group

if TYPE_CHECKING:
    from genre_vae.tracking.run import Run


@entry_point("features", *group("data", "workers"))
def main(run: Run, given: Given) -> None:
    """Extract MFCC statistics and mel windows from a folder of audio, in one pass.

    Files that cannot be used are listed in skipped.csv with the reason.
    """
    from genre_vae.stages.collect import collect

    collect(run, given)


if __name__ == "__main__":
    main()
