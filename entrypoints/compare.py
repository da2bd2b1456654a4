"""Finished clustering runs in the tracking store -> one table per level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from entrypoints.cluster import assignment_of
from entrypoints.features import catalog_of
from entrypoints.options import DATA, Options, entry_point
from genre_vae.collection.catalog import Catalog
from genre_vae.evaluation import comparison
from genre_vae.records import InputError

if TYPE_CHECKING:
    from genre_vae.tracking import Recorder, StageRun, Tracker


def compare(
    tracker: Tracker, level: str, dataset: Catalog, runs: Sequence[StageRun] = ()
) -> StageRun:
    """The table of a level, queried from the tracking store, as a stage.

    Parameters
    ----------
    level
        Its methods are the rows.
    dataset
        Only its runs are compared.
    runs
        The clustering stages to compare; without them each method's newest finished run.

    Its folder holds `files` with the endings ``.csv`` and ``.md``, and for hard a chart.
    """
    rows = tracker.scored(dataset, [run.run_id for run in runs])
    newest = comparison.newest(rows, level=level)
    if not newest:
        raise InputError(
            f"no finished {level} clustering of {dataset.folder} in the tracking store: "
            f"run the entry point {level} first"
        )
    by_id = {run.run_id: run for run in runs}
    clusterings = {
        str(row["run_id"]): by_id.get(str(row["run_id"]))
        or tracker.finished(str(row["run_id"]), dataset)
        for row in newest
    }

    def compute(record: Recorder) -> None:
        frame = comparison.table(newest, level=level)
        frame.to_csv(record.folder / f"{files(level)}.csv", index=False)
        text = comparison.markdown(frame)
        ranked = frame[frame["rank"].notna() & frame["ami"].notna()]
        for rows in comparison.compared(ranked):
            ordered = [assignment_of(clusterings[run_id]) for run_id in rows["run_id"]]
            text += f"\n{comparison.statement(comparison.differences(ordered))}\n"
        (record.folder / f"{files(level)}.md").write_text(text, "utf-8")
        if level == "hard":
            from genre_vae.report import figures

            chart = figures.comparison_chart(
                frame,
                metric=comparison.ranking_metric(frame),
                title=f"Methods compared, {dataset.name}",
            )
            record.figure(f"{files(level)}.png", chart)
        best = comparison.best(frame)
        if best is not None:
            defined = best[list(comparison.METRICS)].dropna()
            record.metrics({f"best/{name}": value for name, value in defined.items()})
            record.tags({"best/method": best["method"], "best/run_id": best["run_id"]})
            record.note = f"best: {best['method']}"

    stage = tracker.stage(
        "compare",
        title=f"{level} table",
        dataset=dataset,
        config={"level": level, "runs": sorted(clusterings)},
        inputs=[clusterings[run_id] for run_id in sorted(clusterings)],
        compute=compute,
    )
    print("\n" + (stage.folder / f"{files(level)}.md").read_text("utf-8"))
    return stage


def files(level: str) -> str:
    """The name, without ending, of a level's table: the seed's names."""
    return "hard_task_comparison" if level == "hard" else f"{level}_task_metrics"


@entry_point(*DATA, "level", "workers")
def main(tracker: Tracker, options: Options) -> None:
    """Print and log a level's table from the newest finished runs of its methods."""
    compare(tracker, options.level, catalog_of(options, tracker.root))


if __name__ == "__main__":
    main()
