"""Features -> an embedding: a baseline, or a model trained once per seed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from entrypoints.cli import entry_point
from genre_vae.config import Given
from genre_vae.options import group

if TYPE_CHECKING:
    from genre_vae.tracking.run import Run


@entry_point(
    "train",
    *(*group("data", "input", "model"), "n_clusters", *group("training", "condition")),
    *group("convolutions", "seeds", "workers"),
)
def main(run: Run, given: Given) -> None:
    """Train a model on a collection's features and embed the collection with it.

    Features that are not there yet are extracted first. A killed training continues where it
    stopped when the same command is given again.
    """
    from genre_vae.stages.inputs import inputs
    from genre_vae.stages.train import train

    train(run, given, inputs(run, given), *given.single())


if __name__ == "__main__":
    main()
