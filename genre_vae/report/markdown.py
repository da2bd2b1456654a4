"""Tables and findings as text for people."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from tabulate import tabulate

from genre_vae.collection.listing import readable
from genre_vae.evaluation.differences import Difference
from genre_vae.evaluation.intervals import ALPHA, MIN_SEEDS
from genre_vae.evaluation.metrics import CHANCE
from genre_vae.evaluation.table import METRICS, ranking_metric
from genre_vae.records import IntArray, StrArray

LONGEST = 60  # characters of a file's name in a table
SHOWN = ("ami", "nmi", "ari", "purity", "silhouette", "calinski_harabasz")  # metrics, in order


def markdown(frame: pd.DataFrame) -> str:
    """A table of `genre_vae.evaluation.table` with notes on how to read it.

    A metric is ``mean ± half the interval (chance)``, the interval over seeds and tracks together.
    Columns that are nan throughout, or whose rows are all alike, are left out.
    """
    shown = [metric for metric in SHOWN if frame[metric].notna().any()]
    both = frame["origin"].nunique() > 1
    headers = {
        "rank": "rank",
        "method": "method",
        **{metric: metric.replace("_", " ") for metric in shown},
        "n_samples": "tracks",
        "n_clusters": "clusters",
        **({"noise": "noise"} if frame["noise"].gt(0).any() else {}),
        "seeds": "seeds",
        **({"input": "input"} if frame["input"].nunique() > 1 else {}),
        **({"origin": "origin", "rank_in_origin": "rank in origin"} if both else {}),
        "label_use": "label use",
        **({"run_id": "run"} if frame["method"].duplicated().any() else {}),
    }
    cells = [[_cell(row, column) for column in headers] for _, row in frame.iterrows()]
    text = _pipe(cells, list(headers.values()))
    notes = []
    ranking = ranking_metric(frame)
    has_interval = frame[[f"{metric}_low" for metric in shown]].notna()
    deterministic = frame["seeds"].eq(1) & frame[f"{ranking}_seeds"].eq(0)
    if has_interval.to_numpy().any():
        cut = any("[" in cell for row in cells for cell in row)
        ends = "; in brackets are its ends, where the metric's range cuts it" * cut
        notes.append(f"± is half the 95 % interval over seeds and tracks together{ends}.")
    few = frame["seeds"][frame["seeds"].lt(MIN_SEEDS) & ~deterministic]
    if len(few):
        counts = " or ".join(str(count) for count in sorted(few.unique()))
        notes.append(f"{counts} seed{'s' * bool(few.max() > 1)}: too few for an interval.")
    if (frame[f"{ranking}_tracks"].isna() & frame[ranking].notna()).any():
        notes.append("Rows without ±: too few tracks for halves of them to be clustered.")
    if ranking == "ami":
        notes.append("Ranked by AMI. In parentheses what chance gives (AMI and ARI: 0).")
        notes.append(
            "Silhouette and Calinski-Harabasz compare clusterings of one representation, "
            "not representations."
        )
    else:
        notes.append(
            "Fewer than two genres are known, so rows are in the order of silhouette. It compares "
            "clusterings of one representation: across rows it is a weak guide."
        )
    notes += [f"{why}." for why in frame["n_clusters_why"].dropna().unique() if why]
    repeated = frame["seeds"][frame["seeds"] > 1]
    if deterministic.any():
        notes.append("Rows with 1 seed are deterministic: their ± is over tracks alone.")
    if repeated.nunique() > 1 or frame["n_samples"].nunique() > 1:
        notes.append("Rows differ in seeds or tracks: compare them with care.")
    if frame["origin"].eq("pretrained").any():
        notes.append(
            "Origin: trained from scratch on these tracks alone, or with a part trained on other "
            "data. Label use is about the genres of this collection."
        )
        notes += [f"Input: {text}." for text in frame["provenance"].dropna().unique() if text]
    if frame["rank"].isna().any():
        notes.append("Rows without a rank are oracles: labels reached into their values.")
    return text + "\n\n" + "\n".join(notes) + "\n"


def _cell(row: pd.Series, column: str) -> str:
    value = row[column]
    if pd.isna(value):
        return "oracle" if column == "rank" else ""
    if column == "run_id":
        return str(value)[:8]
    if column not in METRICS:
        return f"{value:.3g}" if isinstance(value, float) else str(value)
    digits = 1 if column == "calinski_harabasz" else 3
    text = f"{round(value, digits) + 0.0:.{digits}f}"  # a tiny negative one is 0.000, not -0.000
    low, high = row[f"{column}_low"], row[f"{column}_high"]
    if pd.notna(low):
        cut = not np.isclose(high - value, value - low, rtol=0, atol=1e-9)
        half = (high - low) / 2
        text += f" [{low:.{digits}f}, {high:.{digits}f}]" if cut else f" ± {half:.{digits}f}"
    if f"{column}_chance" in CHANCE:
        text += f" ({row[f'{column}_chance']:.3f})"
    return text


def statement(found: Sequence[Difference], *, planned: bool = False) -> str:
    """What differences in AMI allow to be said, in words.

    Parameters
    ----------
    found
        All with the same `method`; empty where nothing could be compared.
    planned
        As for `genre_vae.evaluation.differences.differences`.
    """
    if not found:
        return (
            "No row is compared with another: it takes two ranked rows, and so many tracks that "
            "half of them can be clustered."
        )
    first = found[0].method
    most = max(one.n_samples for one in found)

    def listed(some: Sequence[Difference]) -> str:
        return "; ".join(
            f"{one.other} ({one.difference:+.2f} [{one.low:+.2f}, {one.high:+.2f}]"
            + (f", on the {one.n_samples} tracks that both have)" if one.n_samples < most else ")")
            for one in some
        )

    noise = [one for one in found if one.within_noise]
    beyond = [one for one in found if not one.within_noise]
    lines = []
    if beyond:
        lines.append(f"AMI tells **{first}** apart from {listed(beyond)}.")
    if noise:
        lines.append(f"Within noise of **{first}**: {listed(noise)}.")
    over = "over which tracks there are"
    if min(one.seeds for one in found) > 1:
        over = f"over seeds (paired) and {over}"
    family = (
        f"for these {len(found)} comparisons together (Bonferroni). They were asked for by name: "
        "that was right if it was before the scores were seen."
        if planned
        else "for all pairs of these rows together (Bonferroni), since the first row was chosen by "
        "the same scores. The others were not compared with each other."
    )
    lines.append(f"In brackets: {1 - ALPHA:.0%} intervals {over}, {family}")
    if planned:
        lines[0] = f"Asked beforehand: {lines[0]}"
    return "\n\n".join(lines)


def effect(frame: pd.DataFrame, *, n_faults: int) -> str:
    """What faulty or repeated tracks do to the AMI, in words.

    Parameters
    ----------
    frame
        A table of `genre_vae.evaluation.table` with the column ``ami_without_faults``.
    n_faults
        Number of such tracks.
    """
    if frame["rank"].notna().any():
        frame = frame[frame["rank"].notna()]
    change = (frame["ami_without_faults"] - frame["ami"]).to_numpy(dtype=np.float64)
    most = int(np.nanargmax(np.abs(change)))
    return (
        f"{n_faults} track{'s' * (n_faults > 1)} in GTZAN's list of faults or repeating another "
        f"(faults.csv). Without them, the clusters as they are, AMI changes by "
        f"{np.nanmean(change):+.3f} on average over the ranked rows and by {change[most]:+.3f} "
        f"at most ({frame['method'].iloc[most]})."
    )


def followed(frame: pd.DataFrame) -> list[str]:
    """What the clusters of a table's first row follow beside the genre: a sentence each, where
    artists or albums are known or recordings end at different frequencies.

    Parameters
    ----------
    frame
        A table, best row first.
    """
    best = frame.iloc[0]
    lines = []
    known = [group for group in ("artist", "album") if np.isfinite(best[f"ami_{group}"])]
    if known:
        parts = [f"the {group} by AMI {best[f'ami_{group}']:.3f}" for group in known]
        genre = f", the genre by {best['ami']:.3f}" if np.isfinite(best["ami"]) else ""
        lines.append(f"the clusters of {best['method']} follow {' and '.join(parts)}{genre}")
    if np.isfinite(best["nmi_source"]):
        lines.append(
            f"caution: recordings end at different frequencies, and the clusters of "
            f"{best['method']} follow that with NMI {best['nmi_source']:.3f} "
            f"(by chance {best['nmi_source_chance']:.3f})"
        )
    return lines


def sweep_markdown(frame: pd.DataFrame) -> str:
    """A sweep over beta. It has no ranks: choosing a beta by AMI is choosing it by the labels.

    Parameters
    ----------
    frame
        Rows of `genre_vae.evaluation.table` with the columns ``beta``, ``val_reconstruction`` and
        ``val_kl``.
    """
    headers = ("beta", "ami", "nmi", "silhouette", "reconstruction", "KL, not weighed")
    cells = [
        (
            f"{row['beta']:g}",
            *(_cell(row, metric) for metric in ("ami", "nmi", "silhouette")),
            *(f"{row[loss]:.2f}" for loss in ("val_reconstruction", "val_kl")),
        )
        for _, row in frame.iterrows()
    ]
    return _pipe(cells, headers) + "\n"


def audit_markdown(frame: pd.DataFrame) -> str:
    """The audits of a collection's modalities: a row each, and the reasons below.

    Parameters
    ----------
    frame
        The fields of `genre_vae.evaluation.audit.Audit` and ``modality``.
    """

    def tested(value: float, chance: float, p: float) -> str:
        return "" if np.isnan(p) else f"{value:.2f} ({chance:.2f}), p = {p:.3f}"

    def read(row: Mapping[Hashable, Any], name: str) -> str:
        value, chance = row[name], row[f"{name}_chance"]
        return "" if np.isnan(value) else f"{value:.2f} ({chance:.2f})"

    columns: dict[str, Callable[[Mapping[Hashable, Any]], str]] = {
        "modality": lambda row: row["modality"],
        "verdict": lambda row: row["verdict"],
        "genre read": lambda row: tested(row["probe"], row["probe_chance"], row["probe_p"]),
        "tied to the audio": lambda row: tested(
            row["alignment"], row["alignment_chance"], row["alignment_p"]
        ),
        "order out": lambda row: "" if np.isnan(row["order_p"]) else f"p = {row['order_p']:.3f}",
        "repeated": lambda row: f"{row['repeated']:.0%}",
        "kNN": lambda row: read(row, "knn"),
        "kNN, other artists": lambda row: read(row, "knn_filtered"),
    }
    rows = frame.to_dict("records")
    filled = {name: [cell(row) for row in rows] for name, cell in columns.items()}
    shown = [name for name, cells in filled.items() if any(cells)]
    text = _pipe(list(zip(*(filled[name] for name in shown), strict=True)), shown)
    reasons = [f"- {row['modality']}: **{row['verdict']}**: {row['reason']}." for row in rows]
    return f"{text}\n\nIn parentheses what chance gives.\n\n" + "\n".join(reasons) + "\n"


def cluster_table(
    labels: StrArray, clusters: IntArray, tags: Sequence[Sequence[str]]
) -> pd.DataFrame:
    """A row for each cluster: its size, its most frequent genre with its share, and its tags.

    Parameters
    ----------
    labels : (n,)
        Genres, ``""`` where unknown.
    clusters : (n,)
        Numbers from 0 without gaps.
    tags
        The tagger's words for each cluster.
    """
    rows = []
    for cluster, own in enumerate(tags):
        genres = pd.Series(labels[clusters == cluster])
        shares = genres[genres != ""].value_counts(sort=True) / len(genres)
        rows.append(
            {
                "cluster": cluster,
                "tracks": len(genres),
                "genre": shares.index[0] if len(shares) else "",
                "genre_share": shares.iloc[0] if len(shares) else np.nan,
                "words": ", ".join(own),
            }
        )
    return pd.DataFrame(rows)


def clusters_markdown(frame: pd.DataFrame, *, title: str) -> str:
    """A `cluster_table` below its title."""
    cells = [
        (
            row.cluster,
            row.tracks,
            f"{row.genre} ({row.genre_share:.0%})" * bool(row.genre),
            row.words,
        )
        for row in frame.itertuples()
    ]
    headers = ("cluster", "tracks", "most of them", "in the tagger's words")
    return f"{title}\n\n" + _pipe(cells, headers) + "\n"


def placed_table(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Answers of a registered model, a row each and a column for each of their numbers.

    Parameters
    ----------
    records
        Answers of the model, each with its ``file``. Neighbours and latent codes are spread over
        columns of their own.
    """
    rows = []
    for record in records:
        row = {"file": record["file"], "error": record.get("error")}
        row |= {k: v for k, v in record.items() if k not in ("neighbours", "latent")}
        for place, near in enumerate(record.get("neighbours", []), 1):
            row |= {f"neighbour_{place}": near["track_id"], f"genre_{place}": near["genre"]}
            row |= {f"distance_{place}": near["distance"]}
        row |= {f"z{number}": value for number, value in enumerate(record.get("latent", []))}
        rows.append(row)
    frame = pd.DataFrame(rows)
    return frame.assign(cluster=frame["cluster"].astype("Int64")) if "cluster" in frame else frame


def placed_markdown(records: Sequence[Mapping[str, Any]]) -> str:
    """Answers of a registered model, a row each.

    Parameters
    ----------
    records
        As for `placed_table`.
    """
    headers = ["file", "cluster", "genre", "distance", "nearest tracks"]
    tagged = any("words" in record for record in records)
    if tagged:
        headers.insert(3, "in words")
    cells = []
    for record in records:
        file = _short(record["file"]).replace("|", "\\|")
        if "error" in record:
            cells.append((file, "", *[""] * (len(headers) - 3), record["error"]))
            continue
        genre = ""
        if record["genre"] is not None:
            genre = f"{record['genre']} ({record['genre_share']:.0%} of the cluster)"
        far = ", unlike anything here" if record["unlike_anything"] else ""
        near = [
            f"{_short(one['track_id'])} ({one['distance']:.3g})" for one in record["neighbours"][:3]
        ]
        distance = f"{record['distance']:.3g}, percentile {record['percentile']:.0f}{far}"
        tags = [", ".join(record["words"])] if tagged else []
        cells.append((file, record["cluster"], genre, *tags, distance, ", ".join(near)))
    bad = sum("error" in record for record in records)
    placed = f"{len(records) - bad} of {len(records)} files placed"
    return f"{_pipe(cells, headers)}\n\n{placed}{', the others with why' if bad else ''}.\n"


def _short(name: str) -> str:
    """A name on one line, without its middle where it is long."""
    name = readable(name)
    return name if len(name) <= LONGEST else f"{name[: LONGEST // 2]}...{name[-LONGEST // 2 :]}"


def first_member(scores: pd.DataFrame, *, labelled: bool) -> str:
    """How the first member of a clustering scored, in a line.

    Parameters
    ----------
    scores
        A row for each member: ``seed`` and the metrics of `genre_vae.evaluation.metrics.score`.
    labelled
        Whether metrics that need genres are defined.
    """
    first = scores.iloc[0]
    shown = ["silhouette", *(["ami", "ari"] if labelled else [])]
    which = f"seed {first['seed']:.0f}" + f", one of {len(scores)}" * (len(scores) > 1)
    text = f"{which}: " + ", ".join(f"{metric} {first[metric]:.2f}" for metric in shown)
    if labelled:
        text += f", nmi {first['nmi']:.2f} (by chance {first['nmi_chance']:.2f})"
    return text


def _pipe(cells: Sequence[Sequence[object]], headers: Sequence[str]) -> str:
    """A Markdown table; texts that look like numbers stay as they are."""
    return tabulate(cells, headers, tablefmt="pipe", disable_numparse=True)
