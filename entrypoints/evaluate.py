"""Finished clustering runs -> every metric of each, in one table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from entrypoints.cluster import assignment_of
from entrypoints.features import features
from entrypoints.options import DATA, Options, entry_point
from genre_vae.evaluation import comparison
from genre_vae.records import InputError

if TYPE_CHECKING:
    from genre_vae.tracking import Recorder, StageRun, Tracker


def evaluate(
    tracker: Tracker, source: StageRun, clusterings: Sequence[StageRun], *, shown: bool = False
) -> StageRun:
    """Scores of clustering runs, as the stage that writes ``hard_task_metrics.csv`` and ``.md``.

    Where the collection has faulty or repeated tracks, the AMI without them stands beside it.
    """

    def compute(record: Recorder) -> None:
        import pandas as pd

        rows = tracker.scored(source.dataset, [run.run_id for run in clusterings])
        frame = comparison.table(rows, level="hard")
        text = comparison.markdown(frame)
        faults = pd.read_csv(source.folder / "faults.csv")
        by_id = {run.run_id: run for run in clusterings}
        without = [
            comparison.ami_without(assignment_of(by_id[run_id]), faults["track_id"].tolist())
            for run_id in frame["run_id"]
        ]
        frame["ami_without_faults"] = without
        record.note = f"{len(frame)} clusterings"
        if len(faults) and frame["ami_without_faults"].notna().any():
            effect = comparison.effect(frame, n_faults=faults["track_id"].nunique())
            text += f"\n{effect}\n"
            record.note += f"\n{effect}"
        frame.to_csv(record.folder / "hard_task_metrics.csv", index=False)
        (record.folder / "hard_task_metrics.md").write_text(text, "utf-8")

    stage = tracker.stage(
        "evaluate",
        title=f"{len(clusterings)} clusterings",
        dataset=source.dataset,
        config={"runs": sorted(run.run_id for run in clusterings)},
        inputs=[source, *clusterings],
        compute=compute,
    )
    if shown:
        print("\n" + (stage.folder / "hard_task_metrics.md").read_text("utf-8"))
    return stage


@entry_point(*DATA, "run", "workers")
def main(tracker: Tracker, options: Options) -> None:
    """Print and log every metric of a collection's finished clustering runs, or of one of them."""
    source = features(tracker, options)
    wanted = [options.run]
    if options.run == "auto":
        wanted = [str(row["run_id"]) for row in tracker.scored(source.dataset)]
    found = [tracker.finished(run_id, source.dataset) for run_id in wanted]
    others = [run.run_id for run in found if run.stage != "cluster"]
    if others or not found:
        what = f"run {others[0]} clusters nothing" if others else "no finished clustering run"
        raise InputError(f"{what}: the entry points cluster, easy, medium and hard make some")
    evaluate(tracker, source, found, shown=True)


if __name__ == "__main__":
    main()
