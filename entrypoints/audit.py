"""Feature sets -> does each carry the label, and is it tied to the audio?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.cli import entry_point
from genre_vae.config import Given
from genre_vae.options import group

if TYPE_CHECKING:
    from genre_vae.tracking.run import Run


@entry_point("audit", *group("data", "input", "lyrics"), "seed", "workers")
def main(run: Run, given: Given) -> None:
    """Ask of each modality, audio, vectors and lyrics, whether it carries more than the label.

    What is not there yet is made first.
    """
    from genre_vae.stages.audit import audit
    from genre_vae.stages.inputs import inputs
    from genre_vae.stages.lyrics import lyrics

    seen = inputs(run, given)
    found = audit(run, given, seen, lyrics(run, given, seen.audio))
    print("\n" + (found.folder / "audit.md").read_text("utf-8"))


if __name__ == "__main__":
    main()
