"""Scored clusterings -> one tidy table per level.

A row is a method: the mean over seeds of each metric with its 95 % interval, its chance level,
and how far labels reached into it. Rows whose values labels touched are oracle rows: they stand
below the ranking and have no rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from tabulate import tabulate

from genre_vae import clustering
from genre_vae.metrics import INTERNAL, LABEL
from genre_vae.records import LabelUse

# The seed's columns, so that its readers still work; ours follow, the same in every level.
SEED_COLUMNS: Mapping[str, tuple[str, ...]] = {
    "easy": ("method", "silhouette", "calinski_harabasz"),
    "medium": (
        *("dataset", "algorithm", "n_samples", "n_features"),
        *("silhouette", "calinski_harabasz", "davies_bouldin", "adjusted_rand"),
    ),
}
# The rows of a level: its models, under the name its table gives them, and its clusterers.
MODELS: Mapping[str, Mapping[str, str]] = {
    "easy": {"pca": "PCA", "autoencoder": "Autoencoder", "vae": "VAE"},
    "medium": {
        "pca": "RawFeatures_PCA",
        "vae": "VAE_Latents",
        "conv_vae": "ConvVAE_Latents",
        "vae_lyrics": "VAE+Lyrics",
        "conv_vae_lyrics": "ConvVAE+Lyrics",
    },
}
ALGORITHMS: Mapping[str, tuple[str, ...]] = {
    "easy": ("k-means",),
    "medium": clustering.ALGORITHMS,
}
METRICS = (*INTERNAL, *LABEL)
COLUMNS = (
    *METRICS,
    *(f"{metric}_{end}" for metric in METRICS for end in ("low", "high")),
    *("method", "nmi_chance", "purity_chance", "noise", "n_samples", "n_clusters", "seeds"),
    *("input", "label_use", "rank", "run_id"),
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
        ``rank`` is 1 for the best row that no label touched and <NA> for oracle rows. Numbers are
        numbers: formatting is `markdown`'s.
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
    return frame


def newest(rows: Sequence[Mapping[str, object]], *, level: str) -> list[Mapping[str, object]]:
    """Of rows in the order of time, newest first, the first for each method of a level."""
    found: dict[object, Mapping[str, object]] = {}
    for row in rows:
        if row["model"] in MODELS[level] and row["algorithm"] in ALGORITHMS[level]:
            found.setdefault((row["model"], row["algorithm"]), row)
    return list(found.values())


def ranking_metric(frame: pd.DataFrame) -> str:
    """AMI where genres are known (it is 0 by chance), else silhouette."""
    return next((m for m in RANKED_BY if frame[m].notna().any()), RANKED_BY[-1])


def best(frame: pd.DataFrame) -> pd.Series | None:
    """The first ranked row of a table, or None where every row is an oracle."""
    ranked = frame[frame["rank"].notna()]
    return None if ranked.empty else ranked.iloc[0]


def markdown(frame: pd.DataFrame) -> str:
    """The table for people: ``mean ± half the interval (chance)`` for each method.

    Columns that are nan throughout are left out.
    """
    shown = [metric for metric in SHOWN if frame[metric].notna().any()]
    headers = {
        "rank": "rank",
        "method": "method",
        **{metric: metric.replace("_", " ") for metric in shown},
        "n_samples": "tracks",
        "n_clusters": "clusters",
        **({"noise": "noise"} if frame["noise"].gt(0).any() else {}),
        "seeds": "seeds",
        **({"input": "input"} if frame["input"].nunique() > 1 else {}),
        "label_use": "label use",
    }
    cells = [[_cell(row, column) for column in headers] for _, row in frame.iterrows()]
    text = tabulate(cells, list(headers.values()), tablefmt="pipe", disable_numparse=True)
    notes = ["± is half the 95 % interval of the mean over seeds."]
    if ranking_metric(frame) == "ami":
        notes.append("Ranked by AMI. In parentheses what chance gives (AMI and ARI: 0).")
        notes.append(
            "Silhouette and Calinski-Harabasz compare clusterings of one representation, "
            "not representations."
        )
    else:
        notes.append(
            "No genres are known, so rows are in the order of silhouette. It compares clusterings "
            "of one representation: across rows it is a weak guide."
        )
    if any(frame[column].nunique() > 1 for column in ("seeds", "n_samples")):
        notes.append("Rows differ in seeds or tracks: compare them with care.")
    if frame["rank"].isna().any():
        notes.append("Rows without a rank are oracles: labels reached into their values.")
    return text + "\n\n" + "\n".join(notes) + "\n"


def _cell(row: pd.Series, column: str) -> str:
    value = row[column]
    if pd.isna(value):
        return "oracle" if column == "rank" else ""
    if column not in METRICS:
        return f"{value:.3g}" if isinstance(value, float) else str(value)
    digits = 1 if column == "calinski_harabasz" else 3
    text = f"{value:.{digits}f}"
    if pd.notna(row[f"{column}_low"]):
        text += f" ± {(row[f'{column}_high'] - row[f'{column}_low']) / 2:.{digits}f}"
    if column in ("nmi", "purity"):
        text += f" ({row[f'{column}_chance']:.3f})"
    return text
