"""Every level under one run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.easy import easy
from entrypoints.medium import medium
from entrypoints.options import CONV, LYRICS, SEEDS, TRAINING, Options, entry_point

if TYPE_CHECKING:
    from genre_vae.tracking import Tracker


@entry_point(
    *("data", "n_clusters", "eps", *LYRICS, "lyrics_weight", *TRAINING, *CONV, *SEEDS),
)
def main(tracker: Tracker, options: Options) -> None:
    """Every level in turn, under one run with the best scores on it."""
    outcomes = []
    for name, level in (("easy", easy), ("medium", medium)):
        with tracker.group(name) as group:
            outcomes.append(level(group, options))
            group.summary(outcomes[-1:])
    tracker.summary(outcomes)


if __name__ == "__main__":
    main()
