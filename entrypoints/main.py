"""Every level under one run."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from entrypoints.easy import easy
from entrypoints.hard import hard
from entrypoints.medium import medium
from entrypoints.options import CONV, DATA, INPUT, LYRICS, SEEDS, TRAINING, Options, entry_point

if TYPE_CHECKING:
    from genre_vae.tracking import Tracker


@entry_point(
    *(*DATA, *INPUT, "n_clusters", "eps", *LYRICS, "lyrics_weight", *TRAINING, "condition_dim"),
    *(*CONV, "projection", "register", "metric", *SEEDS),
)
def main(tracker: Tracker, options: Options) -> None:
    """Every level in turn, under one run with the best scores on it."""
    outcomes = []
    own = replace(options, beta="auto")  # a number is the BetaVAE's
    levels = {"easy": (easy, own), "medium": (medium, own), "hard": (hard, options)}
    for name, (level, given) in levels.items():
        print(f"\n{name} level", flush=True)
        with tracker.group(name) as group:
            outcomes.append(level(group, given))
            group.summary(outcomes[-1:], listed=False)
    tracker.summary(outcomes)


if __name__ == "__main__":
    main()
