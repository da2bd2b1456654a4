"""Finished clustering runs in the tracking store -> one table per level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from entrypoints.features import data_folder
from entrypoints.options import Options, entry_point
from genre_vae import comparison
from genre_vae.catalog import Catalog, scan
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

    Its folder holds ``<level>_task_metrics.csv`` and ``.md``.
    """
    rows = tracker.scored(dataset, [run.run_id for run in runs])
    newest = comparison.newest(rows, level=level)
    if not newest:
        raise InputError(
            f"no finished {level} clustering of {dataset.folder} in the tracking store: "
            f"run the entry point {level} first"
        )

    def compute(record: Recorder) -> None:
        frame = comparison.table(newest, level=level)
        frame.to_csv(record.folder / f"{level}_task_metrics.csv", index=False)
        (record.folder / f"{level}_task_metrics.md").write_text(comparison.markdown(frame), "utf-8")
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
        config={"level": level, "runs": sorted(str(row["run_id"]) for row in newest)},
        inputs=runs,
        compute=compute,
    )
    print("\n" + (stage.folder / f"{level}_task_metrics.md").read_text("utf-8"))
    return stage


@entry_point("data", "level", "workers")
def main(tracker: Tracker, options: Options) -> None:
    """Print and log a level's table from the newest finished runs of its methods."""
    catalog = scan(data_folder(options, tracker.root))
    compare(tracker, options.level, catalog)


if __name__ == "__main__":
    main()
