"""The BetaVAE with several weights of the KL term, in one command."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from entrypoints.cluster import cluster, title_of
from entrypoints.embed import inputs
from entrypoints.options import DATA, INPUT, SEEDS, TRAINING, Options, entry_point
from entrypoints.train import train

if TYPE_CHECKING:
    from genre_vae.tracking import Recorder, Tracker


def sweep(tracker: Tracker, options: Options) -> None:
    """Train, cluster and score the BetaVAE once for every beta; a table and a figure of them all,
    ``beta_sweep.csv``, ``.md`` and ``.png``."""
    given = inputs(tracker, options)
    dataset = given.audio.dataset
    embeddings, clusterings = {}, {}
    for beta in sorted(set(map(float, options.betas.split(",")))):
        embedding = train(tracker, replace(options, beta=str(beta)), given, "betavae")
        embeddings[beta] = embedding
        clusterings[beta] = cluster(tracker, options, embedding, variant=f", beta {beta:g}")

    def compute(record: Recorder) -> None:
        import pandas as pd

        from genre_vae.evaluation import comparison
        from genre_vae.report import figures

        scored = tracker.scored(dataset, [run.run_id for run in clusterings.values()])
        rows = {str(row["run_id"]): row for row in scored}
        named = [
            rows[clustering.run_id] | {"method": f"beta {beta:g}"}
            for beta, clustering in clusterings.items()
        ]
        terms = []
        for beta, embedding in embeddings.items():
            history = pd.read_csv(embedding.folder / "history.csv")
            best = history.loc[history.groupby("seed")["val_loss"].idxmin()]
            means = best[["val_reconstruction", "val_kl"]].mean()
            terms.append({"method": f"beta {beta:g}", "beta": beta, **means})
        frame = comparison.table(named, level="hard").merge(pd.DataFrame(terms), on="method")
        frame = frame.sort_values("beta", ignore_index=True)
        frame.to_csv(record.folder / "beta_sweep.csv", index=False)
        (record.folder / "beta_sweep.md").write_text(comparison.sweep_markdown(frame), "utf-8")
        title = f"{title_of(embeddings[min(embeddings)])} + k-means, {dataset.name}"
        record.figure("beta_sweep.png", figures.sweep_chart(frame, title=title))

    stage = tracker.stage(
        "sweep",
        title=f"beta {options.betas}",
        dataset=dataset,
        config={"betas": sorted(embeddings)},
        inputs=[*embeddings.values(), *clusterings.values()],
        compute=compute,
    )
    print("\n" + (stage.folder / "beta_sweep.md").read_text("utf-8"))


@entry_point(
    *(*DATA, *INPUT, "betas", "n_clusters", *(name for name in TRAINING if name != "beta"), *SEEDS),
)
def main(tracker: Tracker, options: Options) -> None:
    """BetaVAE with several betas: what the weight of the KL term does to clusters and loss.

    Choosing a beta by its AMI would be choosing by the labels; the table is there to look at.
    """
    sweep(tracker, options)


if __name__ == "__main__":
    main()
