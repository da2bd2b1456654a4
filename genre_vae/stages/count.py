"""An input -> how many clusters it has, where neither a person nor the genres say it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import pandas as pd

from genre_vae.clustering import resolve_n_clusters
from genre_vae.config import CountConfig, Counted, Given
from genre_vae.files import write_json
from genre_vae.options import CHOOSE
from genre_vae.records import InputError
from genre_vae.scaling import in_geometry, read
from genre_vae.stages.inputs import Inputs, Source
from genre_vae.tracking.run import Run
from genre_vae.tracking.stage import Recorder, stage

COLUMNS = ("stability", "low", "high", "null", "p", "best_in", "silhouette")


@dataclass(frozen=True, eq=False)
class Count:
    """A number of clusters, and a row for each that was tried: ``n_clusters`` and `COLUMNS`, fields
    of `genre_vae.evaluation.n_clusters.Choice`."""

    counted: Counted
    tried: pd.DataFrame

    def save(self, folder: Path) -> None:
        """Write ``n_clusters.csv`` and ``n_clusters.json``."""
        self.tried.to_csv(folder / "n_clusters.csv", index=False)
        write_json(folder / "n_clusters.json", asdict(self.counted))

    @classmethod
    def load(cls, folder: Path) -> Count:
        """Read what `save` wrote."""
        counted = json.loads((folder / "n_clusters.json").read_text("utf-8"))
        return cls(Counted(**counted), pd.read_csv(folder / "n_clusters.csv"))


@stage("count")
def choose(record: Recorder, source: Source, *, config: CountConfig) -> Count:
    """The number of clusters of an input, one for all methods."""
    from genre_vae.evaluation import n_clusters

    choice = n_clusters.choose(in_geometry(read(source, config.reads)), seed=config.seed)
    counted = Counted(
        choice.n_clusters, "chosen" if choice.clear else "no clear number", choice.why
    )
    tried = {"n_clusters": choice.tried} | {name: getattr(choice, name) for name in COLUMNS}
    table = pd.DataFrame(tried)
    for name in ("stability", "null", "silhouette"):  # curves over the number of clusters
        for number, value in zip(choice.tried.tolist(), getattr(choice, name), strict=True):
            record.metrics({name: value}, step=number)
    record.metrics({"n_clusters": choice.n_clusters})
    record.tags({"n_clusters_by": counted.by, "n_clusters_why": counted.why})
    record.note = counted.why
    return Count(counted, table)


def count(run: Run, given: Given, inputs: Inputs) -> Counted:
    """How many clusters to make: the number given, one for each genre, or what the input has where
    neither a person nor the genres say it.

    There is one number for a collection and an input, whatever methods make of it: rows with
    different numbers could not be compared, by silhouette least of all.

    Raises
    ------
    InputError
        If there are not more tracks than clusters. That is said here, at the door, and not after
        everything was trained.
    """
    features = inputs.features
    asked = given.n_clusters if isinstance(given.n_clusters, int) else None
    if given.n_clusters == CHOOSE or (asked is None and not features.has_labels):
        config = CountConfig(inputs.reads, given.seed)
        title = f"clusters in {inputs.reads}"
        return run.do(choose, inputs.vectors, config=config, title=title).value.counted
    number = resolve_n_clusters(asked, features)
    if number >= len(features):
        raise InputError(
            f"n_clusters={number} with {len(features)} tracks: at most {len(features) - 1}"
        )
    return Counted(asked, "genres" if asked is None else "given")
