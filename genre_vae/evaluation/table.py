"""Scored clusterings -> one tidy table per level.

A row is a method: the mean over seeds of each metric with its 95 % interval over seeds and tracks,
its chance level, and how far labels reached into it. Rows whose values labels touched are oracle
rows: they stand below the ranking and have no rank.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, fields

import numpy as np
import pandas as pd

from genre_vae.evaluation.metrics import CHANCE, GROUPS, INTERNAL, LABEL
from genre_vae.records import InputError, LabelUse

# The seed's columns, so that its readers still work; ours follow, the same in every level.
SEED_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "easy": ("method", "silhouette", "calinski_harabasz"),
    "medium": (
        *("dataset", "algorithm", "n_samples", "n_features"),
        *("silhouette", "calinski_harabasz", "davies_bouldin", "adjusted_rand"),
    ),
    "hard": ("method", "n_samples", "n_clusters", "silhouette", "nmi", "ari", "purity"),
}
METRICS = (*INTERNAL, *LABEL)
ENDS = ("low", "high", "seeds", "tracks")  # fields of `genre_vae.evaluation.intervals.Interval`
COLUMNS = (
    *METRICS,
    *(f"{metric}_{end}" for metric in METRICS for end in ENDS),
    *("method", *CHANCE, "noise", "n_samples", "n_clusters", "n_clusters_by", "n_clusters_why"),
    *(f"ami_{group}" for group in GROUPS),
    *("nmi_source", "nmi_source_chance", "seeds"),
    *("input", "origin", "provenance", "label_use", "rank", "rank_in_origin", "run_id"),
)
RANKED_BY = ("ami", "silhouette")  # the first that is defined in any row: genres may be unknown
SETTINGS = ("seeds", "seed", "n_clusters")  # params that the rows of a table should share


@dataclass(frozen=True)
class Description:
    """What a clustering is of. Its fields are tags of the clustering's run.

    Parameters
    ----------
    method
        The name of the row, e.g. ``"VAE + k-means"``.
    model
        The key of the model whose embedding was clustered, e.g. ``"conv_vae"``.
    algorithm
        One of `genre_vae.clustering.ALGORITHMS`.
    reads
        The input that the model saw, e.g. ``"mfcc"``.
    input
        Every modality in the values, joined by `` + ``.
    origin
        ``"scratch"``, or ``"pretrained"`` where a model trained on other data had a part.
    provenance
        Where a pretrained input comes from, in a sentence.
    label_use
        How far labels reached into the values.
    n_clusters_by
        What the number of clusters was taken from: ``"given"``, ``"genres"``, ``"chosen"`` from the
        values, ``"no clear number"`` where they have none, or the ``"clusterer"`` found it itself.
    n_clusters_why
        Why that number was chosen, in a sentence; "" for what was not.
    """

    method: str
    model: str
    algorithm: str
    reads: str
    input: str
    origin: str
    provenance: str
    label_use: LabelUse
    n_clusters_by: str = ""
    n_clusters_why: str = ""

    def tags(self) -> dict[str, str]:
        """The fields as text, by their names."""
        return {field.name: str(getattr(self, field.name)) for field in fields(self)}

    @classmethod
    def of(cls, tags: Mapping[str, str]) -> Description:
        """Read what `tags` wrote, among any other tags.

        A missing tag becomes ``""``: runs of an earlier version lack some. A label use that is not
        known is taken for the highest, so that the row cannot rank. The model that such a version
        calls ``spectral`` is ``raw``.
        """
        model = tags.get("model", "")
        return cls(
            method=tags.get("method", ""),
            model="raw" if model == "spectral" else model,
            algorithm=tags.get("algorithm", ""),
            reads=tags.get("reads", ""),
            input=tags.get("input", ""),
            origin=tags.get("origin", ""),
            provenance=tags.get("provenance", ""),
            label_use=LabelUse[tags.get("label_use", str(LabelUse.FEATURE)).upper()],
            n_clusters_by=tags.get("n_clusters_by", ""),
            n_clusters_why=tags.get("n_clusters_why", ""),
        )


@dataclass(frozen=True)
class Row:
    """A finished clustering run, scored.

    Parameters
    ----------
    run_id
        The id of the run.
    about
        What was clustered, and how.
    metrics
        Means over seeds of `METRICS`, their ``<metric>_<end>`` for each of `ENDS`, and the other
        numbers of a table's columns. One that is missing is nan in the table.
    seeds
        Number of members behind the means.
    settings
        The run's params `SETTINGS`, None where it has none of that name.
    """

    run_id: str
    about: Description
    metrics: Mapping[str, float]
    seeds: int
    settings: tuple[str | None, ...]

    @classmethod
    def of(
        cls,
        run_id: str,
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
        params: Mapping[str, str],
    ) -> Row:
        """A row from what the tracking store has of a run; the param ``seeds`` is a number."""
        settings = tuple(params.get(name) for name in SETTINGS)
        return cls(run_id, Description.of(tags), metrics, int(params["seeds"]), settings)

    def metric(self, name: str) -> float:
        """A metric's value, nan where it is missing."""
        return self.metrics.get(name, float("nan"))


def table(rows: Sequence[Row], *, level: str, names: Mapping[str, str]) -> pd.DataFrame:
    """One line for each row, best first, oracle rows last.

    Parameters
    ----------
    rows
        At least one, in any order: it does not change the table.
    level
        A key of `SEED_COLUMNS`, which says what the table begins with.
    names
        Model key -> what the seed's ``dataset`` column calls it. A model without a name has none.

    Returns
    -------
    DataFrame
        ``rank`` is 1 for the best row that no label touched and <NA> for oracle rows;
        ``rank_in_origin`` counts rows from scratch and rows with a pretrained part apart. Numbers
        are numbers: `genre_vae.report.markdown` formats them.
    """
    columns = list(dict.fromkeys([*SEED_COLUMNS[level], *COLUMNS]))
    frame = pd.DataFrame(
        [
            {**row.metrics, **row.about.tags(), "seeds": row.seeds, "run_id": row.run_id}
            for row in rows
        ]
    )
    frame["dataset"] = frame["model"].map(names)
    frame = frame.assign(adjusted_rand=frame.get("ari")).reindex(columns=columns)
    for count in {"n_samples", "n_features", "seeds"} & set(columns):
        frame[count] = frame[count].astype("Int64")
    ranked = frame["label_use"] == str(LabelUse.NONE)
    by = ranking_metric(frame)
    order = frame.assign(oracle=~ranked, score=-frame[by]).sort_values(
        ["oracle", "score", "method", "run_id"], kind="stable"
    )
    frame = frame.loc[order.index].reset_index(drop=True)
    ranks = np.arange(1, len(frame) + 1)
    frame["rank"] = pd.Series(ranks, dtype="Int64").where(ranks <= ranked.sum())
    frame["rank_in_origin"] = frame.groupby("origin", dropna=False)["rank"].rank().astype("Int64")
    return frame


def newest(
    rows: Sequence[Row], *, models: Collection[str], algorithms: Collection[str]
) -> list[Row]:
    """The newest row of each method on each input.

    Parameters
    ----------
    rows
        The newest first.
    models, algorithms
        Which to take: rows of another model or clusterer are left out.

    Returns
    -------
    list of Row
        One for each model, input and algorithm: the first with the settings of the newest row, or
        where no row has them, the first.
    """
    own = [row for row in rows if row.about.model in models and row.about.algorithm in algorithms]
    alike = [row for row in own if row.settings == own[0].settings]
    found: dict[tuple[str, str, str], Row] = {}
    for row in [*alike, *own]:
        found.setdefault((row.about.model, row.about.reads, row.about.algorithm), row)
    return list(found.values())


def ranking_metric(frame: pd.DataFrame) -> str:
    """The metric that ranks a table: AMI where genres are known (it is 0 by chance), else
    silhouette."""
    return next((m for m in RANKED_BY if frame[m].notna().any()), RANKED_BY[-1])


def best(frame: pd.DataFrame) -> pd.Series | None:
    """The first ranked row of a table, or None where every row is an oracle."""
    ranked = frame[frame["rank"].notna()]
    return None if ranked.empty else ranked.iloc[0]


def compared(ranked: pd.DataFrame) -> list[pd.DataFrame]:
    """Row groups whose best row is compared with the rest: all ranked rows, and also the
    from-scratch rows if the best row is pretrained.

    Parameters
    ----------
    ranked
        The rows of a table that have a rank, best first.

    Returns
    -------
    list of DataFrame
        Groups of two rows or more.
    """
    groups = [ranked]
    if len(ranked) and ranked["origin"].iloc[0] == "pretrained":
        groups.append(ranked[ranked["origin"] == "scratch"])
    return [group for group in groups if len(group) > 1]


def named(rows: Sequence[Row], name: str) -> Row:
    """The row that a person names, to compare the others with.

    Parameters
    ----------
    rows
        Those of a table. Only rows that rank, with a defined AMI, can be meant.
    name
        A row's ``method`` (``"PCA + k-means"``), the same without its clusterer (``"PCA"``), or the
        key of its model (``"pca"``). The first of the three that any row has is taken.

    Raises
    ------
    InputError
        If no row is meant, or more than one.
    """
    free = [row for row in rows if row.about.label_use == LabelUse.NONE]
    free = sorted((row for row in free if np.isfinite(row.metric("ami"))), key=_method)
    meanings: Sequence[Callable[[Row], str]] = (_method, _title, lambda row: row.about.model)
    found = next((meant for of in meanings if (meant := [r for r in free if of(r) == name])), [])
    if len(found) == 1:
        return found[0]
    listed = "; ".join(_method(row) for row in found or free)
    if found:
        raise InputError(f"against={name} is more than one row: name one of {listed}")
    keys = ", ".join(sorted({row.about.model for row in free}))
    there = f"there are {listed} (by key: {keys})" if free else "there is none"
    raise InputError(f"against={name} is no ranked row with an AMI: {there}")


def _method(row: Row) -> str:
    return row.about.method


def _title(row: Row) -> str:
    return row.about.method.removesuffix(f" + {row.about.algorithm}")


def champion(
    rows: Sequence[Row], *, metric: str | None, unservable: Callable[[Row], str | None]
) -> tuple[Row, list[str], str]:
    """The best row that no label touched and that can serve.

    Parameters
    ----------
    rows
        Those to choose from; of equal ones the first is taken.
    metric
        One of `METRICS`, of which Davies-Bouldin is best when low. None takes AMI, or silhouette
        where no genres are known.
    unservable
        Says why a registered model cannot be made of a row; None where it can.

    Returns
    -------
    row
        The champion.
    passed
        A line for every better row that was passed over.
    metric
        The metric that chose.

    Raises
    ------
    InputError
        If there is no such row, or the metric is not defined for any.
    """
    free = [row for row in rows if row.about.label_use == LabelUse.NONE]
    if metric is None:
        defined_in_any = (m for m in RANKED_BY if any(np.isfinite(row.metric(m)) for row in free))
        metric = next(defined_in_any, RANKED_BY[0])
    sign = -1 if metric == "davies_bouldin" else 1
    scored = [(sign * row.metric(metric), row) for row in free if np.isfinite(row.metric(metric))]
    passed: list[str] = []
    for _, row in sorted(scored, key=lambda one: -one[0]):
        reason = unservable(row)
        if reason is None:
            return row, passed, metric
        score = f"{metric} {row.metric(metric):.3f}"
        passed.append(f"{row.about.method} ({score}) is passed over: {reason}")
    if passed:
        raise InputError("nothing to register: " + "; ".join(passed))
    raise InputError(f"nothing to register: no row that no label touched has a defined {metric}")


def scores(row: Row) -> dict[str, str]:
    """A row's defined metrics with their intervals, ``seeds`` and ``n_samples``, as text: after the
    interval stands half of that over seeds alone, and over tracks alone."""
    found = {}
    for name in METRICS:
        if np.isfinite(row.metric(name)):
            low, high, seeds, tracks = (row.metric(f"{name}_{end}") for end in ENDS)
            found[name] = f"{row.metric(name):.3f}"
            if np.isfinite([low, high]).all():
                parts = f"seeds ± {seeds:.3f}, tracks ± {tracks:.3f}"
                found[name] += f" [{low:.3f}, {high:.3f}] ({parts})"
    return found | {"seeds": str(row.seeds), "n_samples": f"{row.metric('n_samples'):.0f}"}
