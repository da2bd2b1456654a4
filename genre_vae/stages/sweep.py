"""The BetaVAE with several weights of the KL term -> a table and a chart of them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from genre_vae.config import Given, SweepConfig
from genre_vae.embedding import Embedding
from genre_vae.evaluation import table as tables
from genre_vae.methods import BY_KEY
from genre_vae.stages.cluster import Clustering, cluster
from genre_vae.stages.compare import Rows, rows_of
from genre_vae.stages.count import count
from genre_vae.stages.inputs import inputs
from genre_vae.stages.train import train
from genre_vae.tracking.run import Run
from genre_vae.tracking.stage import Artifact, Recorder, stage


@dataclass(frozen=True, eq=False)
class Sweep:
    """A row for each beta: the scores, ``beta``, and the held-out terms of the objective."""

    frame: pd.DataFrame

    def save(self, folder: Path) -> None:
        """Write ``beta_sweep.csv`` and ``beta_sweep.md``."""
        from genre_vae.report import markdown

        self.frame.to_csv(folder / "beta_sweep.csv", index=False)
        (folder / "beta_sweep.md").write_text(markdown.sweep_markdown(self.frame), "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Sweep:
        """Read what `save` wrote."""
        return cls(pd.read_csv(folder / "beta_sweep.csv"))


@stage("sweep")
def tabulate(
    record: Recorder, rows: Rows, embeddings: Sequence[Embedding], *, config: SweepConfig
) -> Sweep:
    """The rows of a sweep by beta, with the terms of the objective at each model's best epoch.

    `rows` and `embeddings` are in the order of the betas.
    """
    from genre_vae.report import charts

    named, terms = [], []
    for beta, row, embedding in zip(config.betas, rows.rows, embeddings, strict=True):
        method = f"beta {beta:g}"
        named.append(replace(row, about=replace(row.about, method=method)))
        assert embedding.folder is not None, "the embedding was loaded from its files"
        history = pd.read_csv(embedding.folder / "history.csv")
        best = history.loc[history.groupby("seed")["val_loss"].idxmin()]
        means = best[["val_reconstruction", "val_kl"]].mean()
        terms.append({"method": method, "beta": beta, **means})
    frame = tables.table(named, level="hard", names={}).merge(pd.DataFrame(terms), on="method")
    frame = frame.sort_values("beta", ignore_index=True)
    record.figure("beta_sweep.png", charts.sweep_chart(frame, title=config.title))
    return Sweep(frame)


def sweep(run: Run, given: Given) -> Artifact[Sweep]:
    """Train, cluster and score the BetaVAE once for every beta."""
    seen = inputs(run, given)
    counted = count(run, given, seen)
    dataset = seen.audio.dataset
    betavae = BY_KEY["betavae"]
    betas = tuple(sorted(set(given.betas)))
    embeddings: list[Artifact[Embedding]] = []
    clusterings: list[Artifact[Clustering]] = []
    for beta in betas:
        embedding = train(run, given, seen, betavae, replace(given.train(betavae), beta=beta))
        embeddings.append(embedding)
        variant = f", beta {beta:g}"
        clusterings.append(cluster(run, given, embedding, "k-means", counted, variant=variant))
    by_id = {row.run_id: row for row in rows_of(run, dataset, clusterings)}
    rows = Rows(tuple(by_id[one.run_id] for one in clusterings))
    title = f"{embeddings[0].value.title} + k-means, {dataset.name}"
    shown = ",".join(f"{beta:g}" for beta in betas)
    return run.do(
        tabulate, rows, embeddings, config=SweepConfig(betas, title), title=f"beta {shown}"
    )
