"""Scored clusterings -> one tidy table per level.

A row is a method: the mean over seeds of each metric with its 95 % interval, its chance level,
and how far labels reached into it. Rows whose values labels touched are oracle rows: they stand
below the ranking and have no rank.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from tabulate import tabulate

from genre_vae import clustering
from genre_vae.evaluation.metrics import INTERNAL, LABEL, adjusted_mutual_info, contingency
from genre_vae.records import Assignment, InputError, LabelUse, StrArray

BoolArray = npt.NDArray[np.bool_]

# The seed's columns, so that its readers still work; ours follow, the same in every level.
SEED_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "easy": ("method", "silhouette", "calinski_harabasz"),
    "medium": (
        *("dataset", "algorithm", "n_samples", "n_features"),
        *("silhouette", "calinski_harabasz", "davies_bouldin", "adjusted_rand"),
    ),
    "hard": ("method", "n_samples", "n_clusters", "silhouette", "nmi", "ari", "purity"),
}
# The rows of a level: its models, under the name its table gives them, and its clusterers.
MODELS: Mapping[str, Mapping[str, str]] = {
    "easy": {"pca": "PCA", "autoencoder": "Autoencoder", "vae": "VAE"},
    "medium": {
        "pca": "RawFeatures_PCA",
        "vae": "VAE_Latents",
        "conv_vae": "ConvVAE_Latents",
        "contrastive_vae": "ContrastiveVAE_Latents",
        "contrastive": "ContrastiveEncoder_Latents",
        "vae_lyrics": "VAE+Lyrics",
        "conv_vae_lyrics": "ConvVAE+Lyrics",
    },
    "hard": {
        "pca": "PCA",
        "autoencoder": "Autoencoder",
        "spectral": "Direct spectral",
        "vae": "VAE",
        "betavae": "BetaVAE",
        "conv_vae": "ConvVAE",
        "contrastive_vae": "ConvVAE, contrastive",
        "contrastive": "Contrastive encoder",
        "cvae": "CVAE",
        "cvae_decoder": "CVAE, decoder alone",
        "cvae_clusters": "CVAE on clusters",
        "multimodal": "Multimodal",
        "multimodal_genre": "Multimodal+Genre",
    },
}
ALGORITHMS: Mapping[str, tuple[str, ...]] = {
    "easy": ("k-means",),
    "medium": clustering.ALGORITHMS,
    "hard": ("k-means",),
}
METRICS = (*INTERNAL, *LABEL)
AUDIO_INPUTS = ("mfcc", "mel", "mel, first window", "musicnn")  # can be made of any audio
GROUPS = 20  # of tracks, left out in turn by the jackknife
ALPHA = 0.05  # of a statement about all differences together
COLUMNS = (
    *METRICS,
    *(f"{metric}_{end}" for metric in METRICS for end in ("low", "high")),
    *("method", "nmi_chance", "purity_chance", "noise", "n_samples", "n_clusters", "seeds"),
    *("input", "origin", "provenance", "label_use", "rank", "rank_in_origin", "run_id"),
)
SHOWN = ("ami", "nmi", "ari", "purity", "silhouette", "calinski_harabasz")  # to people, in order
RANKED_BY = ("ami", "silhouette")  # the first that is defined in every row: labels may be unknown


def table(rows: Sequence[Mapping[str, object]], *, level: str) -> pd.DataFrame:
    """One row per method, best first, oracle rows last.

    Parameters
    ----------
    rows
        Mappings with ``method``, ``label_use`` and the metrics of one clustering run each; a
        metric that is missing becomes nan.
    level
        A key of `SEED_COLUMNS`, which says what the table begins with.

    Returns
    -------
    DataFrame
        ``rank`` is 1 for the best row that no label touched and <NA> for oracle rows;
        ``rank_in_origin`` counts rows from scratch and rows with a pretrained part apart. Numbers
        are numbers: formatting is `markdown`'s.
    """
    names = list(dict.fromkeys([*SEED_COLUMNS[level], *COLUMNS]))
    frame = pd.DataFrame([dict(row) for row in rows])
    frame["dataset"] = frame["model"].map(MODELS[level])
    frame = frame.assign(adjusted_rand=frame.get("ari")).reindex(columns=names)
    for count in {"n_samples", "n_features", "seeds"} & set(names):
        frame[count] = frame[count].astype("Int64")
    ranked = frame["label_use"] == str(LabelUse.NONE)
    by = ranking_metric(frame)
    order = frame.assign(oracle=~ranked, score=-frame[by]).sort_values(
        ["oracle", "score", "method"], kind="stable"
    )
    frame = frame.loc[order.index].reset_index(drop=True)
    ranks = np.arange(1, len(frame) + 1)
    frame["rank"] = pd.Series(ranks, dtype="Int64").where(ranks <= ranked.sum())
    frame["rank_in_origin"] = frame.groupby("origin", dropna=False)["rank"].rank().astype("Int64")
    return frame


def newest(rows: Sequence[Mapping[str, object]], *, level: str) -> list[Mapping[str, object]]:
    """Of rows in the order of time, newest first, one for each method of a level on each input: the
    first with the settings (seeds, clusters) of the newest, or where there is none, the first."""
    own = [r for r in rows if r["model"] in MODELS[level] and r["algorithm"] in ALGORITHMS[level]]
    alike = [row for row in own if row.get("settings") == own[0].get("settings")]
    found: dict[object, Mapping[str, object]] = {}
    for row in [*alike, *own]:
        found.setdefault((row["model"], row["reads"], row["algorithm"]), row)
    return list(found.values())


def ranking_metric(frame: pd.DataFrame) -> str:
    """AMI where genres are known (it is 0 by chance), else silhouette."""
    return next((m for m in RANKED_BY if frame[m].notna().any()), RANKED_BY[-1])


def best(frame: pd.DataFrame) -> pd.Series | None:
    """The first ranked row of a table, or None where every row is an oracle."""
    ranked = frame[frame["rank"].notna()]
    return None if ranked.empty else ranked.iloc[0]


def compared(ranked: pd.DataFrame) -> list[pd.DataFrame]:
    """The groups of rows, of those that have a rank, whose first is compared with the others: all,
    and if a pretrained row is first, those from scratch by themselves."""
    groups = [ranked]
    if len(ranked) and ranked["origin"].iloc[0] == "pretrained":
        groups.append(ranked[ranked["origin"] == "scratch"])
    return [group for group in groups if len(group) > 1]


class Difference(NamedTuple):
    """By how much the AMI of one method is above another's, with the interval that holds for all
    comparisons of a table together."""

    method: str
    other: str
    difference: float
    low: float
    high: float
    n_samples: int
    seeds: int

    @property
    def within_noise(self) -> bool:
        return self.low <= 0 <= self.high


def differences(assignments: Sequence[Assignment]) -> list[Difference]:
    """How the AMI of the first method compares with that of each other one.

    Two things could have come out otherwise: the seeds, and which tracks were in the collection.
    The variance of a difference is the sum of both: over seeds that of the mean of paired
    differences (seed by seed); over tracks the delete-a-group jackknife's (Kott, 2001), with
    `GROUPS` groups by the hash of the id, each left out in turn of both clusterings, which stay as
    they are. (A bootstrap draws tracks twice, and a track always agrees with itself: its intervals
    of AMI are a quarter too narrow for 100 tracks in ten genres, where the jackknife's fit.) The
    interval is Student's t with Welch & Satterthwaite's degrees of freedom at ``ALPHA`` over the
    number of comparisons (Bonferroni).

    Parameters
    ----------
    assignments
        Of tracks with genres. Two are compared on the tracks that both have, without those whose
        genre is not known. A pair with fewer than two genres in common is left out.
    """
    first, *others = assignments
    pairs = [_difference(first, other, comparisons=len(others)) for other in others]
    return [pair for pair in pairs if pair is not None]


def _difference(one: Assignment, other: Assignment, *, comparisons: int) -> Difference | None:
    labels = dict(zip(one.ids.tolist(), one.labels.tolist(), strict=True))
    ids = sorted(i for i in set(one.ids.tolist()) & set(other.ids.tolist()) if labels[i])
    genres = np.array([labels[track_id] for track_id in ids], dtype=str)
    if len(np.unique(genres)) < 2:
        return None
    hashes = [hashlib.blake2b(track_id.encode()).digest() for track_id in ids]
    n_groups = min(GROUPS, len(ids))
    group = np.empty(len(ids), dtype=np.int64)
    group[sorted(range(len(ids)), key=hashes.__getitem__)] = np.arange(len(ids)) % n_groups
    kept = [np.ones(len(ids), dtype=bool), *(group != left_out for left_out in range(n_groups))]
    # (1 + groups, seeds) of each method; the first row is of all tracks
    scores, other_scores = (_amis(each, ids, genres, kept) for each in (one, other))
    seeds = min(scores.shape[1], other_scores.shape[1])
    paired = scores[:, :seeds] - other_scores[:, :seeds]
    mean, half = float(paired[0].mean()), _half_width(paired, comparisons=comparisons)
    return Difference(one.name, other.name, mean, mean - half, mean + half, len(ids), seeds)


def _half_width(paired: npt.NDArray[np.float64], *, comparisons: int) -> float:
    """Half the interval of a mean of paired differences (1 + groups, seeds)."""
    from scipy.special import stdtrit

    groups, seeds = len(paired) - 1, paired.shape[1]
    parts = [((groups - 1) * paired[1:].mean(axis=1).var(), groups - 1)]
    if seeds > 1:
        parts.append((paired[0].var(ddof=1) / seeds, seeds - 1))
    variance = sum(part for part, _ in parts)
    if variance == 0:
        return 0.0
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    return float(stdtrit(freedom, 1 - ALPHA / 2 / comparisons) * np.sqrt(variance))


def _amis(
    assignment: Assignment, ids: list[str], genres: StrArray, kept: Sequence[BoolArray]
) -> npt.NDArray[np.float64]:
    """AMI (subsets, seeds) of an assignment on subsets of some tracks."""
    place = {track_id: row for row, track_id in enumerate(assignment.ids.tolist())}
    clusters = assignment.clusters[:, [place[track_id] for track_id in ids]]
    return np.array(
        [
            [adjusted_mutual_info(contingency(genres[rows], one[rows])) for one in clusters]
            for rows in kept
        ]
    )


def ami_without(assignment: Assignment, ids: Sequence[str]) -> float:
    """Mean AMI over seeds without the tracks of some ids, the clusters as they are."""
    kept = ~np.isin(assignment.ids, list(ids)) & (assignment.labels != "")
    labels = assignment.labels[kept]
    if len(np.unique(labels)) < 2:
        return float("nan")
    amis = [adjusted_mutual_info(contingency(labels, one[kept])) for one in assignment.clusters]
    return float(np.mean(amis))


def effect(frame: pd.DataFrame, *, n_faults: int) -> str:
    """What faulty or repeated tracks do to the AMI, in words."""
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


def statement(found: Sequence[Difference]) -> str:
    """What the differences allow to be said, in words."""
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
    over = "over which tracks there are (jackknife)"
    if min(one.seeds for one in found) > 1:
        over = f"over seeds (paired) and {over}"
    lines.append(
        f"In brackets: {1 - ALPHA:.0%} intervals for all these comparisons together (Bonferroni), "
        f"{over}. The others were not compared with each other."
    )
    return "\n\n".join(lines)


def champion(
    rows: Sequence[Mapping[str, Any]], *, metric: str
) -> tuple[Mapping[str, Any], list[str], str]:
    """The best row that no label touched and that can place a new track by its sound.

    Parameters
    ----------
    rows
        As for `table`.
    metric
        One of `METRICS`, of which Davies-Bouldin is best when low; ``auto`` is AMI, or silhouette
        where no genres are known.

    Returns
    -------
    row, passed, metric
        With a line for every better row that was passed over, and the metric that chose.

    Raises
    ------
    InputError
        If there is no such row, or the metric is not defined for any.
    """
    free = [row for row in rows if row["label_use"] == str(LabelUse.NONE)]
    if metric == "auto":
        metric = next(
            (m for m in RANKED_BY if any(np.isfinite(row.get(m, np.nan)) for row in free)), "ami"
        )
    sign = -1 if metric == "davies_bouldin" else 1
    defined = [row for row in free if np.isfinite(row.get(metric, np.nan))]
    ordered = sorted(defined, key=lambda row: -sign * row[metric])
    passed: list[str] = []
    for row in ordered:
        reason = _unservable(row)
        if reason is None:
            return row, passed, metric
        passed.append(f"{row['method']} ({metric} {row[metric]:.3f}) is passed over: {reason}")
    if passed:
        raise InputError("nothing to register: " + "; ".join(passed))
    raise InputError(f"nothing to register: no row that no label touched has a defined {metric}")


def sweep_markdown(frame: pd.DataFrame) -> str:
    """A sweep for people, by beta. It has no ranks: choosing by AMI is choosing by the labels."""
    headers = ("beta", "ami", "nmi", "silhouette", "reconstruction", "KL, not weighed")
    cells = [
        (
            f"{row['beta']:g}",
            *(_cell(row, metric) for metric in ("ami", "nmi", "silhouette")),
            *(f"{row[loss]:.2f}" for loss in ("val_reconstruction", "val_kl")),
        )
        for _, row in frame.iterrows()
    ]
    return tabulate(cells, headers, tablefmt="pipe", disable_numparse=True) + "\n"


def _unservable(row: Mapping[str, Any]) -> str | None:
    if row["algorithm"] != "k-means":
        return f"{row['algorithm']} does not say where a new track belongs"
    if row["reads"] not in AUDIO_INPUTS:
        return f"nothing here makes the vectors of {row['reads']} for a new track"
    if " + " in str(row["input"]):
        return "it needs more than audio"
    if row["model"] == "spectral":
        return "it has no encoder, only the collection's own values"
    return None


def scores(row: Mapping[str, Any]) -> dict[str, str]:
    """A row's metrics with their intervals, as text."""
    found = {}
    for metric in METRICS:
        if np.isfinite(row.get(metric, np.nan)):
            ends = row.get(f"{metric}_low", np.nan), row.get(f"{metric}_high", np.nan)
            found[metric] = f"{row[metric]:.3f}"
            if np.isfinite(ends).all():
                found[metric] += f" [{ends[0]:.3f}, {ends[1]:.3f}]"
    return found | {"seeds": str(row["seeds"]), "n_samples": f"{row['n_samples']:.0f}"}


def markdown(frame: pd.DataFrame) -> str:
    """The table for people: ``mean ± half the interval (chance)`` for each method.

    Columns that are nan throughout are left out.
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
    text = tabulate(cells, list(headers.values()), tablefmt="pipe", disable_numparse=True)
    notes = []
    if frame["seeds"].gt(1).any():
        notes.append("± is half the 95 % interval of the mean over seeds.")
    if ranking_metric(frame) == "ami":
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
    if any(frame[column].nunique() > 1 for column in ("seeds", "n_samples")):
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
    text = f"{value:.{digits}f}"
    if pd.notna(row[f"{column}_low"]):
        text += f" ± {(row[f'{column}_high'] - row[f'{column}_low']) / 2:.{digits}f}"
    if column in ("nmi", "purity"):
        text += f" ({row[f'{column}_chance']:.3f})"
    return text


def audit_markdown(frame: pd.DataFrame) -> str:
    """The audits of a collection's modalities for people: a row each, and the reasons below.

    Parameters
    ----------
    frame
        The fields of `audit.Audit` and ``modality``.
    """

    def against(value: float, chance: float, p: float) -> str:
        return "" if np.isnan(p) else f"{value:.2f} ({chance:.2f}), p = {p:.3f}"

    headers = ("modality", "verdict", "genre read", "tied to the audio", "order out", "repeated")
    rows = frame.to_dict("records")
    cells = [
        (
            row["modality"],
            row["verdict"],
            against(row["probe"], row["probe_chance"], row["probe_p"]),
            against(row["alignment"], row["alignment_chance"], row["alignment_p"]),
            "" if np.isnan(row["order_p"]) else f"p = {row['order_p']:.3f}",
            f"{row['repeated']:.0%}",
        )
        for row in rows
    ]
    text = tabulate(cells, headers, tablefmt="pipe", disable_numparse=True)
    reasons = [f"- {row['modality']}: **{row['verdict']}**: {row['reason']}." for row in rows]
    return f"{text}\n\nIn parentheses what chance gives.\n\n" + "\n".join(reasons) + "\n"


def cluster_table(
    labels: StrArray, clusters: npt.NDArray[np.int64], words: Sequence[Sequence[str]]
) -> pd.DataFrame:
    """A clustering, a row for each cluster: its size, most frequent genre and share, and words.

    Parameters
    ----------
    labels, clusters : (n,)
        Genres, and numbers from 0 without gaps.
    words
        For each cluster.
    """
    rows = []
    for cluster, said in enumerate(words):
        genres = pd.Series(labels[clusters == cluster])
        shares = genres[genres != ""].value_counts(sort=True) / len(genres)
        rows.append(
            {
                "cluster": cluster,
                "tracks": len(genres),
                "genre": shares.index[0] if len(shares) else "",
                "genre_share": shares.iloc[0] if len(shares) else np.nan,
                "words": ", ".join(said),
            }
        )
    return pd.DataFrame(rows)


def clusters_markdown(frame: pd.DataFrame, *, title: str) -> str:
    """A `cluster_table` for people."""
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
    return f"{title}\n\n" + tabulate(cells, headers, tablefmt="pipe", disable_numparse=True) + "\n"


def placed_table(records: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Answers of a registered model, flat: a column for each neighbour and each number of a code.

    Parameters
    ----------
    records
        Those of `serving.predict`, each with its ``file``.
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
    """Answers of a registered model for people."""
    headers = ["file", "cluster", "genre", "distance", "nearest tracks"]
    worded = any("words" in record for record in records)
    if worded:
        headers.insert(3, "in words")
    cells = []
    for record in records:
        file = record["file"].replace("|", "\\|")
        if "error" in record:
            cells.append((file, "", *[""] * (len(headers) - 3), record["error"]))
            continue
        genre = ""
        if record["genre"] is not None:
            genre = f"{record['genre']} ({record['genre_share']:.0%} of the cluster)"
        far = ", unlike anything here" if record["unlike_anything"] else ""
        near = [f"{one['track_id']} ({one['distance']:.3g})" for one in record["neighbours"][:3]]
        distance = f"{record['distance']:.3g}, percentile {record['percentile']:.0f}{far}"
        said = [", ".join(record["words"])] if worded else []
        cells.append((file, record["cluster"], genre, *said, distance, ", ".join(near)))
    return tabulate(cells, headers, tablefmt="pipe", disable_numparse=True)
