"""Lyrics -> an embedding of every track's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.cli import entry_point
from genre_vae.config import Given
from genre_vae.options import group

if TYPE_CHECKING:
    from genre_vae.tracking.run import Run


@entry_point("lyrics", *group("data", "lyrics"), "seed", "workers")
def main(run: Run, given: Given) -> None:
    """Match lyrics to tracks and embed them; report what matched, what is missing, what may leak.

    Audio features that are not there yet are extracted first.
    """
    from genre_vae.stages.collect import collect
    from genre_vae.stages.lyrics import check_lyrics, lyrics

    check_lyrics(given)
    lyrics(run, given, collect(run, given))


if __name__ == "__main__":
    main()
