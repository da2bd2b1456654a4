"""Features that are kept for all collections on this machine -> less of them."""

from __future__ import annotations

from entrypoints.cli import entry_point_without_run
from genre_vae.config import Given
from genre_vae.options import group


@entry_point_without_run("clean", *group("kept"))
def main(given: Given) -> None:
    """Delete features that are kept for all collections on this machine, those first that were not
    used for longest. They are computed again when they are needed; runs and models stay."""
    from genre_vae.features.kept import default_folder, trim

    root = default_folder()
    deleted, left = trim(root, limit=given.keep_gb * 1e9)
    print(f"{'clean':<10} {deleted / 1e6:.1f} MB deleted, {left / 1e6:.1f} MB left in {root}")


if __name__ == "__main__":
    main()
