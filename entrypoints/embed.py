"""Vectors of every track: a pretrained tagger's, or a file's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.cli import entry_point
from genre_vae.config import Given
from genre_vae.options import group

if TYPE_CHECKING:
    from genre_vae.tracking.run import Run


@entry_point("embed", *group("data", "input", "workers"))
def main(run: Run, given: Given) -> None:
    """Vectors of every track: a pretrained tagger's, or those of a file, joined by id and audited.

    Audio features that are not there yet are extracted first.
    """
    from genre_vae.stages.inputs import inputs

    inputs(run, given)


if __name__ == "__main__":
    main()
