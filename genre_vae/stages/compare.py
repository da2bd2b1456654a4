"""Finished clustering runs in the tracking store -> a level's table, and every metric of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from genre_vae import methods
from genre_vae.collection.catalog import Catalog
from genre_vae.config import TableConfig
from genre_vae.evaluation import table as tables
from genre_vae.evaluation.table import Row
from genre_vae.records import InputError
from genre_vae.stages.cluster import Clustering
from genre_vae.stages.collect import Collection
from genre_vae.tracking import cache
from genre_vae.tracking.run import Run
from genre_vae.tracking.stage import Artifact, Recorder, stage

NAMES = tuple((method.key, method.medium) for method in methods.ALL if method.medium)

MAKERS = ": the entry points cluster, easy, medium and hard make some"


@dataclass(frozen=True)
class Rows:
    """Rows as the store has them. Their content is their fingerprint, so that the code which makes
    rows of runs counts as well."""

    rows: tuple[Row, ...]

    @property
    def fingerprint(self) -> str:
        """A hash of all rows."""
        return cache.digest(repr(cache.plain(self.rows)))


@dataclass(frozen=True, eq=False)
class Table:
    """A table, best row first, and the same in Markdown; `stem` is the name of both files."""

    stem: str
    frame: pd.DataFrame
    text: str

    def save(self, folder: Path) -> None:
        """Write ``<stem>.csv`` and ``<stem>.md``."""
        self.frame.to_csv(folder / f"{self.stem}.csv", index=False)
        (folder / f"{self.stem}.md").write_text(self.text, "utf-8")

    @classmethod
    def load(cls, folder: Path) -> Table:
        """Read what `save` wrote."""
        (path,) = folder.glob("*.md")
        frame = pd.read_csv(path.with_suffix(".csv"))
        return cls(path.stem, frame, path.read_text("utf-8"))


def rows_of(
    run: Run, dataset: Catalog, clusterings: Sequence[Artifact[Clustering]] | None = None
) -> list[Row]:
    """The rows of clustering runs of a dataset, the newest first, asked of the store once: of all,
    or of those given."""
    ids = None if clusterings is None else [one.run_id for one in clusterings]
    found = run.finished("cluster", dataset, ids)
    return [
        Row.of(one.info.run_id, one.data.metrics, one.data.tags, one.data.params) for one in found
    ]


@stage("compare")
def rank(
    record: Recorder, rows: Rows, clusterings: Sequence[Clustering], *, config: TableConfig
) -> Table:
    """A level's table, which differences from its first row (and from that named `against`) are
    more than noise, and for hard a chart. `clusterings` are those of the rows, in their order."""
    from genre_vae.evaluation.differences import Resampled, differences
    from genre_vae.report import charts, markdown

    frame = tables.table(rows.rows, level=config.level, names=dict(config.names))
    text = markdown.markdown(frame)
    resampled = {
        row.run_id: Resampled(one.assignment, one.halves)
        for row, one in zip(rows.rows, clusterings, strict=True)
    }
    ranked = frame[frame["rank"].notna() & frame["ami"].notna()]
    for group in tables.compared(ranked):
        found = differences([resampled[run_id] for run_id in group["run_id"]])
        text += f"\n{markdown.statement(found)}\n"
    if config.against is not None:
        others = [run_id for run_id in ranked["run_id"] if run_id != config.against]
        asked = [resampled[run_id] for run_id in (config.against, *others)]
        found = differences(asked, planned=True)
        record.tags({"against/method": asked[0].assignment.name, "against/run_id": config.against})
        text += f"\n{markdown.statement(found, planned=True)}\n"
    stem = stem_of(config.level)
    if config.level == "hard":
        chart = charts.comparison_chart(
            frame,
            metric=tables.ranking_metric(frame),
            title=f"Methods compared, {config.collection}",
        )
        record.figure(f"{stem}.png", chart)
    best = tables.best(frame)
    if best is not None:
        defined = best[list(tables.METRICS)].dropna()
        record.metrics({f"best/{name}": value for name, value in defined.items()})
        record.tags({"best/method": best["method"], "best/run_id": best["run_id"]})
        lines = markdown.followed(frame)
        text += "".join(f"\n{line[0].upper()}{line[1:]}.\n" for line in lines)
        record.note = "\n".join([f"best: {best['method']}", *lines])
    return Table(stem, frame, text)


@stage("evaluate")
def score(
    record: Recorder,
    audio: Collection,
    rows: Rows,
    clusterings: Sequence[Clustering],
    *,
    config: TableConfig,
) -> Table:
    """Every metric of some clusterings, in the order of the rows.

    Where the collection has faulty or repeated tracks, the AMI without them stands beside it.
    """
    from genre_vae.evaluation.differences import ami_without
    from genre_vae.report import markdown

    frame = tables.table(rows.rows, level=config.level, names=dict(config.names))
    text = markdown.markdown(frame)
    assignments = {
        row.run_id: one.assignment for row, one in zip(rows.rows, clusterings, strict=True)
    }
    faulty = audio.faults["track_id"]
    frame["ami_without_faults"] = [
        ami_without(assignments[run_id], faulty.tolist()) for run_id in frame["run_id"]
    ]
    record.note = f"{len(frame)} clusterings"
    if len(faulty) and frame["ami_without_faults"].notna().any():
        effect = markdown.effect(frame, n_faults=faulty.nunique())
        text += f"\n{effect}\n"
        record.note += f"\n{effect}"
    return Table("hard_task_metrics", frame, text)


def stem_of(level: str) -> str:
    """The name, without suffix, of a level's table: the seed's names."""
    return "hard_task_comparison" if level == "hard" else f"{level}_task_metrics"


def compare(
    run: Run,
    level: str,
    dataset: Catalog,
    rows: Sequence[Row],
    clusterings: Sequence[Artifact[Clustering]] = (),
    *,
    against: str = "",
) -> Artifact[Table]:
    """The table of a level.

    Parameters
    ----------
    rows
        The table's, from `rows_of`.
    clusterings
        Their runs, as far as they are at hand; the others are found again.
    against
        The name of a row (`genre_vae.evaluation.table.named`) to compare the others with, beside
        the first; "" for none.
    """
    if not rows:
        raise InputError(
            f"no finished {level} clustering of {dataset.folder} in the tracking store: "
            f"run the entry point {level} first"
        )
    ordered = sorted(rows, key=lambda row: row.run_id)
    named = tables.named(ordered, against).run_id if against else None
    config = TableConfig(level, dataset.name, NAMES, named)
    found = _found(run, dataset, ordered, clusterings)
    found_table = run.do(rank, Rows(tuple(ordered)), found, config=config, title=f"{level} table")
    print(f"\n{found_table.value.text}")
    return found_table


def evaluate(
    run: Run,
    audio: Artifact[Collection],
    rows: Sequence[Row],
    clusterings: Sequence[Artifact[Clustering]] = (),
) -> Artifact[Table]:
    """Every metric of some clusterings in one table; parameters as for `compare`."""
    found = _found(run, audio.dataset, rows, clusterings)
    config = TableConfig("hard", audio.dataset.name, NAMES)
    title = f"{len(rows)} clusterings"
    return run.do(score, audio, Rows(tuple(rows)), found, config=config, title=title)


def clusterings_of(
    run: Run, dataset: Catalog, run_id: str | None
) -> tuple[list[Row], list[Artifact[Clustering]]]:
    """The rows and the artifacts of one clustering run, by its id, or of all of a dataset.

    Raises
    ------
    InputError
        If there is none, or the run clusters nothing.
    """
    if run_id is None:
        rows = rows_of(run, dataset)
        if not rows:
            raise InputError(f"no finished clustering run{MAKERS}")
        return rows, _found(run, dataset, rows, [])
    found = run.find(run_id, dataset)
    if found.stage.name != "cluster":
        raise InputError(f"run {found.run_id} clusters nothing{MAKERS}")
    return rows_of(run, dataset, [found]), [found]


def _found(
    run: Run, dataset: Catalog, rows: Sequence[Row], known: Sequence[Artifact[Clustering]]
) -> list[Artifact[Clustering]]:
    by_id = {one.run_id: one for one in known}
    return [by_id.get(row.run_id) or run.find(row.run_id, dataset) for row in rows]
